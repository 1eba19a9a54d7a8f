"""What a device says of itself after phase 3 is what results.json and the report can take, or it is refused."""

import json
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pages import Outline, details_of
from small_run import RUN, WEIGHTS, travelled

from fedmetaalign.engine.flower import replies, result_message
from fedmetaalign.engine.flower.requests import Header
from fedmetaalign.engine.flower.wire import WireError
from fedmetaalign.evaluation.result import Epoch, Result
from fedmetaalign.evaluation.summary import summary
from fedmetaalign.federation.messages import Finish, Finished
from fedmetaalign.report import write_report

ODD = (None, True, -1, 2, 0.5, 1e300, 10**400, "", "x", "<b>", [], [[]], {}, {"a": {}}, "\x00", "\ud800")


@pytest.fixture(scope="module")
def first(finished):
    """The first device of a run: its name, and what it has to say, as JSON has it."""
    name, result = next(iter(finished.results["devices"].items()))
    log = (finished.folder / "rounds.jsonl").read_text(encoding="utf-8").splitlines()
    records = [r for r in map(json.loads, log) if (r["phase"], r["device"]) == (3, name)]
    return name, {"result": result, "records": records}


@pytest.fixture(scope="module")
def request_of(first):
    stages = set(first[1]["result"]["stages"]) - {"personalized", "deployed"}
    return Finish(WEIGHTS, 1, 3, dict.fromkeys(stages, WEIGHTS))


@pytest.fixture
def judge(finished, first, request_of):
    """Reads a device's outcome, given as JSON."""
    return lambda text: result_message.read(text, first[0], request_of, finished.recipe)


def changed(found, path, value):
    """A copy in which one value is another one, or where a key is removed (by the value `...`)."""
    copy = json.loads(json.dumps(found))
    *way, last = path
    inner = copy
    for key in way:
        inner = inner[key]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return copy


def paths(found, before=()):
    """Every path in a JSON value."""
    if not isinstance(found, dict | list):
        return []
    keys = found if isinstance(found, dict) else range(len(found))
    return [p for key in keys for p in [(*before, key), *paths(found[key], (*before, key))]]


def test_a_result_arrives_as_it_was_sent(finished, first, request_of):
    name, found = first
    told = Finished(Result(**found["result"]), tuple(Epoch(**record) for record in found["records"]))
    content = travelled(replies.write_reply(name, RUN, request_of, told))
    read = replies.read_reply(content, Header(name, RUN, finished.recipe), request_of, None)
    assert read == told
    assert json.dumps(read.result.to_dict()) == json.dumps(found["result"])  # the order of the keys, too
    assert json.dumps([each.to_dict() for each in read.records]) == json.dumps(found["records"])


@pytest.mark.parametrize(
    ("path", "value", "wrong"),
    [
        (("result", "stages", "deployed"), ..., "the stages are"),
        (("result", "stages", "<b>"), {}, "stages.<b>"),
        (("result", "stages", "deployed", "accuracy"), None, "stages.deployed.accuracy"),
        (("result", "alone", "brier"), None, "alone.brier is missing"),
        (("result", "stages", "deployed", "accuracy"), 1.01, "less than or equal to 1"),
        (("result", "stages", "deployed", "brier"), ..., "stages.deployed.brier"),
        (("result", "stages", "deployed", "extra"), 1.0, "stages.deployed.extra"),
        (("result", "extra"), "x" * 10_000, "result.extra"),
        (("result", "majority"), "0.5", "result.majority"),
        (("result", "one_rule"), 0.5, "result.one_rule"),
        (("result", "one_rule", "rule"), "\x1b[2J", "control character"),
        (("result", "one_rule", "rule"), "\ud800", "result.one_rule.rule"),
        (("result", "threshold"), 1e999, "result.threshold"),
        (("result", "threshold_note"), "x" * 1001, "result.threshold_note"),
        (("result", "samples", "test"), 2**70, "result.samples.test"),
        (("result", "samples", "tests"), 2, "result.samples.tests"),
        (("result", "alone"), ..., "alone is missing"),
        (("result", "alone"), None, "alone is missing"),
        (("result", "ladder"), [], "ladder is not asked for"),
        (("result", "ladder"), None, "ladder is not asked for"),
        (("result", "bundle"), "../../bundle", "result.bundle: String should match pattern"),
        (("records", 0, "device"), "somebody", "the records are not one of"),
        (("records", 0, "phase"), 2, "records.0.phase"),
        (("records", 0, "round"), 2, "the records are not one of"),
        (("records", 0, "weight"), 1.0, "records.0.weight"),
        (("records", 0, "support_loss"), -1.0, "records.0.support_loss"),
        (("records", 1, "round"), 1, "the records are not one of"),
    ],
)
def test_a_result_that_is_not_as_it_should_be_is_refused(judge, first, path, value, wrong):
    with pytest.raises(WireError) as refused:
        judge(json.dumps(changed(first[1], path, value)))
    assert wrong in str(refused.value) and len(str(refused.value)) <= 400 and str(refused.value).isprintable()


@pytest.mark.parametrize(
    "text",
    [
        None,
        3,
        "",
        "{",
        "null",
        "[]",
        "NaN",
        "[" * 100_000,
        '{"a":' * 100_000,
        "9" * 5000,
        " " * 1_000_001,
    ],
)
def test_what_is_no_result_at_all_is_refused(judge, text):
    with pytest.raises(WireError, match="Its results are"):
        judge(text)


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_gets_through_can_be_summed_up(judge, first, data):
    name, found = first
    path = data.draw(st.sampled_from(paths(found)))
    value = data.draw(st.sampled_from([*ODD, ...]))
    if value is ... and isinstance(path[-1], int):
        return
    try:
        read = judge(json.dumps(changed(found, path, value)))
    except WireError:
        return
    devices = {name: Result(**found["result"]), "other": read.result}
    for order in (devices, dict(reversed(devices.items()))):
        json.dumps(summary(order), allow_nan=False)


def test_what_a_device_says_can_neither_spoil_the_report_nor_put_anything_into_it(
    finished, first, judge, tmp_path
):
    name, found = first
    script = "<script>alert(1)</script>\"'&"
    found = changed(found, ("result", "one_rule", "rule"), script)
    found = changed(found, ("result", "threshold_note"), script)
    for key in ("threshold", "model_bytes"):
        found = changed(found, ("result", key), 10_000 if key == "threshold" else 10**9)
    for stage in found["result"]["stages"].values():
        stage |= dict.fromkeys(("f1", "precision", "recall", "balanced_accuracy", "mcc", "pr_auc"))
    for part in found["result"]["samples"]:
        found = changed(found, ("result", "samples", part), 0)
    found = changed(found, ("records", 0, "support_loss"), 3e38)
    read = judge(json.dumps(found))

    folder = tmp_path / "run"
    shutil.copytree(finished.folder, folder)
    devices = {other: Result(**told) for other, told in finished.results["devices"].items()}
    devices[name] = read.result
    results = {"devices": {each: r.to_dict() for each, r in devices.items()}, "fleet": summary(devices)}
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    extremes = {"support_loss": 3e38, "query_loss": 3e38, "score": 1e-38, "accuracy": 0.0, "delta_norm": 1e6}
    told = [*(each.to_dict() for each in read.records), {"phase": 2, "round": 1, "device": name, **extremes}]
    told.append({"phase": 2, "round": 2, "device": name, "rejected": script})
    with (folder / "rounds.jsonl").open("a", encoding="utf-8") as log:
        log.writelines(json.dumps(record) + "\n" for record in told)
    page = write_report(folder).read_text(encoding="utf-8")
    assert Outline(page).tags.count("script") == 2  # the page's own two
    assert details_of(page, name)["missed"] == [[2, 2, "rejected", script]]
    assert np.isfinite(results["fleet"]["stages"]["deployed"]["accuracy"])

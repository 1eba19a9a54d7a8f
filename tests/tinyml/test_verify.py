"""What `verify` says of bundles that are right, and of bundles that are not."""

import hashlib
import json
import re
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from fedmetaalign.errors import BundleError, ToolError
from fedmetaalign.model.preparation import Preparation
from fedmetaalign.proof import qemu, verify
from fedmetaalign.proof.case import load
from fedmetaalign.proof.verify import Row, firmware_row, golden_row, learning_row, qemu_row, runtime_row
from fedmetaalign.tinyml import bundle as bundles
from fedmetaalign.tinyml.bundle import Bundle, digest
from fedmetaalign.tinyml.firmware_folder import unpack
from fedmetaalign.tinyml.quantize import quantize
from fedmetaalign.tinyml.tflite import write as write_model
from fedmetaalign.tinyml.toolchain import CORES

PREPARATION = Preparation(
    features=("load", "kind", "heat"),
    units=("A", "", "K"),
    categories={"kind": ("dry", "wet")},
    mean=(100.0, 0.5, -3.0),
    scale=(20.0, 0.5, 0.25),
    columns=(0, 1, 2, 0, -1),
)
M4 = CORES["cortex-m4"]
FORMATS = {
    "uint8": {},
    "int8": {"edges": "int8", "per_channel": True},
    "int8-float-io": {"edges": "float32"},
    "int8-float-head": {"head": 2},
    "int4": {"bits": 4},
}


@pytest.fixture(scope="module")
def raw():
    random = np.random.default_rng(4)
    return np.stack(
        [random.normal(100, 20, 40), random.integers(0, 2, 40), random.normal(-3, 0.25, 40)], axis=1
    )


@pytest.fixture(scope="module")
def make(tmp_path_factory, network, raw):
    """Writes the bundle of a small network in one format, and returns its folder."""

    def write(kind):
        layers = network(1, (5, 16, 12, 8, 1))
        options = FORMATS.get(kind)
        deployed = layers if options is None else quantize(layers, PREPARATION.apply(raw), **options)
        folder = tmp_path_factory.mktemp("verify") / "pump"
        bundle = Bundle("pump", PREPARATION, 0.375, None, "cortex-m4", "firmware", write_model(deployed))
        bundles.write(folder, bundle, layers, raw, {})
        unpack(folder, folder / "firmware")
        return folder

    return write


@pytest.fixture(scope="module", params=[*FORMATS, "float32"])
def case(request, make):
    return load(make(request.param), 60)


@pytest.fixture
def uint8(make):
    return make("uint8")


@pytest.fixture(scope="module")
def uint8_case(make):
    return load(make("uint8"), 60)


def alter(folder, name, change):
    """Changes a file of a bundle, or of its unpacked C code; the sha256 with it, as nobody does by accident."""
    text = (folder / name).read_text(encoding="utf-8")
    changed = change(text)
    assert changed != text
    (folder / name).write_text(changed, encoding="utf-8")
    facts = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    if name in facts["sha256"]:
        facts["sha256"][name] = hashlib.sha256(changed.encode()).hexdigest()
    facts["digest"] = digest(facts)
    (folder / "bundle.json").write_text(json.dumps(facts), encoding="utf-8")


# What has to agree does


def test_the_golden_vectors_agree(case):
    row = golden_row(case, "golden.csv")
    assert (row.samples, row.agreeing, row.deciding, row.wrong) == (
        46,
        46,
        46,
        False,
    )  # 6 of them have broken values


@pytest.mark.parametrize("runtime", ["litert-reference", "litert", "litert-xnnpack", "tflm"])
def test_a_runtime_agrees_in_its_own_rounding(case, runtime):
    if runtime == "tflm":
        pytest.importorskip("tflite_micro")
    row = runtime_row(case, runtime, runtime)
    assert (row.samples, row.deciding, row.wrong) == (106, 106, False)
    if row.ulp is None:
        assert row.agreeing == 106 or row.note


@pytest.mark.firmware
@pytest.mark.parametrize("where", ["zig", "cortex-m0", "cortex-m4"])
def test_the_firmware_agrees(case, where):
    row = firmware_row(case, where, CORES.get(where, where))
    slow = not case.rounds and where == "cortex-m0"
    assert row.samples == row.agreeing == row.deciding == (11 if slow else 106)
    assert not row.wrong
    assert row.ulp is None
    assert (row.cost is None) == (where == "zig")


@pytest.mark.firmware
def test_costs_are_what_the_bytes_and_instructions_are(uint8_case):
    cost = firmware_row(uint8_case, "", M4).cost
    weights = 5 * 16 + 16 * 12 + 12 * 8 + 8
    assert weights < cost.constants < weights + 1500
    assert 500 < cost.code < 3000
    assert weights / 2 < cost.instructions < cost.cycles < 20 * weights
    assert 0 < cost.ram < 500
    assert 0 < cost.stack < 500


@pytest.mark.firmware
def test_learning_agrees_step_by_step(uint8_case):
    row = learning_row(uint8_case, "learning")
    assert (row.samples, row.agreeing, row.wrong) == (106, 106, False)
    head = 12 * 8 + 8 + 8 + 1
    # Weights and two moments, and a ring of 128 labelled scores.
    assert row.cost.ram > 4 * (3 * head + 128)
    assert row.cost.instructions > 3 * head


@pytest.mark.firmware
def test_the_whole_of_it(uint8, cli):
    outcome = cli("verify", uint8)
    assert outcome.status == 0
    assert "WRONG" not in outcome.out
    for core in ("M0", "M3", "M4F", "M7", "M33"):
        assert re.search(rf"firmware on Cortex-{core} +gemmlowp +246 +246 +246 +0\.0 % +[\d,]+", outcome.out)
    for name in ("LiteRT, reference kernels", "LiteRT with XNNPACK", "TensorFlow Lite Micro", "learning on"):
        assert name in outcome.out


# Samples


def test_random_samples_reach_all_over_the_range_and_beyond(make):
    case = load(make("uint8"), 2000)
    own = case.inputs[46:]
    assert len(case.inputs) == 2046
    assert own[:, :4].min(axis=0).tolist() == [0] * 4
    assert own[:, :4].max(axis=0).tolist() == [255] * 4
    assert len(np.unique(own[:, 0])) >= 250
    assert set(own[:, 4]) == {case.network.input.zero_point + 128}  # no feature goes there


def test_golden_samples_come_first_with_their_texts_as_numbers(uint8_case, raw):
    assert uint8_case.raw[:40].tolist() == raw.tolist()
    assert uint8_case.golden.raw[:40].tolist() == raw.tolist()


# What does not agree is reported


@pytest.mark.firmware
def test_an_altered_weight_in_the_firmware_is_reported(uint8, cli, monkeypatch):
    alter(uint8, "firmware/fma_model.h", other_weight)
    monkeypatch.setattr(
        verify, "_checks", lambda case: [("firmware here (Zig)", lambda *at: firmware_row(*at, where="zig"))]
    )
    outcome = cli("verify", uint8)
    assert outcome.status == 1
    assert re.search(r"firmware here \(Zig\) +gemmlowp +246 +\d+ +\d+ +[\d.]+ % +WRONG", outcome.out)
    said = outcome.err.splitlines()
    assert len(said) == 1
    assert said[0].startswith(f"fedmetaalign: {uint8} does not give the same everywhere: of 246 samples, ")
    assert said[0].endswith("do not deploy it, and make the bundle again.")


def other_weight(text):
    """Changes two weights of the last layer, which stand in one word and reach every score."""
    found = list(re.finditer(r"-?\d{5,}(?=[,} \n])", text))[-1]
    return text[: found.start()] + str(int(found[0]) ^ 0x10100) + text[found.end() :]


@pytest.mark.firmware
def test_an_altered_threshold_in_the_firmware_is_reported(uint8):
    alter(uint8, "firmware/fma_model.h", lambda text: re.sub(r"(fma_threshold = )\w+", r"\1 250", text))
    row = firmware_row(load(uint8, 200), "here", "zig")
    assert row.agreeing == 246  # the scores are right
    assert row.deciding < 246
    assert row.wrong


@pytest.mark.firmware
def test_an_altered_scale_in_the_firmware_is_reported(uint8):
    alter(uint8, "firmware/fma_model.h", lambda text: re.sub(r"(fma_mean\[[^{]*\{\s*)", r"\g<1>1.0f + ", text))
    row = firmware_row(load(uint8, 200), "here", "zig")
    assert row.agreeing < 246
    assert row.wrong


def test_an_altered_golden_score_is_reported(uint8):
    alter(uint8, "golden.csv", lambda text: re.sub(r",0\.\d+,(\d)\n$", r",0.00390625,\1\n", text))
    row = golden_row(load(uint8, 1), "golden.csv")
    assert (row.samples, row.agreeing, row.wrong) == (46, 45, True)


def test_an_altered_golden_decision_is_reported(uint8):
    alter(uint8, "golden.csv", lambda text: re.sub(r",(\d)\n$", lambda fault: f",{2 - int(fault[1])}\n", text))
    row = golden_row(load(uint8, 1), "golden.csv")
    assert (row.samples, row.agreeing, row.deciding, row.wrong) == (46, 45, 45, True)


def test_a_bundle_that_is_replaced_meanwhile_is_not_mixed_with_the_other(uint8, monkeypatch):
    def replaced(folder, target):
        shutil.copytree(folder, target)
        (target / "golden.csv").write_text("other", encoding="utf-8")
        return target

    monkeypatch.setattr(verify, "shutil", SimpleNamespace(copytree=replaced, Error=shutil.Error))
    with pytest.raises(BundleError, match="was replaced while it was read: verify it again"):
        verify.verify(uint8)


def test_firmware_that_does_not_compile_is_an_error(uint8):
    alter(uint8, "firmware/fma_infer.c", lambda text: text + "\nint broken(void) { return 1 }\n")
    with pytest.raises(ToolError, match=r"^The firmware does not compile: .*fma_infer\.c"):
        firmware_row(load(uint8, 1), "", "zig")


@pytest.mark.parametrize(("kind", "wrong"), [("uint8", True), ("int4", False)])
def test_a_bit_more_in_xnnpack_is_wrong_unless_its_weights_have_4_bits(make, monkeypatch, kind, wrong):
    case = load(make(kind), 60)
    scores = case.scores("litert-xnnpack")
    scores[3] += 1 / 256
    monkeypatch.setattr(verify, "run", lambda *_: scores)
    row = runtime_row(case, "", "litert-xnnpack")
    assert (row.agreeing, row.wrong, bool(row.note)) == (105, wrong, not wrong)


@pytest.mark.parametrize(
    ("runtime", "kind", "steps", "wrong"),
    [
        ("tflm", "float32", 4, False),
        ("tflm", "float32", 5, True),
        ("litert", "float32", 5, True),
        ("litert", "int8-float-head", 5, False),
        ("litert-xnnpack", "float32", 4096, False),
        ("litert-xnnpack", "float32", 4097, True),
    ],
)
def test_float_scores_may_differ_by_what_explains_it(make, monkeypatch, runtime, kind, steps, wrong):
    case = load(make(kind), 60)
    monkeypatch.setattr(verify, "run", lambda *_: case.scores(runtime) + steps * 2.0**-24)
    row = runtime_row(case, "", runtime)
    assert (row.ulp, row.wrong) == (steps, wrong)


@pytest.mark.parametrize(("status", "right"), [(0, 46), (3, 43), (255, 0)])
def test_the_status_of_main_c_tells_how_many_golden_vectors_are_wrong(uint8_case, monkeypatch, status, right):
    monkeypatch.setattr(verify, "compile_firmware", lambda *_, **__: None)
    monkeypatch.setattr(qemu, "run", lambda *_: qemu.Run(status, ""))
    row = qemu_row(uint8_case, "", qemu.BOARDS["mps2-an386"])
    assert (row.samples, row.agreeing, row.wrong) == (46, right, right < 46)


def test_only_what_is_wrong_is_an_error(tmp_path):
    fine = Row("fine", samples=5, agreeing=4, deciding=5)
    off = Row("off", samples=5, agreeing=3, deciding=5, wrong=True)
    verify.check(tmp_path, [fine])
    with pytest.raises(BundleError, match=r"of 5 samples, 3 came out right in off; do not deploy it"):
        verify.check(tmp_path, [fine, off])
    with pytest.raises(BundleError, match=r"of 5 samples, 2 came out right in off; "):
        verify.check(tmp_path, [replace(off, agreeing=5, deciding=2)])
    with pytest.raises(BundleError, match=r"in off and 1 more; "):
        verify.check(tmp_path, [off, fine, replace(off, name="more")])


# What is not installed


def test_what_is_missing_is_one_line_and_no_failure(uint8, cli, monkeypatch):
    monkeypatch.setattr(verify, "installed", lambda *_: False)
    monkeypatch.setattr(verify.shutil, "which", lambda *_: None)
    outcome = cli("verify", uint8)
    assert outcome.status == 0
    lines = {line[:28].strip(): line[28:].strip() for line in outcome.out.splitlines()}
    extra = "not run: install fedmetaalign[firmware]"
    assert lines["TensorFlow Lite Micro"] == extra
    assert lines["firmware here (Zig)"] == extra
    assert lines["firmware on emulated cores"] == extra
    assert lines["GCC, QEMU"] == "not run: install gcc-arm-none-eabi and qemu-system-arm"
    assert lines["golden.csv"].startswith("gemmlowp")


def test_json_has_a_row_for_everything(uint8, cli, monkeypatch):
    monkeypatch.setattr(verify, "installed", lambda *_: False)
    monkeypatch.setattr(verify.shutil, "which", lambda *_: None)
    rows = json.loads(cli("verify", uint8, "--json").out)
    assert [row["name"] for row in rows][:2] == ["golden.csv", "LiteRT, reference kernels"]
    assert rows[1]["rounding"] == "single"
    assert rows[1]["samples"] == rows[1]["agreeing"] == 246
    assert 0 <= rows[1]["differing"] < 1
    assert rows[-1]["samples"] == 0

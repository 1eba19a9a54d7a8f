"""What a device answers, as Flower's records.

An answer repeats whose it is and what it answers ("reply"), so that a stale or a foreign one differs from the
right one; besides it has "arrays" and "metrics", and after phase 3 only what results.json says of the device.
"""

import math
from collections.abc import Mapping
from typing import Any, cast, get_args

from flwr.app import ConfigRecord, MetricRecord, RecordDict

from fedmetaalign.engine.flower import result_message
from fedmetaalign.engine.flower.agreement import read_correlations, read_moments, read_sketches, sketches_record
from fedmetaalign.engine.flower.requests import Header, kind
from fedmetaalign.engine.flower.wire import (
    COUNTS,
    PROTOCOL,
    VECTOR,
    WireError,
    arrays,
    packed_arrays,
    read_arrays,
    read_config,
    read_counts,
    read_vector,
    read_vectors,
    vector,
    word,
)
from fedmetaalign.evaluation.reported import LARGEST_LOSS, LONGEST_NAME, MOST_SAMPLES, steers
from fedmetaalign.federation.messages import (
    Finish,
    Finished,
    Local,
    Reply,
    Request,
    Score,
    Scores,
    Train,
    Update,
    Visit,
)
from fedmetaalign.fleet.shared import Hello
from fedmetaalign.fleet.tables import safe_name
from fedmetaalign.model.mlp import Network
from fedmetaalign.model.target import BINARY, MOST_CLASSES, Known, Target

UPDATE = ("score", "steps", "left_steps")
"""What it says besides of a parallel round."""

LOCAL = ("support_loss", "query_loss", "accuracy")
"""What a device measures in phases 1 and 2 alike."""


def write_hello(device: str, run: str, hello: Hello) -> RecordDict:
    """Returns a device's hello as records."""
    said: dict[str, Any] = {"device": device, **_hello_keys(run)}
    said |= {key: [*getattr(hello, key)] for key in ("features", "units", "classes", "normal")}
    said |= {"known": hello.known, "unlabelled": hello.unlabelled}
    records = RecordDict()
    if hello.moments is not None:
        said["count"] = hello.moments.count
        records["moments"] = arrays({"mean": hello.moments.mean, "squares": hello.moments.squares})
    if hello.sketches:
        said["count"] = hello.sketches[0].count
        records["sketches"] = sketches_record(hello.sketches)
    if hello.correlations is not None:
        records["correlations"] = arrays({"values": hello.correlations})
    records["reply"] = ConfigRecord(said)
    return records


def refuse(device: str, sentence: str) -> RecordDict:
    """Returns a device's word that it cannot do what is asked, and why."""
    return RecordDict({"reply": ConfigRecord({"protocol": PROTOCOL, "device": device, "error": sentence})})


def write_reply(
    device: str, run: str, request: Request[Any], reply: Local | Update | Scores | Finished
) -> RecordDict:
    """Returns a device's answer as records."""
    said: dict[str, Any] = {"device": device, **_asked(request, run)}
    if isinstance(reply, Finished):
        return RecordDict({"reply": ConfigRecord({**said, "finished": result_message.write(reply)})})
    if isinstance(reply, Scores):
        return RecordDict({"reply": ConfigRecord(said), "arrays": arrays({COUNTS: reply.counts})})
    measured: dict[str, Any] = {key: float(getattr(reply, key)) for key in LOCAL}
    measured["samples"] = int(reply.samples)
    if isinstance(reply, Update):
        measured["score"] = float(reply.query_score)
        measured |= {"steps": int(reply.steps), "left_steps": int(reply.left_steps)}
        values = packed_arrays("delta", reply.packed) if reply.packed else {"delta": reply.delta}
    else:
        values = {"weights": reply.weights}
    values |= {f"{VECTOR}{name}": each for name, each in reply.vectors.items()}
    return RecordDict(
        {"reply": ConfigRecord(said), "arrays": arrays(values), "metrics": MetricRecord(measured)}
    )


def read_name(records: RecordDict) -> str:
    """Returns what a device calls itself, which may be a folder's name, also where it cannot take part.

    Raises:
        WireError: it gives no name, or one that no device can have.
    """
    name = word(read_config(records, "reply"), "device")
    if name != safe_name(name):
        raise WireError(f"It calls itself {name!r}: a name has letters, digits, `.`, `_` and `-`, up to 100.")
    return name


def read_hello(records: RecordDict, header: Header) -> Hello:
    """Returns a device's hello.

    Raises:
        WireError: it cannot take part, or says nothing sound.
    """
    said = read_config(records, "reply")
    _check_repeated(said, _hello_keys(header.run))
    features, units = _features(said, header.recipe.model.inputs)
    known, unlabelled = _labels(said)
    classes, normal = _classes(said, known)
    moments, sketches, fleet = read_moments(records, said), read_sketches(records, said), header.recipe.fleet
    if fleet.scaling == "device":
        moments, sketches = None, ()
    elif fleet.encoding == "quantiles":
        if len(sketches) != len(features):
            raise WireError("Its quantiles do not fit its features.")
        moments = None
    elif moments is None or len(moments.mean) != len(features):
        raise WireError("Its moments do not fit its features.")
    else:
        sketches = ()
    together = read_correlations(records, len(features)) if fleet.missing == "regression" else None
    return Hello(features, units, moments, classes, normal, sketches, known, unlabelled, together)


def read_reply(
    records: RecordDict,
    header: Header,
    request: Request[Reply],
    network: Network,
    target: Target = BINARY,
) -> Reply:
    """Returns a device's answer to a request.

    Args:
        records: what came.
        header: whom the request was for, and in which run.
        request: what was asked.
        network: the architecture.
        target: the classes that the fleet tells apart.

    Raises:
        WireError: it is not a sound answer of this device to this request.
    """
    said = read_config(records, "reply")
    if said.get("device") != header.device:
        raise WireError(f"It answered in the name of {said.get('device')!r}.")
    _check_repeated(said, _asked(request, header.run))
    if isinstance(request, Finish):
        found = result_message.read(said.get("finished"), header.device, request, header.recipe, target)
        return cast(Reply, found)
    values = read_arrays(records, "arrays")
    if isinstance(request, Score):
        return cast(Reply, Scores(read_counts(values)))
    measured = _measured(records, request)
    common = {**{key: measured[key] for key in LOCAL}, "samples": int(measured["samples"])}
    vectors = read_vectors(values, network)
    if isinstance(request, Train | Visit) and vectors.keys() != request.vectors.keys():
        raise WireError(
            f"It sends the vectors {', '.join(sorted(vectors)) or 'none'}, which was not asked for."
        )
    if isinstance(request, Visit):
        weights = vector(values, "weights", network)
        return cast(Reply, Local(weights=weights, vectors=vectors, **common))  # type: ignore[arg-type]
    delta, packed = read_vector(values, "delta", network)
    update = Update(
        delta=delta,
        query_score=measured["score"],
        steps=int(measured["steps"]),
        left_steps=int(measured["left_steps"]),
        vectors=vectors,
        packed=packed,
        **common,  # type: ignore[arg-type]
    )
    return cast(Reply, update)


def _hello_keys(run: str) -> dict[str, str | int]:
    """Returns what an hello has to repeat."""
    return {"protocol": PROTOCOL, "kind": "introduce", "run": run}


def _asked(request: Request[Any], run: str) -> dict[str, str | int]:
    """Returns what an answer has to repeat."""
    said: dict[str, str | int] = {
        "protocol": PROTOCOL,
        "kind": kind(request),
        "run": run,
        "round": request.number,
    }
    return {**said, "tour": request.tour} if isinstance(request, Visit) else said


def _check_repeated(said: Mapping[str, Any], asked: Mapping[str, str | int]) -> None:
    """Raises what the device says is in its way; or that it answers something else than was asked."""
    if "error" in said:
        raise WireError(word(said, "error"))
    for key, value in asked.items():
        if said.get(key) != value:
            raise WireError(f"It answered {key} {said.get(key)!r}, and was asked {value!r}.")


def _features(said: Mapping[str, Any], inputs: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the names and the units of a device's features."""
    names, units = said.get("features"), said.get("units")
    if not isinstance(names, list) or not 0 < len(names) <= inputs:
        raise WireError(f"It has no features, or more than the network's {inputs} inputs.")
    if not isinstance(units, list) or len(units) != len(names):
        raise WireError("Its units do not fit its features.")
    for text in (*names, *units):
        if not _printable(text):
            raise WireError(f"It has a feature or a unit that is called {text!r}: rename that.")
    if len(set(names)) < len(names):
        raise WireError("It has two features of one name: rename one of the columns.")
    return tuple(names), tuple(units)


def _labels(said: Mapping[str, Any]) -> tuple[Known, int]:
    """Returns what a device's labels tell, and how many of its samples have none."""
    known, unlabelled = said.get("known"), said.get("unlabelled")
    if known not in get_args(Known):
        raise WireError(f"It says that its labels tell {known!r}, and not {', '.join(get_args(Known))}.")
    if not isinstance(unlabelled, int) or isinstance(unlabelled, bool) or not 0 <= unlabelled <= MOST_SAMPLES:
        raise WireError(f"It says that {unlabelled!r} of its samples have no label.")
    return cast(Known, known), unlabelled


def _classes(said: Mapping[str, Any], known: Known) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the names of a device's classes, and which of them are normal."""
    classes, normal = said.get("classes"), said.get("normal")
    least = 0 if known == "nothing" else 1
    if (
        not isinstance(classes, list)
        or not least <= len(classes) <= MOST_CLASSES
        or not isinstance(normal, list)
    ):
        raise WireError(f"It has no classes, or more than {MOST_CLASSES}.")
    if not all(map(_printable, classes)) or len(set(classes)) < len(classes) or not set(normal) <= {*classes}:
        raise WireError("Its classes are no names, or not unlike.")
    return tuple(classes), tuple(normal)


def _printable(text: object) -> bool:
    """Whether a stranger's name may be shown to others."""
    return isinstance(text, str) and len(text) <= LONGEST_NAME and not steers(text)


def _measured(records: RecordDict, request: Request[Any]) -> dict[str, float]:
    """Returns the metrics of an answer to phase 1 or 2, each a finite number and in its range."""
    record = records.get("metrics")
    if not isinstance(record, MetricRecord):
        raise WireError("Its metrics are missing.")
    measured = {}
    for key in (*LOCAL, "samples", *([] if isinstance(request, Visit) else UPDATE)):
        value = record.get(key)
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise WireError(f"Its {key} is {value!r}, which is not a finite number.")
        measured[key] = float(value)
    for key in ("support_loss", "query_loss"):
        if not 0 <= measured[key] <= LARGEST_LOSS:
            raise WireError(f"Its {key} {measured[key]:g} is out of [0, {LARGEST_LOSS:g}].")
    if not 0 <= measured["accuracy"] <= 1:
        raise WireError(f"Its accuracy {measured['accuracy']:g} is out of [0, 1].")
    if not (1 <= measured["samples"] <= MOST_SAMPLES and measured["samples"].is_integer()):
        raise WireError(f"It says that it trained on {measured['samples']:g} samples.")
    for key, least in (("steps", 1), ("left_steps", 0)):
        if not (least <= measured.get(key, 1) <= MOST_SAMPLES and measured.get(key, 1.0).is_integer()):
            raise WireError(f"Its {key} is {measured[key]:g}, and no count of training steps.")
    if not 0 < measured.get("score", 1.0) <= 1:
        raise WireError(f"Its score {measured['score']:g} is out of (0, 1].")
    return measured

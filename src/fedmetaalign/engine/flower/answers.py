"""What a device answers, as Flower's records.

An answer repeats whose it is and what it answers ("reply"), so that a stale or a foreign one is told from the
right one; besides it has "arrays" and "metrics", and after phase 3 only what results.json says of the device.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from flwr.app import MetricRecord, RecordDict

from fedmetaalign.engine.flower.questions import Envelope, kind
from fedmetaalign.engine.flower.wire import (
    PROTOCOL,
    WireError,
    arrays,
    config,
    moments_arrays,
    packed_arrays,
    read_arrays,
    read_config,
    read_moments,
    read_vector,
    vector,
)
from fedmetaalign.engine.messages import Finish, Finished, Reply, Request, Visit
from fedmetaalign.fleet.device import Moments
from fedmetaalign.model.mlp import Network
from fedmetaalign.phases.local import Local, Update

LONGEST = 1_000_000
"""Characters of a device's results; no ladder of models is so long."""

LOCAL = ("support_loss", "query_loss", "accuracy")


@dataclass(frozen=True)
class Introduction:
    """What a device tells of itself before the first round.

    Attributes:
        features: names, in the order of its table.
        moments: of its training samples, under `scaling = "fleet"`.
    """

    features: tuple[str, ...]
    moments: Moments | None


def introduce(device: str, run: str, introduction: Introduction) -> RecordDict:
    """Returns a device's introduction as records."""
    said: dict[str, Any] = {"protocol": PROTOCOL, "device": device, "run": run, "kind": "introduce"}
    said["features"] = list(introduction.features)
    records = RecordDict()
    if introduction.moments is not None:
        said["count"] = introduction.moments.count
        records["moments"] = moments_arrays(introduction.moments)
    records["reply"] = config(said)
    return records


def refuse(device: str, sentence: str) -> RecordDict:
    """Returns a device's word that it cannot do what is asked, and why."""
    return RecordDict({"reply": config({"protocol": PROTOCOL, "device": device, "error": sentence})})


def answer(device: str, run: str, request: Request[Any], reply: Local | Update | Finished) -> RecordDict:
    """Returns a device's answer as records."""
    said: dict[str, Any] = {"device": device, **_asked(request, run)}
    if isinstance(reply, Finished):
        found = {"result": reply.result, "records": reply.records, "bundle": reply.bundle}
        return RecordDict({"reply": config({**said, "finished": json.dumps(found, allow_nan=False)})})
    measured: dict[str, Any] = {key: float(getattr(reply, key)) for key in LOCAL}
    measured["samples"] = int(reply.samples)
    if isinstance(reply, Update):
        measured["score"] = float(reply.score)
        values = packed_arrays("delta", reply.packed) if reply.packed else {"delta": reply.delta}
    else:
        values = {"weights": reply.weights}
    return RecordDict({"reply": config(said), "arrays": arrays(values), "metrics": MetricRecord(measured)})


def read_introduction(records: RecordDict, envelope: Envelope) -> tuple[str, Introduction]:
    """Returns a device's name and introduction.

    Raises:
        WireError: it cannot take part, or says nothing sound.
    """
    said = read_config(records, "reply")
    if "error" in said:
        raise WireError(str(said["error"]))
    features, moments = said.get("features"), read_moments(records, said)
    if said.get("run") != envelope.run or not isinstance(features, list) or not features:
        raise WireError("It did not introduce itself, as it was asked to.")
    pooling = envelope.recipe.fleet.scaling == "fleet"
    if pooling and (moments is None or len(moments.mean) != len(features)):
        raise WireError("Its moments do not fit its features.")
    return str(said.get("device")), Introduction(tuple(map(str, features)), moments)


def read_answer(records: RecordDict, envelope: Envelope, request: Request[Reply], network: Network) -> Reply:
    """Returns a device's answer to a request.

    Args:
        records: what came.
        envelope: whom the request was for, and in which run.
        request: what was asked.
        network: the architecture.

    Raises:
        WireError: it is not a sound answer of this device to this request.
    """
    said = read_config(records, "reply")
    if said.get("device") != envelope.device:
        raise WireError(f"It answered in the name of {said.get('device')!r}.")
    if "error" in said:
        raise WireError(str(said["error"]))
    for key, value in _asked(request, envelope.run).items():
        if said.get(key) != value:
            raise WireError(f"It answered {key} {said.get(key)!r}, and was asked {value!r}.")
    if isinstance(request, Finish):
        return cast(Reply, _finished(said))
    values, measured = read_arrays(records, "arrays"), _measured(records)
    common = {
        "support_loss": measured["support_loss"],
        "query_loss": measured["query_loss"],
        "accuracy": measured["accuracy"],
        "samples": int(measured["samples"]),
    }
    if isinstance(request, Visit):
        return cast(Reply, Local(weights=vector(values, "weights", network), **common))  # type: ignore[arg-type]
    delta, packed = read_vector(values, "delta", network)
    score = measured.get("score", 0.0)
    if not 0 < score <= 1:
        raise WireError(f"Its score {score:g} is out of (0, 1].")
    return cast(Reply, Update(delta=delta, score=score, packed=packed, **common))  # type: ignore[arg-type]


def _asked(request: Request[Any], run: str) -> dict[str, str | int]:
    """Returns what an answer has to repeat."""
    said: dict[str, str | int] = {
        "protocol": PROTOCOL,
        "kind": kind(request),
        "run": run,
        "round": request.number,
    }
    return {**said, "stop": request.stop} if isinstance(request, Visit) else said


def _measured(records: RecordDict) -> dict[str, float]:
    """Returns the metrics of an answer, each a finite number and in its range."""
    record = records.get("metrics")
    if not isinstance(record, MetricRecord):
        raise WireError("Its metrics are missing.")
    for key in (*LOCAL, "samples", *(["score"] if "score" in record else [])):
        value = record.get(key)
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise WireError(f"Its {key} is {value!r}, which is not a finite number.")
    measured = {key: float(cast(float, value)) for key, value in record.items()}
    if min(measured["support_loss"], measured["query_loss"]) < 0:
        raise WireError("A loss of it is negative.")
    if not 0 <= measured["accuracy"] <= 1:
        raise WireError(f"Its accuracy {measured['accuracy']:g} is out of [0, 1].")
    if measured["samples"] < 1 or measured["samples"] != int(measured["samples"]):
        raise WireError(f"It says that it trained on {measured['samples']:g} samples.")
    return measured


def _finished(said: Mapping[str, Any]) -> Finished:
    text = said.get("finished")
    if not isinstance(text, str) or len(text) > LONGEST:
        raise WireError("Its results are missing, or longer than any are.")
    try:
        found = json.loads(text, parse_constant=_not_finite)
        result, records = found["result"], found["records"]
        if not result["stages"].keys() >= {"personalized", "deployed"}:
            raise ValueError("the personalized or the deployed stage is missing")
        for metrics in (*result["stages"].values(), *([result["alone"]] if "alone" in result else [])):
            if not 0 <= metrics["accuracy"] <= 1:
                raise ValueError(f"an accuracy is {metrics['accuracy']}")
        for record in records:
            if record["phase"] != 3 or record["device"] != said["device"]:
                raise ValueError("a record is not of this device in phase 3")
        return Finished(result, tuple(records), str(found["bundle"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WireError(f"Its results are not what results.json holds ({error}).") from None


def _not_finite(text: str) -> float:
    raise ValueError(f"{text} is not a finite number")

"""What a device says of itself after phase 3, as JSON, judged before anybody reads it.

It goes into results.json, and from there into the report: a device that says something odd must spoil neither
for the others. So all that is not exactly what `evaluate` makes under the recipe is refused.
"""

import json
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError

from fedmetaalign.engine.flower.wire import MOST_SAMPLES, WireError, steers
from fedmetaalign.engine.messages import Finish, Finished
from fedmetaalign.model.mlp import LARGEST_WEIGHT
from fedmetaalign.recipe import Recipe
from fedmetaalign.recipe_data import Section
from fedmetaalign.recipe_errors import dotted

LONGEST = 1_000_000
"""Characters of a device's results; no ladder of models is so long."""

LARGEST_LOSS = 3e38
"""What float32 can hold."""


def _printable(text: str) -> str:
    if steers(text):
        raise ValueError("it holds a control character")
    return text


# Strict: neither true nor "1" is a number.
Part = Annotated[float, Field(ge=0, le=1, strict=True)]
Loss = Annotated[float, Field(ge=0, le=LARGEST_LOSS, strict=True)]
Number = Annotated[float, Field(ge=-LARGEST_WEIGHT, le=LARGEST_WEIGHT, strict=True)]
Amount = Annotated[int, Field(ge=0, le=MOST_SAMPLES, strict=True)]
Words = Annotated[str, Field(max_length=1000, strict=True), AfterValidator(_printable)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$", strict=True)]


class Metrics(Section):
    """What `measure` returns."""

    accuracy: Part
    f1: Part | None
    precision: Part | None
    recall: Part | None
    balanced_accuracy: Part | None
    mcc: Annotated[float, Field(ge=-1, le=1, strict=True)] | None
    pr_auc: Part | None
    brier: Part
    threshold: Number


class Rule(Section):
    """The best rule on one feature."""

    accuracy: Part
    rule: Words


class Rung(Section):
    """See `deploy.Rung`."""

    way: Words
    bits: Amount
    bytes: Amount
    difference: Part
    accuracy: Part | None
    shipped: Annotated[bool, Field(strict=True)]


class Result(Section):
    """A device's entry in results.json."""

    stages: dict[str, Metrics]
    threshold: Number
    threshold_note: Words | None
    majority: Part
    one_rule: Rule
    alone: Metrics | None = None
    samples: dict[Literal["serial", "parallel", "personalize", "train", "test"], Amount]
    model_bytes: Amount
    ladder: list[Rung] | None = None
    bundle: Sha256


class Epoch(Section):
    """A record of phase 3; the last one has the last two keys."""

    phase: Literal[3]
    round: Amount
    device: Words
    support_loss: Loss
    query_loss: Loss | None = None
    accuracy: Part | None = None


class Outcome(Section):
    """See `Finished`."""

    result: Result
    records: list[Epoch]
    bundle: Sha256


def write(finished: Finished) -> str:
    """Returns as JSON what leaves a device after phase 3."""
    found = {"result": finished.result, "records": finished.records, "bundle": finished.bundle}
    return json.dumps(found, allow_nan=False)


def read(text: object, device: str, request: Finish, recipe: Recipe) -> Finished:
    """Returns what a device has written with `write`.

    Args:
        text: what came.
        device: whose it has to be.
        request: what it answers.
        recipe: decides which keys there are.

    Raises:
        WireError: it is something else.
    """
    if not isinstance(text, str) or len(text) > LONGEST:
        raise WireError("Its results are missing, or longer than any are.")
    try:
        found = json.loads(text)
        outcome = Outcome.model_validate(found)
        _check(outcome, device, request, recipe)
    except ValidationError as error:
        first = error.errors()[0]
        raise WireError(
            f"Its results are not as they should be ({dotted(first['loc'])}: {first['msg']})."
        ) from None
    except (ValueError, RecursionError) as error:
        raise WireError(f"Its results are not as they should be ({error}).") from None
    return Finished(found["result"], tuple(found["records"]), outcome.bundle)


def _check(outcome: Outcome, device: str, request: Finish, recipe: Recipe) -> None:
    """Raises a ValueError where what is sound in itself is not what was asked for."""
    result, given = outcome.result, outcome.result.model_fields_set
    if result.stages.keys() != {*request.stages, "personalized", "deployed"}:
        raise ValueError(f"the stages are {', '.join(sorted(result.stages))}")
    for key, due in (("alone", recipe.evaluation.alone), ("ladder", recipe.deploy.max_bytes is not None)):
        if (key in given) != due or (getattr(result, key) is not None) != due:
            raise ValueError(f"the key {key} is {'missing' if due else 'not asked for'}")
    if result.bundle != outcome.bundle:
        raise ValueError("it names two bundles")
    epochs = [(record.device, record.round) for record in outcome.records]
    if epochs != [(device, epoch) for epoch in range(1, recipe.personalize.epochs + 1)]:
        raise ValueError(f"the records are not one of {device} for each epoch")

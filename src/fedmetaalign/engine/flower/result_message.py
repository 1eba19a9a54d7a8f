"""What a device says of itself after phase 3, as JSON, judged before anybody reads it.

It has to be sound in itself (evaluation/result.py) and what was asked for (here).
"""

import json

from pydantic import ValidationError

from fedmetaalign.engine.flower.wire import WireError
from fedmetaalign.evaluation.reported import Reported
from fedmetaalign.evaluation.result import Epoch, Result, names_of
from fedmetaalign.federation.messages import Finish, Finished
from fedmetaalign.model.target import BINARY, Target
from fedmetaalign.recipe import Recipe
from fedmetaalign.recipe.errors import dotted

LONGEST = 1_000_000
"""Characters of a device's results; no list of candidates is so long."""


class ResultMessage(Reported):
    """See `Finished`."""

    result: Result
    records: tuple[Epoch, ...]


def write(finished: Finished) -> str:
    """Returns as JSON what leaves a device after phase 3."""
    found = ResultMessage(result=finished.result, records=finished.records)
    return json.dumps(found.to_dict(), allow_nan=False)


def read(text: object, device: str, request: Finish, recipe: Recipe, target: Target = BINARY) -> Finished:
    """Returns what a device has written with `write`.

    Args:
        text: what came.
        device: whose it has to be.
        request: what it answers.
        recipe: decides which keys there are.
        target: the classes that the fleet tells apart.

    Raises:
        WireError: it is something else.
    """
    if not isinstance(text, str) or len(text) > LONGEST:
        raise WireError("Its results are missing, or longer than any are.")
    try:
        message = ResultMessage.model_validate(json.loads(text))
        _check(message, device, request, recipe, target)
    except ValidationError as error:
        first = error.errors()[0]
        raise WireError(
            f"Its results are not as they should be ({dotted(first['loc'])}: {first['msg']})."
        ) from None
    except (ValueError, RecursionError) as error:
        raise WireError(f"Its results are not as they should be ({error}).") from None
    return Finished(message.result, message.records)


def _check(message: ResultMessage, device: str, request: Finish, recipe: Recipe, target: Target) -> None:
    """Raises a ValueError where what is sound in itself is not what was asked for."""
    result, given = message.result, message.result.model_fields_set
    if result.stages.keys() != {*request.stages, "personalized", "deployed"}:
        raise ValueError(f"the stages are {', '.join(sorted(result.stages))}")
    alone = recipe.evaluation.alone and result.known is None  # what has met one class alone is no rival
    for key, due in (("alone", alone), ("ladder", recipe.deploy.max_bytes is not None)):
        if (key in given) != due or (getattr(result, key) is not None) != due:
            raise ValueError(f"the key {key} is {'missing' if due else 'not asked for'}")
    if result.classes != names_of(target.classes):
        raise ValueError("its classes are not the fleet's")
    epochs = [(record.device, record.round) for record in message.records]
    most = recipe.personalize.epochs  # a method may make a model personal in fewer passes, or in none
    if len(epochs) > most or epochs != [(device, epoch) for epoch in range(1, len(epochs) + 1)]:
        raise ValueError(f"the records are not one of {device} for each epoch")

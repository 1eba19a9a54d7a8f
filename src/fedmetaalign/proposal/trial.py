"""Whether `run` would take a proposal: its fleet is built, and nothing trained or written."""

import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from fedmetaalign import recipe as recipes
from fedmetaalign.errors import FedMetaAlignError
from fedmetaalign.fleet.build import build
from fedmetaalign.proposal.proposal import Choice, Proposal, Split
from fedmetaalign.recipe import file as recipe_file


def runnable(proposal: Proposal, write: Callable[[Proposal], str], folder: Path) -> tuple[Proposal, str]:
    """Returns a proposal whose fleet can be built, the nearest to the given one, and why another would not do.

    Where none can be built, the given one comes back with what is wrong with it.

    Args:
        proposal: to be tried.
        write: makes a recipe's text of it.
        folder: the recipe's.
    """
    first = ""
    for tried in (proposal, *_others(proposal)):
        if not (wrong := refusal(write(tried), folder)):
            return tried, first
        first = first or wrong
    return proposal, first


def refusal(text: str, folder: Path) -> str:
    """What `run` says against a recipe before it trains; "" where it takes it."""
    try:
        build(_loaded(text, folder))
    except FedMetaAlignError as error:
        return str(error)
    return ""


def _others(proposal: Proposal) -> Iterator[Proposal]:
    """The same with larger test sets, without kinds of faults, and with simpler splits."""
    splits = [choice.split for choice in proposal.choices]
    for test in (0.34, 0.5):
        if any(split.kind == "units" and test > (split.test or 0) for split in splits):
            yield _with(proposal, partial(replace, test=test))
    if any(choice.kinds for choice in proposal.choices):
        yield replace(proposal, choices=tuple(map(_without_kinds, proposal.choices)))
    for kind in ("blocks", "rows"):
        if any(split.kind not in (kind, "rows") for split in splits):
            yield _with(proposal, partial(_simpler, kind))


def _without_kinds(choice: Choice) -> Choice:
    if not choice.kinds:
        return choice
    note = (
        "CHECK the label: there are too few samples of each kind of fault apart from the others for every part"
        " of the split, so that the model learns fault or no fault, and not which."
    )
    return replace(choice, kinds=False, notes=(*choice.notes, note))


def _simpler(kind: str, split: Split) -> Split:
    block = (split.block or 10) if kind == "blocks" else None
    why = f"{split.why}; but there are too few {split.kind} for every part, so CHECK whether {kind} will do"
    return Split(kind, why, block=block)


def _with(proposal: Proposal, change: Callable[[Split], Split]) -> Proposal:
    choices = tuple(replace(choice, split=change(choice.split)) for choice in proposal.choices)
    return replace(proposal, choices=choices)


def _loaded(text: str, folder: Path) -> recipes.Recipe:
    keys = tomllib.loads(text)
    base = keys.pop("extends")
    path = folder / "recipe.toml"
    merged = recipe_file.merged([recipe_file.RecipeFile(path, keys), *recipe_file.read(base)])
    fleet: dict[str, Any] = merged["fleet"]
    for source in (fleet, *fleet.get("devices", ())):
        if "table" in source:
            source["table"] = str(folder.resolve() / source["table"])
    return recipes.parse(merged, str(path))

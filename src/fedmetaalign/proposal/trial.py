"""Whether `run` would take a proposal: its fleet is built, and nothing trained or written."""

import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from fedmetaalign import recipe as recipes
from fedmetaalign.errors import FedMetaAlignError
from fedmetaalign.fleet.build import build
from fedmetaalign.fleet.files import listed
from fedmetaalign.fleet.tables import names_of
from fedmetaalign.proposal.proposal import Choice, Proposal, Split
from fedmetaalign.recipe import file as recipe_file


@dataclass(frozen=True)
class Trial:
    """What `run` makes of a recipe before it trains.

    Attributes:
        refusal: why it refuses it; "" where it takes it.
        left_out: a sentence for each device that it leaves out.
        untested: whether most devices with faults have none of them in their test sets.
    """

    refusal: str = ""
    left_out: tuple[str, ...] = ()
    untested: bool = False

    @property
    def cost(self) -> tuple[bool, int, bool]:
        """The less the better."""
        return bool(self.refusal), len(self.left_out), self.untested


def runnable(proposal: Proposal, write: Callable[[Proposal], str], folder: Path) -> tuple[Proposal, Trial]:
    """Returns the proposal that keeps most devices, the nearest to the given one, and how it did.

    Args:
        proposal: to be tried.
        write: makes a recipe's text of it.
        folder: the recipe's.
    """
    best, least = proposal, tried(write(proposal), folder)
    for other in _others(proposal):
        if not any(least.cost):
            break
        if (trial := tried(write(other), folder)).cost < least.cost:
            best, least = other, trial
    return best, least


def tried(text: str, folder: Path) -> Trial:
    """Builds the fleet of a recipe's text; `folder` is where its tables are relative to."""
    try:
        fleet = build(_loaded(text, folder))
    except FedMetaAlignError as error:
        return Trial(str(error))
    judged = [device.name for device in fleet.devices if device.known == "faults"]
    lacking = [name for name in judged if not fleet.target.faults(fleet.test[name].y).any()]
    return Trial("", tuple(each.sentence for each in fleet.left_out), 2 * len(lacking) > len(judged))


def _others(proposal: Proposal) -> Iterator[Proposal]:
    """The same with other test sets, without kinds of faults, and with simpler splits."""
    splits = [choice.split for choice in proposal.choices]
    if any(split.otherwise for split in splits):
        plain = _with(proposal, _without_time)
        yield plain
        yield from _others(plain)
        return
    if any(choice.window and choice.window.length and not choice.window.parted for choice in proposal.choices):
        if any(choice.kinds for choice in proposal.choices):
            yield replace(proposal, choices=tuple(map(_without_kinds, proposal.choices)))
        yield replace(proposal, choices=tuple(map(_parted, proposal.choices)))
        return
    for test in (None, 0.34, 0.5):
        if any(split.kind == "units" and test != split.test for split in splits):
            yield _with(proposal, partial(replace, test=test))
    if any(choice.kinds for choice in proposal.choices):
        yield replace(proposal, choices=tuple(map(_without_kinds, proposal.choices)))
    block = min((split.block for split in splits if split.block), default=0)
    while block > 3:
        block //= 2
        yield _with(proposal, partial(_of_blocks, block))
    for kind in ("blocks", "rows"):
        if any(split.kind not in (kind, "rows") for split in splits):
            yield _with(proposal, partial(_simpler, kind))


def _without_kinds(choice: Choice) -> Choice:
    if not choice.kinds:
        return choice
    note = (
        f"CHECK the label: there are too few {choice.split.kind} of each kind of fault for every part of the"
        " split, so that the model learns fault or no fault, and not which."
    )
    split = replace(choice.split, test=None)
    return replace(choice, kinds=False, split=split, notes=(*choice.notes, note))


def _parted(choice: Choice) -> Choice:
    """The same, tested on the later part of each recording."""
    if choice.window is None:
        return choice
    why = "CHECK: too few recordings for the test set, so each is tested on its own later part"
    return replace(choice, window=replace(choice.window, parted=True), split=Split("rows", why))


def _without_time(split: Split) -> Split:
    if split.otherwise is None:
        return split
    why = (
        f"{split.otherwise.why} (a split by {listed(names_of(split.time))} would leave a part without a class)"
    )
    return replace(split.otherwise, why=why)


def _of_blocks(block: int, split: Split) -> Split:
    return replace(split, block=block) if split.block else split


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

"""From a recipe to a fleet: sources become tables, tables are split, standardised and padded."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from fedmetaalign.errors import DataError, RecipeError
from fedmetaalign.fleet.device import Fleet, Moments
from fedmetaalign.fleet.division import recordings
from fedmetaalign.fleet.division.splits import Rows, split, split_newcomer
from fedmetaalign.fleet.missing.gaps import filled
from fedmetaalign.fleet.missing.gaps import notices as gaps_told
from fedmetaalign.fleet.prepare import hello_of, own_of, prepared
from fedmetaalign.fleet.public import public_part, public_table
from fedmetaalign.fleet.resolve import resolved
from fedmetaalign.fleet.schema import Table
from fedmetaalign.fleet.shared import Hello, Shared, check_faults, share
from fedmetaalign.fleet.sketch import Sketch
from fedmetaalign.fleet.sources import Found, find_devices, hashes
from fedmetaalign.fleet.times import periods
from fedmetaalign.fleet.usable import LeftOut, check_learnt, check_width, notices, refuse, single_samples
from fedmetaalign.fleet.windows.wording import rates_told
from fedmetaalign.recipe import Recipe

UNJUDGED = (
    "No device has a fault in its test set, and nothing says how well faults are found: give one of them more"
    " faults, or change [splits]."
)
"""What is said of a fleet that can be trained and not be judged."""


def build(recipe: Recipe, *, unseen_devices: bool = False) -> Fleet:
    """Builds the fleet of a recipe; nothing is written.

    Args:
        recipe: what to build; its table paths are absolute or relative to the working directory.
        unseen_devices: the caller makes use of the devices that fleet.unseen holds out; nobody else may
            lose them.

    Raises:
        DataError: a table or a device cannot be used; the sentence names it.
        RecipeError: the recipe holds devices out, and the caller has no use for them.
    """
    return build_shared(recipe, unseen_devices=unseen_devices)[0]


def build_shared(
    recipe: Recipe, *, unseen_devices: bool = False, unusable: Mapping[str, DataError] = MappingProxyType({})
) -> tuple[Fleet, Shared]:
    """As `build`, and what the devices agree on; those that are known to be `unusable` are left out."""
    recipe = resolved(recipe)
    unseen = recipe.fleet.unseen
    if unseen.count and not unseen_devices:
        raise RecipeError(
            f"fleet.unseen.count = {unseen.count} holds devices out of the federation, which only"
            " `fedmetaalign compare` can do: compare this recipe, or set fleet.unseen.count = 0."
        )
    found = find_devices(recipe)
    labelled = [table.name for table in found.tables if table.known != "nothing"]
    newcomers = labelled[len(labelled) - unseen.count :]
    every, left_out = _divided(found, recipe, newcomers, unusable)
    if left_out and (recipe.fleet.strict or not every):
        raise refuse(left_out)
    try:
        check_faults(each.table.known for each in every)
    except DataError as error:
        raise refuse(left_out, *error.problems) from None
    raw = [each for each in every if each.table.known != "nothing"]
    bare = [each for each in every if each.table.known == "nothing"]
    federated = [each for each in raw if each.name not in newcomers]
    if not federated or len(labelled) < unseen.count:
        raise DataError(
            f"fleet.unseen.count = {unseen.count} leaves none of the {len(raw)} devices for the federation:"
            " lower it."
        )
    public, sources = public_table(recipe)
    sources |= {file for each in every for file in (each.table.files or (each.table.source,))}
    shared = share({each.name: each.hello for each in (*federated, *bare)}, recipe, public)
    devices, test = [], {}
    for each in (*raw, *bare):
        place = shared.place(each.hello, recipe.model)
        device, samples = prepared(each.table, each.rows, place, each.own, recipe)
        devices.append(device)
        test[each.name] = samples
    part = public_part(recipe, public, shared) if public else None
    judged = any(shared.target.faults(test[each.name].y).any() for each in federated)
    if recipe.splits.test_units:
        sides = [(each.table, each.rows.test, each.rows.train) for each in federated]
        check_learnt(sides, shared.target, ", ".join(map(str, recipe.splits.test_units)))
    once = single_samples([each.table for each in federated], shared.target)
    told = periods.notices([(e.table, e.rows.test, e.rows.train) for e in federated], recipe.splits)
    fleet = Fleet(
        devices=tuple(devices[: len(federated)]),
        test=test,
        public=part,
        files=hashes(sources),
        unseen_devices=tuple(devices[len(federated) : len(raw)]),
        notices=(
            *(*notices(left_out), *found.notices, *shared.notices, *once, *told, *_of_windows(federated)),
            *(*gaps_told(each.table for each in every), *([] if judged else [UNJUDGED])),
        ),
        target=shared.target,
        unlabelled_devices=tuple(devices[len(raw) :]),
        left_out=tuple(left_out),
        gaps={each.name: each.table.gaps for each in every if each.table.gaps},
    )
    return fleet, shared


@dataclass(frozen=True)
class _Divided:
    """A device whose samples are divided.

    Attributes:
        table: its samples.
        rows: how they are divided.
        own: what it knows of its training samples.
        hello: what it tells of itself.
    """

    table: Table
    rows: Rows
    own: Moments | tuple[Sketch, ...]
    hello: Hello

    @property
    def name(self) -> str:
        """The device's."""
        return self.table.name


def _of_windows(devices: Sequence[_Divided]) -> Iterator[str]:
    """Yields what the user has to know of windows: how they were cut, and which of them are not used."""
    for each in devices:
        if each.table.windows is not None:
            yield from each.table.windows.notes
    yield from rates_told({e.name: e.table.signal for e in devices if e.table.signal is not None})
    yield from recordings.notices([(each.table, each.rows.test, each.rows.train) for each in devices])


def _divided(
    found: Found, recipe: Recipe, newcomers: Sequence[str], unusable: Mapping[str, DataError]
) -> tuple[list[_Divided], list[LeftOut]]:
    """Divides the samples of each device; returns those that can be used, and those that cannot, by name.

    Those that are `newcomers` take no part in the federation.
    """
    unseen, seed = recipe.fleet.unseen, recipe.seed
    every, left_out = [], [*found.left_out]
    for table in found.tables:
        try:
            if table.name in unusable:
                raise unusable[table.name]
            if table.name in newcomers:
                rows = split_newcomer(table, recipe.splits, unseen.samples, seed)
            else:
                rows = split(table, recipe.splits, seed)
            whole = filled(table, rows.train)
            check_width(whole, recipe.model)
            own = own_of(whole, rows.train, recipe)
            every.append(_Divided(whole, rows, own, hello_of(whole, rows.train, own, recipe)))
        except DataError as error:
            left_out.append(LeftOut(table.name, error.on(table.name)))
    return every, sorted(left_out, key=lambda each: each.name)

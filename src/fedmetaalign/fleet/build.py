"""From a recipe to a fleet: sources become tables, tables are split, standardised and padded."""

from fedmetaalign.errors import DataError, RecipeError
from fedmetaalign.fleet.device import Fleet
from fedmetaalign.fleet.gaps import filled
from fedmetaalign.fleet.gaps import notices as told
from fedmetaalign.fleet.prepare import hello_of, own_of, prepared
from fedmetaalign.fleet.public import public_part, public_table
from fedmetaalign.fleet.shared import Shared, share
from fedmetaalign.fleet.sources import hashes, raw_tables
from fedmetaalign.fleet.splits import split, split_newcomer
from fedmetaalign.fleet.usable import check_classes, check_width
from fedmetaalign.recipe import Recipe


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


def build_shared(recipe: Recipe, *, unseen_devices: bool = False) -> tuple[Fleet, Shared]:
    """As `build`, and what the devices agree on."""
    unseen = recipe.fleet.unseen
    if unseen.count and not unseen_devices:
        raise RecipeError(
            f"fleet.unseen.count = {unseen.count} holds devices out of the federation, which only"
            " `fedmetaalign compare` can do: compare this recipe, or set fleet.unseen.count = 0."
        )
    every = raw_tables(recipe)
    raw = [table for table in every if table.known != "nothing"]
    federated, new = raw[: len(raw) - unseen.count], raw[len(raw) - unseen.count :]
    if not federated or len(new) < unseen.count:
        raise DataError(
            f"fleet.unseen.count = {unseen.count} leaves none of the {len(raw)} devices for the federation:"
            " lower it."
        )
    rows = {table.name: split(table, recipe.splits, recipe.seed) for table in federated}
    rows |= {t.name: split_newcomer(t, recipe.splits, unseen.samples, recipe.seed) for t in new}
    bare = [table for table in every if table.known == "nothing"]
    rows |= {table.name: split(table, recipe.splits, recipe.seed) for table in bare}
    whole = {table.name: filled(table, rows[table.name].train) for table in every}
    for table in whole.values():
        check_width(table, recipe.model)
    own = {name: own_of(table, rows[name].train, recipe) for name, table in whole.items()}
    hellos = {name: hello_of(table, rows[name].train, own[name], recipe) for name, table in whole.items()}
    public, sources = public_table(recipe)
    sources |= {table.source for table in every}
    shared = share({t.name: hellos[t.name] for t in (*federated, *bare)}, recipe, public)
    check_classes(federated, shared.target)
    devices, test = [], {}
    for table in (*raw, *bare):
        place = shared.place(hellos[table.name], recipe.model)
        device, held_out = prepared(whole[table.name], rows[table.name], place, own[table.name])
        devices.append(device)
        test[table.name] = held_out
    part = public_part(recipe, public, shared) if public else None
    if not any(shared.target.faults(test[table.name].y).any() for table in federated):
        raise DataError(
            "No device has a fault in its test set, and nothing can be judged: give one of them more faults,"
            " or change [splits]."
        )
    took_part, new_devices = tuple(devices[: len(federated)]), tuple(devices[len(federated) : len(raw)])
    notices, target, others = (*shared.notices, *told(every)), shared.target, tuple(devices[len(raw) :])
    gaps = {table.name: table.gaps for table in every if table.gaps}
    fleet = Fleet(took_part, test, part, hashes(sources), new_devices, notices, target, others, gaps)
    return fleet, shared

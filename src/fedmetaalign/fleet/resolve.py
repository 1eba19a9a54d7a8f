"""Features that a recipe names by patterns become those that its tables have, each with an input."""

from pathlib import Path

from fedmetaalign.errors import DataError
from fedmetaalign.fleet import files
from fedmetaalign.fleet.files import listed
from fedmetaalign.fleet.folders import recordings_in
from fedmetaalign.fleet.patterns import is_pattern
from fedmetaalign.fleet.sources import columns_of, files_of
from fedmetaalign.fleet.tables import matching
from fedmetaalign.recipe import Recipe, Source
from fedmetaalign.recipe.inputs import enough
from fedmetaalign.recipe.network import fitted


def resolved(recipe: Recipe) -> Recipe:
    """Returns the recipe with the names of all features, and with as many inputs as they need.

    A device may lack some of them. A recipe without a pattern among its features is returned as it is.

    Raises:
        DataError: a pattern stands for no column of any table that can be read.
    """
    fleet, foundation = recipe.fleet, recipe.foundation
    if not any(is_pattern(name) for source in (*fleet.sources, foundation) for name in source.features):
        return recipe

    def named(source: Source) -> Source:
        return source.model_copy(update={"features": _features(source, recipe)})

    if foundation.enabled:
        foundation = foundation.model_copy(update={"features": _features(foundation, recipe)})
    if fleet.devices:
        fleet = fleet.model_copy(update={"devices": tuple(map(named, fleet.devices))})
    else:
        fleet = fleet.model_copy(update={"features": _features(fleet, recipe)})
    inputs = max(recipe.model.inputs, enough(fleet.sources, foundation))
    model = recipe.model.model_copy(update={"inputs": inputs})
    try:
        model = fitted(model, (*fleet.sources, *([foundation] if foundation.enabled else [])), counted=False)
    except ValueError as error:
        raise DataError(f"The network cannot take these windows: model {error}.") from None
    return recipe.model_copy(update={"fleet": fleet, "foundation": foundation, "model": model})


def _files(source: Source) -> list[Path]:
    path = Path(str(source.table))
    if source.window is not None and source.window.files is not None:
        return [each.path for each in recordings_in(path, source.window.files)]
    return files_of(path)


def _features(source: Source, recipe: Recipe) -> tuple[str, ...]:
    """Returns the features of a source's tables, in the order in which they are met."""
    if source.table is None or not any(map(is_pattern, source.features)):
        return source.features
    columns, found, there = columns_of(source, recipe.splits), dict[str, None](), dict[str, None]()
    for path in _files(source):
        try:
            header = files.columns(path, columns.csv)
        except DataError:  # of which `find_devices` tells
            continue
        there |= dict.fromkeys(header)
        found |= dict.fromkeys(matching(header, columns))
    if source.window is not None and source.window.speed is not None:
        found.pop(source.window.speed, None)
    if there and not found:
        raise DataError(
            f"No column of {source.table} is like {listed(source.features)}: it has {listed([*there])}."
        )
    return tuple(found) or source.features

"""A recipe as it is written: TOML files that start from one another, and the keys that replace theirs."""

import importlib.resources
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedmetaalign.errors import RecipeError
from fedmetaalign.recipe.errors import Location


@dataclass(frozen=True)
class RecipeFile:
    """One file: where it lies, and its keys, `extends` left out."""

    path: Path
    keys: Mapping[str, Any]


def builtin() -> dict[str, Path]:
    """Returns the recipes that come with the package, by name."""
    installed = Path(str(importlib.resources.files("fedmetaalign"))) / "recipes"
    folder = installed if installed.is_dir() else Path(__file__).parents[3] / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.toml"), key=lambda path: path.stem)}


def read(recipe: str, extends: str | None = None) -> list[RecipeFile]:
    """Reads a recipe's file and those that it extends, the named one first.

    Args:
        recipe: a built-in name, or the path of a TOML file.
        extends: what the named file extends in place of what it says; a path is relative to the working
            directory.

    Raises:
        RecipeError: a file is missing or not TOML, or the files extend one another in a circle.
    """
    path = builtin().get(recipe, Path(recipe))
    if not path.exists():
        raise RecipeError(f"There is no recipe {recipe!r}: {_known()}.")
    found: list[RecipeFile] = []
    folder = Path()
    while True:
        keys = _toml(path)
        base = keys.pop("extends", None)
        found.append(RecipeFile(path, keys))
        if len(found) > 1 or extends is None:
            extends, folder = base, path.parent
        if extends is None:
            return found
        if not isinstance(extends, str):
            raise RecipeError(f"{path}: extends = {extends!r} must be the name or the path of a recipe.")
        parent = builtin().get(extends, folder / extends)
        if not parent.exists():
            raise RecipeError(f"{path} extends {extends!r}, and there is no such recipe: {_known()}.")
        if any(parent.samefile(file.path) for file in found):
            circle = " extends ".join(str(p) for p in [*(file.path for file in found), parent])
            raise RecipeError(f"{circle}: that is a circle; take extends out of one of them.")
        path = parent


def merged(files: Sequence[RecipeFile]) -> dict[str, Any]:
    """Returns the keys of a file over those that it extends: tables key by key, all else as a whole.

    The name is not handed on: without one of its own a recipe is called as its file is.
    """
    keys: dict[str, Any] = {}
    for file in reversed(files):
        keys = _over(keys, file.keys)
    return {**keys, "name": files[0].keys.get("name", files[0].path.stem)}


def setting(text: str) -> tuple[str, Any]:
    """Reads `key=value`, such as `parallel.rounds=3`; a value that is not TOML is a string.

    Raises:
        RecipeError: the text has not this form.
    """
    key, equals, value = text.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not equals or not all(parts):
        raise RecipeError(f"--set {text!r} is not of the form key=value, such as parallel.rounds=3.")
    try:
        return ".".join(parts), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return ".".join(parts), value


def replaced(keys: Mapping[str, Any], key: str, value: Any, origin: str) -> dict[str, Any]:
    """Returns the keys with one of them, such as `parallel.rounds`, replaced; its sections are made.

    Raises:
        RecipeError: a part of the key is no section; `origin` says who asked for it.
    """
    first, dot, rest = key.partition(".")
    if not dot:
        return {**keys, first: value}
    section = keys.get(first, {})
    if not isinstance(section, Mapping):
        raise RecipeError(f"{origin}: {first} is not a section of the recipe.")
    return {**keys, first: replaced(section, rest, value, origin)}


def origin(files: Sequence[RecipeFile], location: Location) -> Path:
    """Returns the file that a key's value comes from; the named one where none has the key."""
    return next((file.path for file in files if _has(file.keys, location)), files[0].path)


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"Cannot read the recipe {path}: {error}.") from None
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path} is not valid TOML: {error}.") from None


def _known() -> str:
    return f"give the path of a TOML file or one of {', '.join(builtin())}"


def _over(base: Mapping[str, Any], keys: Mapping[str, Any]) -> dict[str, Any]:
    both = {key for key in keys if isinstance(keys[key], dict) and isinstance(base.get(key), dict)}
    return {**base, **keys, **{key: _over(base[key], keys[key]) for key in both}}


def _has(keys: Any, location: Location) -> bool:
    for part in location:
        here = isinstance(keys, Mapping) and part in keys
        if not here and not (isinstance(keys, list) and isinstance(part, int) and part < len(keys)):
            return False
        keys = keys[part]
    return True

"""A digest of the code that makes a number: a module and all that it imports, wherever these files lie."""

import ast
import hashlib
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec, resolve_name
from pathlib import Path


def digest(*modules: str) -> str:
    """Returns one sha256 of the source of some modules, and of all that they import of their packages and ours.

    Imports within functions count; what comes of other packages does not: their versions say what it is.
    """
    packages = frozenset({"fedmetaalign", *(module.partition(".")[0] for module in modules)})
    files = {name: path for module in modules for name, path in _closure(module, packages).items()}
    lines = [f"{name} {_sha256(path)}" for name, path in sorted(files.items())]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _closure(first: str, packages: frozenset[str]) -> dict[str, Path]:
    """Returns the files of a module and all that it imports of some packages, by name."""
    found: dict[str, Path] = {}
    waiting = [first]
    while waiting:
        name = waiting.pop()
        if name in found or name.partition(".")[0] not in packages or (path := _file(name)) is None:
            continue
        if name == "fedmetaalign":  # it names all that is public, and makes no number
            continue
        found[name] = path
        parent = name.rpartition(".")[0]
        waiting += [*_imports(name, path), *([parent] if parent else [])]
    return found


@cache
def _imports(name: str, path: Path) -> tuple[str, ...]:
    """Returns all names that a file may import as modules."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]

    def names() -> Iterator[str]:
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = "." * node.level + (node.module or "")
                base = resolve_name(base, package) if node.level else base
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names)  # which may be no module

    return tuple(names())


@cache
def _file(name: str) -> Path | None:
    """Returns the source of a module, None where there is none of this name."""
    loaded = sys.modules.get(name)
    try:
        spec = loaded.__spec__ if loaded else find_spec(name)
    except (ImportError, ValueError):  # the name of a function, say, in a module that is no package
        return None
    path = Path(spec.origin) if spec and spec.origin else None
    return path if path and path.suffix == ".py" and path.exists() else None


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

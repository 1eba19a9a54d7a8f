"""Federated learning that ends in a tiny, personal fault classifier on every device of a fleet.

    import fedmetaalign as fma

    recipe = fma.load_recipe("demo", seed=1)
    results = fma.run_recipe(recipe, "runs/demo-seed-1")
    bundle = fma.read_bundle("runs/demo-seed-1/devices/feeder-00")
    scores = bundle.scores(x)

What stands in `__all__` is the public interface; it is imported when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from fedmetaalign.errors import BundleError, DataError, FedMetaAlignError, RecipeError, RunError, ToolError

if TYPE_CHECKING:
    from fedmetaalign.fleet.audit.fleet import audit_files
    from fedmetaalign.fleet.build import build as build_fleet
    from fedmetaalign.recipe import load as load_recipe
    from fedmetaalign.report import write_report
    from fedmetaalign.run import run as run_recipe
    from fedmetaalign.tinyml.bundle import read as read_bundle

__all__ = [
    "BundleError",
    "DataError",
    "FedMetaAlignError",
    "RecipeError",
    "RunError",
    "ToolError",
    "audit_files",
    "build_fleet",
    "load_recipe",
    "read_bundle",
    "run_recipe",
    "write_report",
]

_LAZY = {
    "audit_files": ("fedmetaalign.fleet.audit.fleet", "audit_files"),
    "build_fleet": ("fedmetaalign.fleet.build", "build"),
    "load_recipe": ("fedmetaalign.recipe", "load"),
    "read_bundle": ("fedmetaalign.tinyml.bundle", "read"),
    "run_recipe": ("fedmetaalign.run", "run"),
    "write_report": ("fedmetaalign.report", "write_report"),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("fedmetaalign")
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _LAZY[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])

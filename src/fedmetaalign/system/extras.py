"""Parts that are installed only where they are wanted: `fedmetaalign[flower]`, `fedmetaalign[firmware]`."""

from importlib.util import find_spec

from fedmetaalign.errors import ToolError


def require(extra: str, *modules: str) -> None:
    """Makes sure that the modules of an extra are installed, without importing them.

    Args:
        extra: the extra that brings the modules, as "flower".
        modules: names of top-level modules.

    Raises:
        ToolError: some are missing; it says what to install.
    """
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise ToolError(
            f"{' and '.join(missing)} {verb} not installed: call pip install 'fedmetaalign[{extra}]'."
        )

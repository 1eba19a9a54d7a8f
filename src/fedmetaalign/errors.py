"""The errors a person can act on.

Every message is one sentence: what was found, where (file, row, column, key), and what to do. The command
line prints it alone, without a traceback, and exits with 1.
"""


class FedMetaAlignError(Exception):
    """Base of all errors that this package raises on purpose."""


class RecipeError(FedMetaAlignError):
    """A recipe has an unknown key, a value out of range, or keys that exclude each other."""


class DataError(FedMetaAlignError):
    """A table, or the fleet made from tables, cannot be used as it is."""


class RunError(FedMetaAlignError):
    """A run folder cannot be written, resumed or read."""


class BundleError(FedMetaAlignError):
    """A device's bundle is incomplete, altered, or does not fit the data given to it."""


class ToolError(FedMetaAlignError):
    """A compiler, an emulator or an interpreter is missing, or refuses the firmware."""

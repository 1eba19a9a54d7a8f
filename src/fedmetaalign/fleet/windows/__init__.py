"""From samples of a signal to a table whose rows are windows, and whose features a front end makes of them."""

from fedmetaalign.fleet.windows.windowed import windowed

__all__ = ["windowed"]

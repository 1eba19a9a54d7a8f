"""Arrays and numbers as C writes them."""

from collections.abc import Iterator

import numpy as np

TYPES = {"uint8": "uint8_t", "int8": "int8_t", "float32": "float"}


def array(name: str, values: np.ndarray) -> list[str]:
    """Writes (n,) numbers; `name` is the type and the name."""
    return [f"static const {name}[] = {{", *lines(values), "};"]


def table(name: str, columns: str, values: np.ndarray) -> list[str]:
    """Writes (rows, n) numbers; `columns` is what C calls n."""
    rows = [line for row in values for line in ("    {", *lines(row), "    },")]
    return [f"static const {name}[][{columns}] = {{", *rows, "};"]


def lines(values: np.ndarray) -> Iterator[str]:
    """Writes numbers, some in a line."""
    is_real = values.dtype == np.float32
    texts = [real(value) if is_real else str(int(value)) for value in values.tolist()]
    for start in range(0, len(texts), step := 6 if is_real else 8):
        yield f"    {', '.join(texts[start : start + step])},"


def real(value: float | np.float32) -> str:
    """Returns a float32 number as C writes it, with all of its bits but those of a NaN."""
    if not np.isfinite(value):
        return "(0.0f / 0.0f)" if np.isnan(value) else f"({'-' if value < 0 else ''}1.0f / 0.0f)"
    return np.format_float_scientific(np.float32(value), trim="0") + "f"

"""Names with `*` and `?`, which stand for any characters, and for one; brackets are what they are."""

import re


def is_pattern(text: str) -> bool:
    """Says whether a name stands for several."""
    return "*" in text or "?" in text


def like(pattern: str, name: str) -> bool:
    """Says whether a name is one of those that a pattern stands for."""
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, name, re.DOTALL) is not None

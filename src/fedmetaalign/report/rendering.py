"""The templates of what people read; whatever a template does not write itself is escaped."""

from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from fedmetaalign.report import numbers
from fedmetaalign.report.finished import mean


def environment(**options: Any) -> Environment:
    """Returns an environment for the files in `templates/`, with the number formats as filters."""
    found = Environment(
        loader=PackageLoader("fedmetaalign.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **options,
    )
    formats: tuple[Callable[..., object], ...] = (
        numbers.decimal,
        numbers.listing,
        numbers.percent,
        numbers.signed,
        numbers.whole,
        mean,
    )
    found.filters |= {each.__name__: each for each in formats} | {"counted": numbers.count}
    found.globals["ABSENT"] = numbers.ABSENT
    return found

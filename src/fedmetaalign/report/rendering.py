"""The templates of what people read; whatever a template does not write itself is escaped."""

import base64
import hashlib
import json
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

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


class Parts(NamedTuple):
    """Style sheet and script of a page, and the policy by which a browser runs these and loads nothing."""

    style: Markup
    script: Markup
    policy: str


@cache
def parts(scripts: tuple[str, ...]) -> Parts:
    """Returns what a page with these scripts is made of."""
    folder = files("fedmetaalign.report") / "templates"
    style = (folder / "style.css").read_text(encoding="utf-8")
    script = '"use strict";\n' + "".join((folder / name).read_text(encoding="utf-8") for name in scripts)
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; img-src data:;"
        " base-uri 'none'; form-action 'none'"
    )
    return Parts(Markup(style), Markup(script), policy)  # noqa: S704 - both are our own


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def script_data(value: object) -> str:
    """Returns JSON for a script of a page: compact, and nothing that an HTML parser takes for anything else."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c")

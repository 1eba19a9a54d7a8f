"""What a bundle and the manifest hold, as HTML that can be read: known groups as tables, the rest as a list."""

from collections.abc import Mapping
from html import escape
from typing import Any

from fedmetaalign.report.numbers import ABSENT, MINUS, whole
from fedmetaalign.report.tables import cell, head, table, text

SHORT = 32
"""Groups of values up to so many characters each stand in one line; a sha256 has its own."""


def bundle(content: Mapping[str, Any]) -> str:
    """Returns `bundle.json`: how inputs are prepared, the files, and all other facts."""
    rest = dict(content)
    inputs = _inputs(_mapping(rest.get("preparation")))
    if inputs:
        del rest["preparation"]
    sizes, digests = _mapping(rest.get("bytes")), _mapping(rest.get("sha256"))
    files = ""
    if sizes and sizes.keys() == digests.keys():
        rows = [[head(name), cell(_size(sizes[name])), text(_plain(digests[name]))] for name in sizes]
        files = table(["File", "Bytes", "sha256"], rows, prose=1)
        del rest["bytes"], rest["sha256"]
    return facts(rest) + inputs + files


def facts(values: Mapping[str, Any]) -> str:
    """Returns values as a list of "name: value"; what is nested follows its name in the same place."""
    items = "".join(f"<dt>{escape(name)}</dt><dd>{_value(value)}</dd>" for name, value in values.items())
    return f"<dl>{items}</dl>"


def _inputs(preparation: Mapping[str, Any]) -> str:
    """The features, one a row, with what the device does to each; "" where the lists do not fit together."""
    names = preparation.get("features")
    if not isinstance(names, list) or not names:
        return ""
    found = [preparation.get(key) for key in ("units", "mean", "scale")]
    lists = [each for each in found if isinstance(each, list) and len(each) == len(names)]
    if len(lists) < len(found):
        return ""
    columns, categories = preparation.get("columns"), _mapping(preparation.get("categories"))
    places = columns if isinstance(columns, list) else []
    rows = []
    for index, (name, *values) in enumerate(zip(names, *lists, strict=True)):
        taken = ", ".join(str(place) for place, feature in enumerate(places) if feature == index)
        texts = categories.get(name)
        rows.append(
            [
                head(str(name)),
                *(cell(_plain(value)) for value in values),
                cell(taken or ABSENT),
                *([text(_plain(texts))] if categories else []),
            ]
        )
    top = ["Feature", "Unit", "Mean", "Scale", "Network input"]
    top += ["Texts for 0, 1, ..."] if categories else []
    zero = places.count(-1)
    more = (
        f" Of the network's {len(places)} inputs {zero} {'is' if zero == 1 else 'are'} always 0."
        if zero
        else ""
    )
    return (
        f"{table(top, rows, prose=1 if categories else 0)}"
        f'<p class="note">Input = (value \u2212 mean) / scale.{more}</p>'
    )


def _value(value: object) -> str:
    if not isinstance(value, dict) or not value:
        return escape(_plain(value))
    if any(isinstance(each, dict | list) and each for each in value.values()):
        return facts(value)
    parts = [f"<span>{escape(str(name))}</span> {escape(_plain(each))}" for name, each in value.items()]
    in_one_line = all(len(f"{name} {_plain(each)}") <= SHORT for name, each in value.items())
    return (" \u00b7 " if in_one_line else "<br>").join(parts)


def _plain(value: object) -> str:
    if value is None or value in ({}, "", []):
        return ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return f"{value:.6g}".replace("-", MINUS) if isinstance(value, float) else str(value)


def _size(value: object) -> str:
    return whole(value) if isinstance(value, int | float) else _plain(value)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}

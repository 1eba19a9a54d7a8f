"""What a bundle and the manifest hold, taken apart for people: known groups, and the rest as it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fedmetaalign.report.finished import mapping
from fedmetaalign.report.numbers import ABSENT, MINUS

SHORT = 32
"""Groups of values up to so many characters each stand in one line; a sha256 has its own."""


@dataclass(frozen=True)
class Bundle:
    """`bundle.json` of one device.

    Attributes:
        inputs: (feature, (unit, mean, scale), places among the network's inputs); empty where they do not fit.
        encoded: whether each feature becomes a normal score; else it is linear, by mean and scale.
        categories: feature -> its texts, for those features that are texts.
        width: the network's number of inputs.
        zeros: how many of them are always 0.
        files: (name, bytes, sha256); empty where they do not fit.
        facts: all else.
    """

    inputs: tuple[tuple[str, tuple[object, ...], list[int]], ...]
    encoded: bool
    categories: Mapping[str, Any]
    width: int
    zeros: int
    files: tuple[tuple[str, object, object], ...]
    facts: Mapping[str, Any]


def gaps(manifest: Mapping[str, Any]) -> list[tuple[str, str, int, str]]:
    """Returns of each feature of each device that lacks values how many, and what the cells say."""
    rows = []
    for device, features in mapping(manifest.get("gaps")).items():
        for feature, reasons in mapping(features).items():
            counts = {said: n for said, n in mapping(reasons).items() if isinstance(n, int)}
            told = ", ".join(f"{n:,} {said}" for said, n in counts.items())
            rows.append((device, feature, sum(counts.values()), told))
    return rows


def parted(content: Mapping[str, Any]) -> Bundle:
    """Returns `bundle.json` taken apart."""
    preparation = mapping(content.get("preparation"))
    columns = preparation.get("columns")
    places = columns if isinstance(columns, list) else []
    lists = [preparation.get(key) for key in ("features", "units", "mean", "scale")]
    known = [each for each in lists if isinstance(each, list) and each]
    rows = zip(*known, strict=True) if len({len(each) for each in known}) == 1 and len(known) == 4 else ()
    inputs = tuple(
        (str(name), tuple(values), [place for place, feature in enumerate(places) if feature == index])
        for index, (name, *values) in enumerate(rows)
    )
    sizes, digests = mapping(content.get("bytes")), mapping(content.get("sha256"))
    known_files = sizes if sizes.keys() == digests.keys() else {}
    shown = [*(["preparation"] if inputs else []), *(["bytes", "sha256"] if known_files else [])]
    return Bundle(
        inputs=inputs,
        encoded=bool(preparation.get("curves")),
        categories=mapping(preparation.get("categories")),
        width=len(places),
        zeros=places.count(-1),
        files=tuple((name, size, digests[name]) for name, size in known_files.items()),
        facts={name: preparation[name] for name in ("missing", "fill") if inputs and name in preparation}
        | {name: value for name, value in content.items() if name not in shown},
    )


def is_nested(group: Mapping[str, Any]) -> bool:
    """Says whether one of the values is a group itself."""
    return any(isinstance(each, dict | list) and each for each in group.values())


def is_short(group: Mapping[str, Any]) -> bool:
    """Says whether the values fit in one line."""
    return all(len(f"{name} {plain(each)}") <= SHORT for name, each in group.items())


def plain(value: object) -> str:
    """A value as text: None as a dash, a truth as "yes" or "no", a list with commas."""
    if value is None or value in ({}, "", []):
        return ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(plain, value))
    return f"{value:.6g}".replace("-", MINUS) if isinstance(value, float) else str(value)

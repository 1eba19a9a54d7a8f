"""A proposal as the text of a recipe: keys that `run` takes as they are, each with its reason beside it."""

import math
import textwrap
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from fedmetaalign.fleet.files import listed
from fedmetaalign.fleet.labels.classes import canonical
from fedmetaalign.proposal.places import Place, places
from fedmetaalign.proposal.proposal import Choice, Part, Proposal, Split

_WIDTH = 100
_MOST = 8  # classes whose rows are told
_WINDOW = {
    "length": "samples of a window",
    "stride": "a decision so often",
    "by": "no window crosses recordings",
    "rate": "samples a second",
    "points": "in their natural order",
    "front": "what is made of a window",
    "split_recordings": "CHECK: see above",
}
"""What is said of the keys of windows."""


def recipe_text(proposal: Proposal, folder: Path, call: str, run: str) -> str:
    """Writes a proposal as a recipe.

    Args:
        proposal: what to write.
        folder: the recipe's, to which its tables are relative.
        call: the call that made it, for its first line.
        run: the call that runs it.
    """
    lines = [f"# Proposed by: {call}", f"# Run it with: {run}"]
    lines += _comment(
        "Each choice has its reason beside it. Look at the ones that say CHECK before you trust a result."
    )
    lines += ["", f"name = {value(proposal.name)}", 'extends = "fleet"', ""]
    if proposal.left:
        lines += _comment("Tables that are left out:")
        lines += [line for sentence in proposal.left for line in _comment(f"- {sentence}")] + [""]
    sources = [_places(choice, folder, proposal.spare) for choice in proposal.choices]
    alone = sum(map(len, sources)) == 1
    exclude = [name for found in sources for _, place in found for name in place.exclude]
    raw = any(choice.window and "raw" in choice.window.front for choice in proposal.choices)
    if (exclude or raw) and not alone:
        lines += ["[fleet]", *_whole(exclude, raw), ""]
    for choice, found in zip(proposal.choices, sources, strict=True):
        for note in choice.notes:
            lines += [*_comment(note), ""]
        for i, (part, place) in enumerate(found):
            lines += _source(choice, part, place, alone, told=i > 0, raw=raw)
        lines += [*_left(choice), ""]
    conversions = {unit: way for choice in proposal.choices for unit, way in choice.conversions.items()}
    if conversions:
        lines += [
            "[fleet.conversions]",
            *(f"{_key(unit)} = {value(way)}" for unit, way in conversions.items()),
            "",
        ]
    if proposal.csv:
        lines += ["[fleet.csv]", *(f"{key} = {value(each)}" for key, each in proposal.csv.items()), ""]
    return "\n".join([*lines, *_splits(proposal)]) + "\n"


def value(thing: Any) -> str:
    """A value as TOML, in one line."""
    if isinstance(thing, Mapping):
        inside = ", ".join(f"{_key(key)} = {value(each)}" for key, each in thing.items())
        return f"{{ {inside} }}"
    if isinstance(thing, list | tuple):
        return f"[{', '.join(map(value, thing))}]"
    return tomli_w.dumps({"v": thing}).removeprefix("v = ").strip()


def _whole(exclude: Sequence[str], raw: bool) -> Iterator[str]:
    """The lines about the whole fleet: devices that take no part, and how raw samples are scaled."""
    if exclude:
        yield f"exclude = {value(exclude)}"
    if raw:
        yield _with('encoding = "linear"', "raw samples are scaled by channel")


def _source(choice: Choice, part: Part, place: Place, alone: bool, told: bool, raw: bool) -> Iterator[str]:
    """The lines of one source."""
    yield "[fleet]" if alone else "[[fleet.devices]]"
    yield _with(f"table = {value(place.table)}", _whose(choice, place))
    if alone:
        yield from _whole(place.exclude, raw)
    if part.decimal:
        why = f"as {part.proof} proves" if part.proof else "CHECK: nothing proves it"
        yield _with(f"csv = {value({'decimal': part.decimal})}", "" if told else why)
    yield from _label(choice, told)
    if choice.split.time:
        yield _with(f"time = {value(choice.split.time)}", "" if told else "puts rows in order")
    if choice.device:
        yield f"device = {value(choice.device if len(choice.device) > 1 else choice.device[0])}"
    if choice.window is None or choice.window.points is None:
        yield from _listed("features", part.features)
    if units := {name: unit for name, unit in choice.units.items() if name in part.features}:
        yield from _mapped("units", units)
    if categories := {name: order for name, order in choice.categories.items() if name in part.features}:
        yield _with(f"categories = {value(categories)}", "texts that become 0, 1, 2, ...: CHECK their order")
    if gaps := {name: count for name, count in choice.gaps.items() if name in part.features}:
        counts = ", ".join(f"{name} {count:,}" for name, count in gaps.items())
        yield _with('missing_values = "median"', f"stands for what is missing: {counts}")
    yield ""
    if choice.window is not None:
        yield "[fleet.window]" if alone else "[fleet.devices.window]"
        if not told:
            yield from _comment(choice.window.why[:1].upper() + choice.window.why[1:] + ".")
        for key, each in choice.window.keys.items():
            yield _with(f"{key} = {value(each)}", "" if told else _WINDOW.get(key, ""))
        yield ""


def _label(choice: Choice, told: bool) -> Iterator[str]:
    label = choice.label
    columns = label.columns
    yield _with(f"label = {value(columns if len(columns) > 1 else columns[0])}", "" if told else label.why)
    counts = ", ".join(f"{name} {count:,}" for name, count in [*choice.counts.items()][:_MOST])
    counts += f" and {len(choice.counts) - _MOST} more" if len(choice.counts) > _MOST else ""
    if len(columns) > 1 and choice.kinds:
        yield _with(
            "kinds = true",
            "" if told else f"each combination is a kind, and {'0' * len(columns)} no fault; rows: {counts}",
        )
    elif choice.kinds:
        yield _with(
            f"normal = {value(_plain(label.normal))}",
            "" if told else f"every other value is a kind of fault; rows: {counts}",
        )
    elif label.normal and not label.faults:
        yield f"normal = {value(_plain(label.normal))}"
    elif label.faults:
        yield _with(
            f"positive = {value(_plain(label.faults))}", "" if told else f"and {listed(label.normal)} no fault"
        )


def _whose(choice: Choice, place: Place) -> str:
    if choice.device:
        return f"a device is each {' and '.join(choice.device)}"
    return f"{place.tables} tables, a device each" if place.tables > 1 else "one device"


def _left(choice: Choice) -> Iterator[str]:
    if choice.left:
        yield "# Columns that are left out:"
        for name, reason in choice.left.items():
            told = reason if f"'{name}'" in reason else f"'{name}': {reason}"
            yield from _comment(f"- {told}")


def _splits(proposal: Proposal) -> Iterator[str]:
    every = [choice.split for choice in proposal.choices]
    split = every[0]
    if len({(each.kind, each.unit) for each in every}) > 1:  # blocks do no harm where rows would do
        every += [each.otherwise for each in every if each.otherwise]
        split = next(
            (each for each in every if each.kind == "blocks"),
            Split("rows", "the tables have no other way in common"),
        )
    yield "[splits]"
    yield from _comment(split.why[:1].upper() + split.why[1:] + ".")
    yield f"kind = {value(split.kind)}"
    if split.unit:
        yield f"unit = {value(split.unit)}"
    if split.block:
        yield f"block = {split.block}"
    if split.test:
        yield _with(f"test = {split.test}", "so that each class has a unit on both sides")


def _places(choice: Choice, folder: Path, spare: Collection[Path]) -> list[tuple[Part, Place]]:
    """The sources: a pattern's tables may lack features, and so it takes all that it matches."""
    paths = tuple(sorted(path for part in choice.parts for path in part.paths))
    if len({part.decimal for part in choice.parts}) == 1:
        every = Part(paths, choice.features, choice.parts[0].decimal, choice.parts[0].proof)
        found = places(paths, folder, spare)
        if all(place.tables > 1 for place in found) or len(choice.parts) == 1:
            return [(every, place) for place in found]
    return [(part, place) for part in choice.parts for place in places(part.paths, folder, spare)]


def _plain(values: Sequence[str]) -> list[str | int | float]:
    """Values as a recipe writes them: numbers as numbers."""
    found: list[str | int | float] = []
    for each in values:
        number = canonical(each)
        if isinstance(number, str) or not math.isfinite(number):
            found.append(each)
        else:
            found.append(int(number) if number.is_integer() else number)
    return found


def _listed(key: str, names: Sequence[str]) -> list[str]:
    line = f"{key} = {value(names)}"
    if len(line) <= _WIDTH:
        return [line]
    return [f"{key} = [", *_wrapped([value(name) for name in names]), "]"]


def _mapped(key: str, pairs: Mapping[str, str]) -> list[str]:
    line = f"{key} = {value(pairs)}"  # TOML keeps an inline table on one line
    return [line]


def _wrapped(items: Sequence[str]) -> list[str]:
    lines, line = [], "   "
    for item in items:
        if len(line) + len(item) + 2 > _WIDTH and line.strip():
            lines.append(line)
            line = "   "
        line += f" {item},"
    return [*lines, line]


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent="# ", subsequent_indent="#   " if text.startswith("- ") else "# ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def _with(line: str, why: str) -> str:
    """A line with its reason, on the same line where there is room."""
    if not why:
        return line
    why = " ".join(why.split())
    if len(line) + len(why) + 6 <= _WIDTH:
        return f"{line.ljust(28)}  # {why}"
    return "\n".join([*_comment(why[:1].upper() + why[1:] + ":"), line])


def _key(name: str) -> str:
    return tomli_w.dumps({name: 0}).removesuffix(" = 0\n")

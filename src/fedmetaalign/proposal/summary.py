"""A proposal as the lines that a terminal shows, and as plain values for programs."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from fedmetaalign.fleet.audit.table import Audit, sentences
from fedmetaalign.proposal.proposal import Choice, Proposal

_MOST = 12  # names that a line lists
_OF_ROWS = ("duplicates", "order", "drift", "sorted")


def summary(proposal: Proposal) -> list[str]:
    """Says what is proposed, and what an audit found, a line each."""
    lines: list[str] = []
    for choice in proposal.choices:
        lines += [*_choice(choice), "", "Audit of all rows together:"]
        lines += [f"  {sentence}" for sentence in sentences(_told(choice))]
        lines += [note for text in choice.notes for note in ("", text)]
    if proposal.left:
        lines += ["", "Tables that are left out:", *(f"  {sentence}" for sentence in proposal.left)]
    return lines


def to_dict(proposal: Proposal) -> dict[str, Any]:
    """A proposal as plain values for JSON."""
    return {
        "name": proposal.name,
        "left": list(proposal.left),
        "choices": [
            {
                "tables": [str(path) for part in choice.parts for path in part.paths],
                "device": list(choice.device),
                "label": asdict(choice.label),
                "kinds": choice.kinds,
                "counts": dict(choice.counts),
                "features": list(choice.features),
                "units": dict(choice.units),
                "categories": {name: list(order) for name, order in choice.categories.items()},
                "gaps": dict(choice.gaps),
                "left": dict(choice.left),
                "window": None if choice.window is None else choice.window.keys,
                "split": asdict(choice.split),
                "notes": list(choice.notes),
                "audit": choice.audit.to_dict(),
            }
            for choice in proposal.choices
        ],
    }


def _told(choice: Choice) -> Audit:
    """The audit, of samples of a signal without what it says of neighbouring rows: all of these are alike."""
    if choice.window is None or choice.window.length is None:
        return choice.audit
    kept = (finding for finding in choice.audit.findings if finding.code not in _OF_ROWS)
    return replace(choice.audit, findings=tuple(kept))


def _choice(choice: Choice) -> Iterator[str]:
    tables = sum(len(part.paths) for part in choice.parts)
    devices = f"{tables} tables, a device each" if tables > 1 else str(choice.parts[0].paths[0])
    if choice.device:
        devices += f", a device for each {' and '.join(choice.device)}"
    yield devices
    counts = (f"{name} {count:,}" for name, count in choice.counts.items())
    yield f"  label     {', '.join(choice.label.columns)}: {_listed(counts)}"
    if choice.label.faults:
        yield f"  no fault  {_listed(choice.label.normal)}"
    elif len(choice.label.columns) > 1 and choice.kinds:
        yield f"  no fault  {'0' * len(choice.label.columns)}; each other combination is a kind of fault"
    units = {name: unit for name, unit in choice.units.items() if not name.endswith((f"[{unit}]", f"({unit})"))}
    names = (f"{name} [{units[name]}]" if name in units else name for name in choice.features)
    yield f"  features  {_listed(names)}"
    if choice.gaps:
        yield f"  missing   {_listed(f'{name} {count:,}' for name, count in choice.gaps.items())}"
    if choice.window is not None:
        keys = ", ".join(f"{key} {each}" for key, each in choice.window.keys.items() if key != "front")
        yield f"  windows   {keys}: {' and '.join(choice.window.front)}"
    if choice.left:
        yield f"  left out  {_listed(choice.left)}"
    yield f"  split     {choice.split.kind}: {choice.split.why}"


def _listed(names: Any) -> str:
    names = list(names)
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return ", ".join(names[:_MOST]) + more

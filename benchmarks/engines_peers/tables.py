"""The result as Markdown tables."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from engines_peers.contenders import CONTENDERS
from engines_peers.problem import SAMPLES
from online.tables import ratios, spread, table

TARGET, AT = 20, 100
"""How many times faster we want to be, and with how many devices."""


def render(result: Mapping[str, Any]) -> str:
    """Writes what was measured where, every contender's times, and the figures that have a target."""
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    about = (
        f"{result['machine']}; {versions}. A round: {SAMPLES} Adam steps on every device, and aggregation."
        f" Passes: {len(result['passes'])}; median (lowest–highest)."  # noqa: RUF001 - an en dash between numbers
    )
    parts = about, times(result["passes"]), targets(result["passes"])
    return "\n\n".join(filter(None, parts))


def times(passes: Sequence[Mapping[str, Any]]) -> str:
    """One row a fleet and contender."""
    rows = []
    for devices, names in passes[0].items():
        for name in names:
            taken = [one[devices][name] for one in passes]
            over = [each["over"] for each in taken if not each["rounds"]]
            first = [each["first"] for each in taken if each["first"] is not None]
            rounds = [second for each in taken for second in each["rounds"]]
            seconds = f"over {max(over):,.0f}" if over else spread(rounds, ".3f")
            slowdown = compared(passes, devices, name)
            slower = "at least " * bool(over) + spread(slowdown, ".1f") if slowdown else ""
            rows.append(
                (
                    devices,
                    CONTENDERS[name].label,
                    seconds,
                    slower,
                    f"{statistics.median(first):.1f}" if first else "",
                )
            )
    return table(("devices", "engine and step", "seconds a round", "times ours", "first round, s"), rows)


def compared(passes: Sequence[Mapping[str, Any]], devices: str, name: str) -> list[float]:
    """Returns how many times longer than ours a round takes, in each pass; the least that it can be where the
    contender was stopped in one; nothing where either has no round at all.
    """
    pairs = [(one[devices][name], one[devices].get("ours")) for one in passes]
    if any(ours is None or not ours["rounds"] or each["first"] is None for each, ours in pairs):
        return []
    return ratios(
        [statistics.median(each["rounds"] or [each["over"]]) for each, _ in pairs],
        [statistics.median(ours["rounds"]) for _, ours in pairs],
    )


def targets(passes: Sequence[Mapping[str, Any]]) -> str:
    """One row for every peer with a step of its own, in the fleet that has a target."""
    rows = []
    for name in passes[0].get(str(AT), {}):
        slowdown = compared(passes, str(AT), name)
        if CONTENDERS[name].step == "ours" or not slowdown:
            continue
        met = "yes" if statistics.median(slowdown) >= TARGET else "no"
        question = f"{AT} devices: times faster than {CONTENDERS[name].label}"
        rows.append((question, spread(slowdown, ".1f"), f"at least {TARGET}", met))
    return table(("question", "measured", "target", "met"), rows) if rows else ""

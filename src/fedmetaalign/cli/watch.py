"""The live view of a run in a terminal: how far it is, and a line a device."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.bar import Bar
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live as Screen
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from fedmetaalign.cli.terminal import stdout
from fedmetaalign.report.live import PHASES, Live, LiveDevice, read

STATES = {"running": "green", "waiting": "yellow", "done": "bold green", "failed": "bold red"}
SECONDS_BETWEEN_LOOKS = 0.5

_WIDE = 96
"""Columns of a terminal from which on there is room for long bars."""

_HEADER = 2
"""Lines of the table's header."""


def watch(
    folder: Path,
    once: bool = False,
    console: Console | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Shows a run until it is done or failed, or Ctrl-C; where there is no terminal, once.

    Args:
        folder: the run folder.
        once: print the view and return.
        console: where to; standard output by default.
        sleep: waits for so many seconds.

    Raises:
        RunError: this is not a run folder.
    """
    console = console or stdout()
    live = read(folder)
    if once or not console.is_interactive:
        console.print(View(live, _now()))
        return
    try:
        with Screen(console=console, screen=True, auto_refresh=False) as screen:
            while not live.over:
                screen.update(View(live, _now()), refresh=True)
                sleep(SECONDS_BETWEEN_LOOKS)
                live = read(folder, live)
    except KeyboardInterrupt:
        pass
    # The screen of before is back: what was seen last stays on it.
    console.print(View(live, _now()), height=console.height - 1)


@dataclass(frozen=True)
class View:
    """A run as text for a terminal of 80 columns or more.

    It takes as many lines as it needs, or as many as the console says that there are.
    """

    live: Live
    now: datetime

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yields the head, the devices, and why answers were missed."""
        head = [*_head(self.live, self.now, options), Text()]
        devices = self.live.devices
        missed = [device for device in devices if device.missed]
        if options.height is not None:
            whole = options.reset_height()
            room = options.height - sum(len(console.render_lines(each, whole)) for each in head) - _HEADER
            missed = missed[: max(room // 3, 1)]
            room -= len(missed) + bool(missed)
            devices = devices if len(devices) <= room else devices[: max(room - 1, 1)]
        yield from head
        if devices:
            yield _table(devices, self, options)
        if cut := len(self.live.devices) - len(devices):
            yield Text(f"... and {cut} more", style="dim")
        if missed:
            yield Text()
            yield _reasons(missed, short=options.height is not None)

    def ago(self, then: datetime | None) -> float | None:
        """Returns the seconds since then, seen from now or from the end of a run that is over."""
        end = self.live.updated if self.live.over and self.live.updated else self.now
        # The clock of the machine that writes the folder may be ahead of ours.
        return None if then is None else max((end - then).total_seconds(), 0.0)


def _head(live: Live, now: datetime, options: ConsoleOptions) -> list[RenderableType]:
    head: list[RenderableType] = [_state(live, now)]
    if live.state != "done":
        phase = _literal(PHASES.get(live.phase or "", live.phase or "before the first phase"))
        if live.round and live.rounds and live.rounds > 1:
            phase.append(f", round {live.round} of {live.rounds}")
        head.append(phase)
    if live.total:
        line = Table.grid(padding=(0, 2))
        width = min(options.max_width, 100) - 20
        bar = ProgressBar(live.total, live.done, width=width, complete_style="cyan", finished_style="green")
        line.add_row(bar, f"{live.done} of {live.total} rounds")
        head.append(line)
    if live.message:
        head.append(_literal(live.message, STATES.get(live.state, "")))
    if live.report:
        head.append(Text(f"Report: {live.report}"))
    return [*head, Text(), _presence(live, options)]


def _state(live: Live, now: datetime) -> Text:
    text = Text.assemble(_literal(live.name, "bold"), "  ", _literal(live.state, STATES.get(live.state, "")))
    elapsed = live.elapsed(now)
    if elapsed is not None:
        text.append(f" after {_long(elapsed)}" if live.over else f", {_long(elapsed)} since the start")
    if live.updated and not live.over:
        text.append(f", last news {_short(max((now - live.updated).total_seconds(), 0.0))} ago")
    return text


def _presence(live: Live, options: ConsoleOptions) -> Text:
    count = len(live.devices)
    text = f"{count} device{'' if count == 1 else 's'}" if count else "no device has answered yet"
    if count == 1 and live.over:
        text += ", which has learnt from its own samples alone"
    present = sum(device.present is True for device in live.devices)
    away = sum(device.present is False for device in live.devices)
    if present or away:
        text += f": {_mark(True, options)} {present} present, {_mark(False, options)} {away} away"
    return Text(text)


def _table(devices: Sequence[LiveDevice], view: View, options: ConsoleOptions) -> Table:
    """Returns a line a device; without bars where the terminal cannot draw them."""
    drawn = not options.ascii_only
    half, width = (5, 8) if options.max_width >= _WIDE else (3, 4)
    largest = max(device.answers.weight or 0.0 for device in view.live.devices)
    table = Table(box=None, header_style="", pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("\ndevice")
    table.add_column("seen\nago", no_wrap=True)
    for column in ("query\nloss", "accu-\nracy %", "\nscore", "align-\nment"):
        table.add_column(column, justify="right", no_wrap=True)
    if drawn:
        table.add_column(f"\n-1{'0':^{2 * half - 3}}+1", no_wrap=True)
    table.add_column("weight\nin %", justify="right", no_wrap=True)
    if drawn:
        table.add_column(width=width)
    table.add_column("of\nround", justify="right", no_wrap=True)
    table.add_column("\nmissed", justify="right", no_wrap=True)
    for device in devices:
        answers = device.answers
        urgent, _ = device.trouble
        table.add_row(
            _literal(device.name, "bold red" if urgent else "yellow" if device.missed else "", cut=True),
            _seen(device, view, options),
            _number(answers.query_loss, ".3f"),
            _number(answers.accuracy, ".1f", 100),
            _number(answers.score, ".3f"),
            _number(answers.alignment, "+.2f"),
            *([_alignment_bar(answers.alignment, half)] if drawn else []),
            _number(answers.weight, ".1f", 100),
            *([_bar(answers.weight, largest, width, "cyan")] if drawn else []),
            _number(answers.parallel, "d"),
            str(device.missed or ""),
        )
    return table


def _seen(device: LiveDevice, view: View, options: ConsoleOptions) -> str:
    if device.present is None:
        return ""
    ago = view.ago(device.last_seen)
    since = _short(ago) if ago is not None else "" if device.present else "never"
    return f"{_mark(device.present, options)} {since}"


def _alignment_bar(value: float | None, half: int) -> RenderableType:
    """Draws -1 to 1 from an axis in the middle; `half` is the width of each side."""
    if value is None:
        return ""
    bar = Table.grid()
    bar.add_row(Bar(1, 1 + min(value, 0), 1, width=half, color="red"), "\u2502", _bar(value, 1, half, "green"))
    return bar


def _bar(value: float | None, largest: float, width: int, color: str) -> Bar:
    """Draws 0 to `largest`; nothing below."""
    return Bar(largest or 1, 0, value or 0, width=width, color=color)


def _mark(present: bool, options: ConsoleOptions) -> str:
    if options.ascii_only:
        return "+" if present else "-"
    return "\u25cf" if present else "\u25cb"


def _reasons(devices: Sequence[LiveDevice], short: bool) -> Table:
    """Returns how many answers of each device were missed, and why the last one was; `short` in one line."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for device in devices:
        missed, last = device.answers.missed, device.answers.last_miss
        kinds = [kind for kind, count in missed.items() if count]
        kinds.sort(key=lambda kind: last is not None and kind == last.kind)  # the last one's stands last
        counted = ", ".join(f"{missed[kind]} {kind}" for kind in kinds)
        reason = _literal(f"phase {last.phase}, round {last.round}: {last.reason}" if last else "", cut=short)
        table.add_row(_literal(device.name, "bold", cut=short), Text(counted, no_wrap=True), reason)
    return table


def _number(value: float | None, form: str, factor: int = 1) -> str:
    return "" if value is None else format(factor * value, form)


def _literal(text: str, style: str = "", cut: bool = False) -> Text:
    """Returns a text of others as it is: no markup, and nothing that steers the terminal."""
    shown = "".join(character if character.isprintable() else "?" for character in text)
    return Text(shown, style=style, no_wrap=cut, overflow="ellipsis" if cut else None)


def _short(seconds: float) -> str:
    """192 as "3 min"."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def _long(seconds: float) -> str:
    """192 as "3 min 12 s"."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _now() -> datetime:
    return datetime.now(UTC)

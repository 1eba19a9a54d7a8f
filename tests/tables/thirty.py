"""Some fifty small tables, one of each kind that a folder may hold, each with the right outcome beside it.

All are tables of one kind of pump: three sensors, and whether it was a fault. No file is kept: what is written
here is all there is to each.
"""

import gzip
from dataclasses import dataclass
from pathlib import Path

from making import (
    SENSORS,
    book,
    changed,
    changed_rows,
    each,
    european,
    feather,
    in_fahrenheit,
    labelled,
    parquet,
    pump,
    put,
    spreadsheet,
    swapped,
    text,
    timed,
    typed,
    with_durations,
)

RECIPE = """
name = "thirty"
[fleet]
scaling = "fleet"
[[fleet.devices]]
table = "tables/*"
label = "fault"
features = ["speed", "load", "he*t"]
units = { heat = "degC" }
[[fleet.devices]]
table = "timed/*"
label = "fault"
features = ["speed", "load", "heat"]
units = { heat = "degC" }
time = "time"
[[fleet.devices]]
name = "../../x"
table = "elsewhere.csv"
label = "fault"
features = ["speed", "load", "heat"]
units = { heat = "degC" }
[fleet.conversions]
F = { to = "degC", factor = 0.5555555555555556, offset = -17.77777777777778 }
[model]
hidden = [8, 4]
[optimizer]
learning_rate = 0.01
[serial]
rounds = 1
[parallel]
rounds = 2
[personalize]
epochs = 1
[evaluation]
alone = false
curves = true
"""


@dataclass(frozen=True)
class Outcome:
    """What becomes of a table.

    Attributes:
        rows: that are read with a label; None where the device is left out.
        unlabelled: rows without a label.
        features: that the device has.
        says: what the run says of it: a whole sentence of a notice, or the errors, in their order.
    """

    rows: int | None
    unlabelled: int = 0
    features: tuple[str, ...] = SENSORS
    says: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """A table, and what becomes of it.

    Attributes:
        file: its name, in the folder of the tables with a time or, without a folder, of those without.
        what: what is unusual about it.
        content: the bytes of the file.
        outcome: the right one; `{file}` stands for the path in its sentences.
    """

    file: str
    what: str
    content: bytes
    outcome: Outcome

    @property
    def device(self) -> str:
        """The name of the device."""
        return Path(self.file).name.partition(".")[0].replace(" ", "_")

    @property
    def path(self) -> Path:
        """Where it is."""
        return Path(self.file) if "/" in self.file else Path("tables") / self.file


def read(*says: str, rows: int = 60) -> Outcome:
    """A table that is read as a whole."""
    return Outcome(rows, says=says)


def left_out(*says: str) -> Outcome:
    """One that is not."""
    return Outcome(None, says=says)


CORRECT = "; correct it, leave the column out of the features, or list its values as categories"

CASES = (
    Case("plain.csv", "nothing", text(pump()).encode(), read()),
    Case("order.csv", "columns in another order", changed(swapped, seed=1), read()),
    Case(
        "more.csv",
        "columns that nobody uses",
        changed(lambda table: [row.insert(1, "note") for row in table], seed=2),
        read(),
    ),
    Case(
        "lacking.csv",
        "a sensor that others have is missing",
        changed(lambda table: [row.pop(2) for row in table], seed=3),
        Outcome(60, features=("speed", "load"), says=("'heat' on lacking",)),
    ),
    Case(
        "misspelt.csv",
        "a sensor under another name than elsewhere",
        changed(put((1, 1, "Load")), seed=53),
        Outcome(60, features=("speed", "heat"), says=("{file} has no column 'load'; did you mean 'Load'?",)),
    ),
    Case(
        "header-units.csv",
        "the header has the unit",
        changed(put((1, 1, "load [%]")), seed=4),
        read("'load' in % on "),
    ),
    Case(
        "fahrenheit.csv",
        "another unit, for which a conversion is declared",
        changed(in_fahrenheit, seed=5),
        read("'heat' is turned from F into degC on fahrenheit and unit-line: a bundle there takes it in F."),
    ),
    Case(
        "plain copy.csv",
        "a copy of another device, and a name that is no folder's",
        text(pump()).encode(),
        read(
            "plain and plain_copy have the same samples: one trains on what another is tested on. Leave all but"
            " one out with fleet.exclude.",
            "'plain copy' is 'plain_copy'",
        ),
    ),
    Case("ten.csv", "ten rows", labelled(4, 10, 6), read(rows=10)),
    Case("three.csv", "three rows, no fault", labelled(0, 3, 7), read(rows=3)),
    Case(
        "two.csv",
        "two rows",
        labelled(1, 2, 8),
        left_out(
            "Device two has too few samples: of its 2, none is left for the test part; give it more, or"
            " change [splits].",
        ),
    ),
    Case("single-fault.csv", "one fault", labelled(1, 80, 9), read(rows=80)),
    Case("rare.csv", "0.1 % faults", labelled(3, 3000, 10), read(rows=3000)),
    Case("normal.csv", "no fault", labelled(0, 60, 11), read("by false alarms: normal")),
    Case(
        "worn.csv",
        "faults alone",
        labelled(60, 60, 12),
        read("nothing to test false alarms on: worn"),
    ),
    Case(
        "unlabelled.csv",
        "no label at all",
        changed(each(3, lambda _: ""), seed=13),
        Outcome(0, 60, says=("which receive the fleet's model and cannot be judged: unlabelled.",)),
    ),
    Case(
        "partly.csv",
        "rows without a label",
        changed(put(*((line, 3, "") for line in range(2, 22))), seed=14),
        Outcome(40, 20, says=("20 of partly",)),
    ),
    Case(
        "words.csv",
        "labels true and false",
        changed(each(3, lambda y: ["false", "TRUE"][int(y)]), seed=15),
        read(),
    ),
    Case("floats.csv", "labels 0.0 and 1.0", changed(each(3, lambda y: f"{y}.0"), seed=16), read()),
    Case(
        "maybe.csv",
        "a label that is none",
        changed(put((9, 3, "maybe")), seed=17),
        left_out(
            "{file}, line 9, column 'fault' is a label but not 0/1: the column holds '0', '1', 'maybe'; say"
            " with `normal` which values mean no fault, or with `positive` which mean fault"
        ),
    ),
    Case("stuck.csv", "a sensor that stands still", changed(each(2, lambda _: "70.0"), seed=18), read()),
    Case(
        "huge.csv",
        "a value that no microcontroller can hold",
        changed(put((5, 0, "1e200")), seed=20),
        read("filled 1 cell of 'speed' (1 too large for float32) on huge"),
    ),
    Case("empty.csv", "nothing in it", b"", left_out("{file} is empty; give it a header and rows")),
    Case(
        "header.csv",
        "a header alone",
        b"speed,load,heat,fault\n",
        left_out("{file} has a header but no rows; remove the device or give it data"),
    ),
    Case(
        "twice.csv",
        "two columns of one name",
        changed(put((1, 2, "load")), seed=21),
        left_out("{file}, line 1 names column 'load' twice; rename or remove one of them"),
    ),
    Case(
        "short.csv",
        "a row that is too short",
        changed(lambda table: table[30].pop(), seed=22),
        Outcome(
            None,
            says=("{file}, line 31 has 3 cells where the header has 4 columns; correct or remove the line",),
        ),
    ),
    Case(
        "no-label.csv",
        "no column with the label",
        changed(put((1, 3, "Faults")), seed=23),
        left_out("{file} has no column 'fault'; did you mean 'Faults'?"),
    ),
    Case(
        "other.csv",
        "another kind of table",
        b"name,size\nx,1\ny,2\n",
        left_out("{file} has no column 'fault'; it has 'name', 'size'"),
    ),
    Case(
        "text.csv",
        "cells that are no numbers",
        changed(put(*((line, 1, "high") for line in range(3, 15, 2)), (20, 2, "cold")), seed=24),
        read("filled 6 cells of 'load' (6 'high') and 1 cell of 'heat' (1 'cold') on text"),
    ),
    Case(
        "infinite.csv",
        "a number that is not finite",
        changed(put((4, 0, "-inf")), seed=25),
        read("filled 1 cell of 'speed' (1 '-inf') on infinite"),
    ),
    Case(
        "gaps.csv",
        "cells without a value, in several ways to write it",
        changed(put((3, 0, ""), (4, 0, "NA"), (5, 0, "No Data"), (6, 0, "-"), (7, 0, "#N/A")), seed=54),
        read("filled 5 cells of 'speed' (1 empty, 1 'NA', 1 'No Data', 1 '-', 1 '#N/A') on gaps"),
    ),
    Case(
        "worded.csv",
        "a column of words among the features",
        changed(each(1, lambda _: "low"), seed=32),
        left_out(
            "{file}, line 2, column 'load' holds 'low', and 60 of its 60 values are no numbers, as on lines 3,"
            " 4, 5, 6 and 55 more" + CORRECT
        ),
    ),
    Case("mark.csv", "a byte-order mark", b"\xef\xbb\xbf" + text(pump(seed=26)).encode(), read()),
    Case("windows.csv", "line ends of Windows", text(pump(seed=27), end="\r\n").encode(), read()),
    Case("blank.csv", "blank lines", text(pump(seed=28), end="\n\n").encode(), read()),
    Case("quoted.csv", "cells in quotes", changed(each(1, lambda v: f'"{v}"'), seed=29), read()),
    Case("typed.parquet", "typed columns", parquet(pump(seed=30)), read()),
    Case(
        "cut-off.parquet",
        "a file that is cut off",
        parquet(pump(seed=31))[:-30],
        left_out("{file} is not a readable Parquet file; write it again"),
    ),
    Case(
        "semicolons.csv",
        "semicolons and decimal commas",
        text(changed_rows(european, seed=40), ";").encode(),
        read("'semicolons.csv': semicolons, decimal commas"),
    ),
    Case(
        "tabs.csv",
        "tabs",
        text(pump(seed=41), "\t").encode(),
        read(
            "'tabs.csv'",
        ),
    ),
    Case("bars.csv", "bars", text(pump(seed=42), "|").encode(), read("'bars.csv': bars")),
    Case("wide.csv", "UTF-16", text(pump(seed=43)).encode("utf-16"), read("'wide.csv': commas, UTF-16")),
    Case(
        "latin.csv",
        "a column of Latin-1",
        changed(lambda table: [row.append("Zürich") for row in table], seed=44).decode().encode("latin-1"),
        read("'latin.csv': commas, cp1252"),
    ),
    Case(
        "titled.csv", "a title over the header", b"Pump 7 in March\n\n" + text(pump(seed=70)).encode(), read()
    ),
    Case(
        "hidden.csv",
        "a name with something invisible in it",
        changed(put((1, 2, "he\u200bat")), seed=71),
        read(),
    ),
    Case(
        "report.xlsx",
        "a sheet of notes before that of the table, which has a title",
        book([["Notes"]], [["Pump 7 in March"], [], *pump(seed=72)]),
        read("'report.xlsx': sheet 'Sheet2' of 2, header in row 3"),
    ),
    Case(
        "beside.xlsx",
        "a sheet of facts, and then one with a table of limits beside that of the samples",
        book(
            [["Customer", "ACME"], ["Pump", "7"]],
            [
                row + (["", "limit", "value"] if i == 0 else ["", f"L{i}", str(i)] if i < 4 else [])
                for i, row in enumerate(pump(seed=80))
            ],
        ),
        read("'beside.xlsx': sheet 'Sheet2' of 2"),
    ),
    Case(
        "groups.csv",
        "a line above the header that names groups of columns",
        changed(lambda table: table.insert(0, ["Drive", "", "", "State"]), seed=81),
        read("'groups.csv': commas, UTF-8, header in line 2"),
    ),
    Case(
        "sums.csv",
        "sums and a count at the end",
        changed(lambda table: table.extend([["Summe", "2400,5", "", ""], ["Anzahl Zeilen: 60"]]), seed=82),
        read("'sums.csv': commas, UTF-8, 2 lines at the end left out (sums and the like)"),
    ),
    Case(
        "zeros.csv",
        "zero bytes at the end, where a logger lost its current",
        text(pump(seed=83)).encode() + b"\0" * 300,
        read("1 line at the end left out (sums and the like)"),
    ),
    Case("packed.csv.gz", "packed", gzip.compress(text(pump(seed=45)).encode()), read()),
    Case("sheet.xlsx", "a spreadsheet", spreadsheet(pump(seed=46)), read()),
    Case("arrow.feather", "Arrow's format", feather(pump(seed=47)), read()),
    Case("objects.jsonl", "an object a line", typed(pump(seed=48)).write_ndjson().encode(), read()),
    Case("remarks.csv", "comments", b"# plant 4\n# shift 2\n" + text(pump(seed=49)).encode(), read()),
    Case(
        "unit-line.csv",
        "a line of units under the header, one of which is turned into another",
        changed(
            lambda table: (
                in_fahrenheit(table),
                table.__setitem__(slice(0, 1), [[*SENSORS, "fault"], ["rpm", "%", "F", ""]]),
            ),
            seed=50,
        ),
        read("'heat' is turned from F into degC on fahrenheit and unit-line"),
    ),
    Case("durations.parquet", "a typed column of another kind", with_durations(pump(seed=51)), read()),
    Case(
        "thousands.csv",
        "thousands with points",
        text(
            changed_rows(
                lambda table: (
                    european(table),
                    each(0, lambda v: f"{v[0]}.{v[1:]}" if len(v.split(",")[0]) == 4 else v)(table),
                ),
                seed=52,
            ),
            ";",
        ).encode(),
        read("thousands with '.'"),
    ),
    Case(
        "timed/iso.csv", "ISO time stamps", timed([f"2024-03-01T10:{m:02d}:00" for m in range(60)], 60), read()
    ),
    Case(
        "timed/months.csv",
        "months as German has them",
        timed([f"{1 + m // 30}. {'März' if m < 30 else 'Mai'} 2024 10:{m:02d}" for m in range(60)], 84),
        read("months: 1 gap, the longest 62 days from 2024-03-01 10:29:00"),
    ),
    Case(
        "timed/epoch.csv",
        "seconds since 1970",
        timed([str(1_700_000_000 + 60 * m) for m in range(60)], 61),
        read(),
    ),
    Case(
        "timed/day-first.csv",
        "the day before the month",
        timed([f"25/03/2024 10:{m:02d}" for m in range(60)], 62),
        read(),
    ),
    Case(
        "timed/zone.csv",
        "local time with its distance from UTC",
        timed([f"2024-03-01T10:{m:02d}:00+02:00" for m in range(60)], 63),
        read(),
    ),
    Case(
        "timed/shuffled.csv",
        "rows out of order",
        timed([f"2024-03-01T10:{7 * m % 60:02d}:00" for m in range(60)], 64),
        read("shuffled: 6 rows are earlier than the row before"),
    ),
    Case(
        "timed/gap.csv",
        "a gap of a day",
        timed([f"2024-03-0{1 + m // 30}T10:{m:02d}:00" for m in range(60)], 65),
        read("gap: 1 gap, the longest 24 hours from 2024-03-01 10:29:00"),
    ),
    Case(
        "timed/either.csv",
        "nothing says which is the day",
        timed([f"03/04/2024 10:{m:02d}" for m in range(60)], 66),
        left_out(
            "{file}, column 'time': nothing tells whether 03/04 is day and month or month and day; say it with"
            ' time_format = "%d/%m/%Y %H:%M:%S" or "%m/%d/%Y %H:%M:%S"'
        ),
    ),
    Case(
        "timed/yesterday.csv",
        "a time that is none",
        timed([*(f"2024-03-01T10:{m:02d}:00" for m in range(59)), "yesterday"], 67),
        left_out(
            "{file}, line 61, column 'time' holds 'yesterday', which is no time stamp; correct it, or say how"
            ' it is written with time_format = "%Y-%m-%d %H:%M:%S" or so'
        ),
    ),
)

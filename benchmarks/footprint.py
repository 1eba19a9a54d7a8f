"""What does the paper's Table II come to? Measures the bundles of a finished run, in several formats each."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from markers import replace_between
from online.tables import table

from fedmetaalign.proof.footprint import Footprint, footprint


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, metavar="RUN", help="a finished run, of the recipe paper say")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="rewrite the table in FILE")
    options = parser.parse_args()
    measured = footprint(options.run)
    print(json.dumps([asdict(row) for row in measured], indent=2) if options.json else render(measured))
    if options.markdown:
        replace_between(options.markdown, "footprint", render(measured))


def render(measured: list[Footprint]) -> str:
    header = (
        *("device", "format", "file, B", "LiteRT on this machine, µs", "speed-up, %"),
        *("instructions, Cortex-M4F", "ms at 64 MHz"),
    )
    rows = [
        (
            row.device,
            row.format + ", deployed" * row.deployed,
            f"{row.bytes:,}",
            f"{row.microseconds:.2f}",
            "" if row.speedup is None else f"{100 * row.speedup:.1f}",
            "" if row.instructions is None else f"{row.instructions:,}",
            "" if row.milliseconds is None else f"{row.milliseconds:.2f}",
        )
        for row in measured
    ]
    return table(header, rows)


if __name__ == "__main__":
    main()

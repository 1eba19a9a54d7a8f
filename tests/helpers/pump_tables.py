"""An invented fleet of pumps, in tables as a logger of a plant writes them."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

STATES = ("ok", "leak", "cavitation", "bearing")


def write_pumps(folder: Path, pumps: int = 6, rows: int = 400) -> Path:
    """Writes a table a pump: semicolons, decimal commas, cp1252, words as labels, an order for every repair.

    Faults come in episodes of some hours, and each changes one sensor.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for pump in range(1, pumps + 1):
        random = np.random.default_rng(100 + pump)
        state = np.zeros(rows, int)
        for start in range(8, rows - 12, 24):
            state[start : start + int(random.integers(4, 10))] = random.integers(0, 4)
        x = random.normal([6.2, 41, 11.5, 54], [0.3, 1.5, 0.6, 2.5], (rows, 4)) + random.normal(0, 0.3, 4)
        x -= 1.1 * np.stack([state == 1, 5 * (state == 2), -2.2 * (state == 3), -6 * (state == 3)], axis=1)
        lines = ["time;pressure_bar;flow_m3_h;current_A;bearing [°C];operator;order;state"]
        for i in range(rows):
            when = datetime(2025, 3, 1) + timedelta(hours=i)
            cells = [f"{when:%d.%m.%Y %H:%M}", *(f"{value:.2f}".replace(".", ",") for value in x[i])]
            order = f"R{1000 * pump + i}" if state[i] else ""
            lines.append(";".join([*cells, "Ann" if i % 16 < 8 else "Bob", order, STATES[state[i]]]))
        (folder / f"pump-{pump:02d}.csv").write_text("\r\n".join(lines) + "\r\n", encoding="cp1252", newline="")
    return folder

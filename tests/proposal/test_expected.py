"""For each of the real tables, what somebody who knows it would propose, by the notes beside it."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fedmetaalign.proposal.propose import propose
from fedmetaalign.proposal.reading import read


@dataclass(frozen=True)
class Expected:
    """What has to be proposed; `left` are the columns that must be no feature."""

    label: tuple[str, ...]
    features: tuple[str, ...]
    left: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    kinds: bool = False
    device: tuple[str, ...] = ()
    split: str = "rows"
    unit: str | None = None
    units: dict[str, str] = field(default_factory=dict)
    categories: dict[str, tuple[str, ...]] = field(default_factory=dict)
    window: dict[str, object] | None = None
    check: tuple[str, ...] = ()


def names(stem, first, last, digits=0):
    return tuple(f"{stem}{i:0{digits}d}" for i in range(first, last + 1))


ELECTRICAL = ("Ia", "Ib", "Ic", "Va", "Vb", "Vc")
WEATHER = [f"Parameter{i}_{at}" for i in range(3, 8) for at in ("9am", "3pm")]
FRONT = {"front": ("statistics", "bands")}
POINTS = {"points": "t*", "front": ("raw", "statistics", "bands")}
TABLES = {
    "ai4i2020.csv": Expected(
        label=("Machine failure",),
        features=(
            "Type", "Air temperature [K]", "Process temperature [K]", "Rotational speed [rpm]", "Torque [Nm]",
            "Tool wear [min]",
        ),
        left=("UDI", "Product ID", "TWF", "HDF", "PWF", "OSF", "RNF"),
        units={
            "Air temperature [K]": "K", "Process temperature [K]": "K", "Rotational speed [rpm]": "rpm",
            "Torque [Nm]": "Nm", "Tool wear [min]": "min",
        },
        categories={"Type": ("L", "M", "H")},
    ),
    "classData.csv": Expected(("G", "C", "B", "A"), ELECTRICAL, kinds=True, split="blocks"),
    "detect_dataset.csv": Expected(
        ("Output (S)",), ELECTRICAL, left=("(column 8)", "(column 9)"), split="blocks"
    ),
    "equipment_anomaly_data.csv": Expected(
        ("faulty",), ("temperature", "pressure", "vibration", "humidity"), device=("equipment", "location")
    ),
    "machine_failure_3000.csv": Expected(
        ("Failure_Status",),
        ("Temperature", "Pressure", "Vibration_Level", "Humidity", "Power_Consumption"),
        left=("Machine_ID", "Timestamp"),
        split="time",
    ),
    "machine_failure_umerrtx.csv": Expected(
        ("fail",), ("footfall", "tempMode", "AQ", "USS", "CS", "VOC", "RP", "IP", "Temperature")
    ),
    "other_candidates/machine_failure_binaicrai_subset.csv": Expected(
        ("Failure",),
        ("Min_Temp", "Max_Temp", "Evaporation", "Electricity", "Parameter1_Speed", *WEATHER),
        left=("Leakage", "RISK_MM", "ttf", "age", "split"),
        split="blocks",  # days that follow one another
    ),
    "other_candidates/machine_failure_hourly_8784.csv": Expected(
        ("Failure",),
        ("Temperature", "Humidity", *names("Measure", 1, 15)),
        left=(
            "Date", "Operator", "Hours Since Previous Failure",
            *(f"Date.{part}" for part in (
                "year", "month", "day-of-month", "day-of-week", "hour", "minute", "second"
            )),
        ),
        faults=("Yes",),
        split="time",
    ),
    "other_candidates/machine_failure_ikansh_1000.csv": Expected(
        ("Failure_Predicted",),
        ("Temperature", "Vibration", "Pressure", "Humidity", "Operational_Hours"),
        left=("Machine_ID", "Critical_Metric"),
    ),
    "other_candidates/machine_failure_risk_1000.csv": Expected(
        ("Failure_Risk",), ("Temperature", "Vibration", "Power_Usage", "Humidity"), device=("Machine_Type",)
    ),
    "series/cwru_bearing_waveforms_12k.parquet": Expected(
        ("fault",),
        ("acceleration_g",),
        left=("load_hp", "size_mil"),
        faults=("ball", "inner", "outer"),
        kinds=True,
        units={"acceleration_g": "g"},
        window={"length": 1024, "stride": 512, "by": "recording", **FRONT, "split_recordings": True},
        check=("some class has a single one",),
    ),
    "series/mfpt_bearing_waveforms.parquet": Expected(
        ("fault",),
        ("acceleration_g",),
        left=("load_lbs", "shaft_hz", "sample_rate_hz"),
        faults=("outer",),
        units={"acceleration_g": "g"},
        split="units",
        window={"length": 1024, "stride": 512, "by": "recording", "rate": 48828.0, **FRONT},
        check=("no value of 'fault' says that it is normal",),
    ),
    "series/robot_surface_1.csv": Expected(
        ("label",),
        names("t", 0, 69, 3),
        left=("part",),
        faults=("2",),
        window=POINTS,
        check=("no value of 'label' says that it is normal",),
    ),
    "series/tennessee_eastman.parquet": Expected(
        ("fault",),
        (*names("xmeas_", 1, 41), *names("xmv_", 1, 11)),
        left=("minute",),
        faults=tuple(sorted(map(str, range(1, 22)))),
        kinds=True,
        split="units",
        window={"length": 32, "stride": 16, "by": "recording", "front": ("statistics",)},
    ),
    "series/trace_transients.csv": Expected(
        ("label",),
        names("t", 0, 274, 3),
        left=("part",),
        faults=("2", "3", "4"),
        kinds=True,
        window=POINTS,
        check=("no value of 'label' says that it is normal",),
    ),
    "series/wafer_process.csv": Expected(
        ("label",), names("t", 0, 151, 3), left=("part",), faults=("-1",), window=POINTS
    ),
}  # fmt: skip


def test_every_real_table_has_an_expectation(real_data):
    there = {str(p.relative_to(real_data)) for p in real_data.rglob("*") if p.suffix in (".csv", ".parquet")}
    assert there == set(TABLES)


@pytest.mark.parametrize("table", TABLES)
def test_the_proposal_is_the_one_of_somebody_who_knows_the_table(table, real_data):
    expected = TABLES[table]
    families, wrong = read([real_data / table])
    proposal = propose(families, Path(table).stem)
    (choice,) = proposal.choices
    assert (wrong, proposal.left) == ({}, ())
    assert choice.label.columns == expected.label
    assert tuple(sorted(choice.label.faults)) == expected.faults
    assert choice.kinds == expected.kinds
    assert choice.device == expected.device
    assert choice.features == expected.features
    assert set(choice.left) == set(expected.left)
    assert (choice.split.kind, choice.split.unit) == (expected.split, expected.unit)
    assert (choice.units, choice.categories) == (expected.units, expected.categories)
    assert (None if choice.window is None else choice.window.keys) == expected.window
    for words in expected.check:
        assert any(words in note for note in choice.notes)
    assert any(note.startswith("CHECK the label") for note in choice.notes) == any(
        "says that it is normal" in words for words in expected.check
    )

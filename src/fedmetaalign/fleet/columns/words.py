"""The words by which people name columns and values of such tables, as far as they tell what a column is."""

import re

# Of a label; the first group says more than the second.
FAULT_NAMES = {
    "fail", "fails", "failed", "failure", "failures", "fault", "faults", "faulty", "anomaly", "anomalous",
    "abnormal", "defect", "defective", "broken", "breakdown", "alarm", "damage", "damaged", "leak",
    "malfunction", "fehler", "störung", "stoerung", "defekt", "ausfall", "panne",
}  # fmt: skip
LABEL_NAMES = {
    "label", "labels", "target", "output", "class", "y", "status", "state", "outcome", "condition",
    "health", "diagnosis", "verdict", "zustand", "befund",
}  # fmt: skip

# Of a label's values.
NORMAL_VALUES = {
    "0", "ok", "okay", "normal", "healthy", "good", "none", "no", "n", "false", "nominal", "pass", "passed",
    "fine", "no fault", "no failure", "no_fault", "no_failure", "no-fault", "no-failure", "nofault",
    "nofailure", "no defect", "no alarm", "no anomaly", "intact", "undamaged", "baseline", "up", "regular",
    "in order", "non-faulty", "i.o.", "io", "gut", "keine", "kein fehler", "nein",
    "in ordnung", "i. o.", "ordnung", "fehlerfrei", "störungsfrei", "keine störung", "kein alarm", "gesund",
    "normalbetrieb", "bon", "sain", "conforme", "aucun défaut", "bueno", "sano", "sin fallo", "buono",
}  # fmt: skip
TELLING_VALUES = NORMAL_VALUES - {
    "0",
    "no",
    "n",
    "none",
    "false",
    "up",
    "regular",
    "baseline",
    "keine",
    "nein",
    "io",
}
FAULT_VALUES = {
    "yes", "y", "true", "fault", "faulty", "fail", "failed", "failure", "bad", "abnormal", "anomaly",
    "anomalous", "broken", "defect", "defective", "alarm", "damaged", "down", "n.i.o.", "nio", "ja",
    "defekt", "fehler", "störung", "nicht in ordnung", "schaden", "kaputt", "ausfall", "défaut", "panne",
    "fallo", "avería", "guasto",
}  # fmt: skip

# Of a column that names things.
ID_NAMES = {"id", "uid", "udi", "uuid", "guid", "index", "idx", "serial", "rowid"}
NUMBERING_NAMES = {"number", "num", "nr", "no", "code", "type", "name", "model"}
DEVICE_NAMES = {
    "machine", "machines", "device", "unit", "asset", "equipment", "pump", "motor", "engine", "turbine",
    "compressor", "feeder", "mill", "fan", "gearbox", "robot", "vehicle", "truck", "drive", "plant", "line",
    "station", "site", "location", "tool", "gateway", "node", "hydrant", "inverter", "battery", "maschine",
    "anlage", "gerät",
}  # fmt: skip
GROUP_NAMES = {
    "recording", "record", "file", "run", "trial", "experiment", "batch", "lot", "event", "episode",
    "cycle", "sequence", "segment", "session", "campaign", "waveform", "group", "simulation",
    "simulationrun",
}  # fmt: skip
SPLIT_NAMES = {"split", "part", "fold", "subset", "partition", "set"}
SPLIT_VALUES = {"train", "training", "test", "testing", "val", "valid", "validation", "dev", "holdout"}

# Of a column that names people, who are no property of the machine.
PEOPLE_NAMES = {
    "operator",
    "inspector",
    "technician",
    "worker",
    "user",
    "crew",
    "shift",
    "team",
    "author",
    "bediener",
}

# Of a column that tells the time, and of one that tells how far a failure is.
CLOCK_NAMES = {
    "time", "timestamp", "datetime", "date", "ts", "epoch", "clock", "year", "month", "week", "day",
    "weekday", "hour", "minute", "second", "zeit", "datum", "uhrzeit", "zeitstempel",
}  # fmt: skip
REMAINING_NAMES = {"rul", "ttf", "tte", "remaining", "countdown"}
SPAN_NAMES = {"since", "until", "before", "after", "to", "till", "last", "next", "previous"}

# Of a column that somebody, or a model, has judged the fault by; the second group only where it has few values.
JUDGING_NAMES = {
    "risk",
    "prediction",
    "predicted",
    "probability",
    "severity",
    "diagnosis",
    "cause",
    "reason",
    "repair",
}
VERDICT_NAMES = FAULT_NAMES | {"maintenance", "changepoint", "downtime"}

# Values that have an order, from the least to the most.
ORDERS = (
    ("l", "m", "h"), ("low", "medium", "high"), ("low", "mid", "high"), ("low", "normal", "high"),
    ("small", "medium", "large"), ("s", "m", "l"), ("none", "minor", "major"),
    ("minor", "major", "critical"), ("cold", "warm", "hot"), ("off", "on"), ("closed", "open"),
    ("no", "yes"), ("false", "true"), ("idle", "running"), ("stopped", "running"),
)  # fmt: skip


def words(name: str) -> set[str]:
    """The words of a column's name, in small letters: "MachineID" and "machine_id" have two."""
    return set(re.split(r"[\W\d_]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower())) - {""}


def ordered(values: set[str]) -> tuple[str, ...]:
    """Some values in their order, as they are written; empty where nobody knows one."""
    folded = {value.lower(): value for value in values}
    for order in ORDERS:
        if len(folded) == len(values) > 1 and set(folded) <= set(order):
            return tuple(folded[word] for word in order if word in folded)
    return ()

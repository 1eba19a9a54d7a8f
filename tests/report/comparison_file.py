"""A small compare.json with made-up numbers, for the tests of what is made of it."""

from typing import Any

SHARES = ("f1", "precision", "recall", "balanced_accuracy", "pr_auc")


def interval(*values: float | None, by: float = 0.01) -> dict[str, Any]:
    known = [value for value in values if value is not None]
    if not known:
        return {"mean": None, "low": None, "high": None, "values": list(values)}
    mean = sum(known) / len(known)
    return {"mean": mean, "low": mean - by, "high": mean + by, "values": list(values)}


def metrics(accuracy: dict[str, Any]) -> dict[str, Any]:
    return {"accuracy": accuracy, "mcc": interval(0.8), "brier": interval(0.05)} | {
        key: interval(0.9) for key in SHARES
    }


def row(
    method: str, stage: str, devices: dict[str, tuple[float, ...]], mean: float | None, **extra: Any
) -> dict[str, Any]:
    fleet = metrics(interval(mean, mean))
    fleet["gain_over_local"] = interval(None if mean is None else mean - 0.91)
    fleet["worse_off"] = interval(0.0 if mean is None or mean > 0.92 else 0.25)
    fleet["worst"] = fleet["worst_decile"] = interval(0.85)
    return {
        "method": method,
        "stage": stage,
        "learning_rate": 3e-4,
        "tuning": {},
        "edge": False,
        "diverged": [],
        "devices": {device: metrics(interval(*values)) for device, values in devices.items()},
        "fleet": fleet,
        "unseen": None,
        "steps": 24000,
        "bytes": 2_500_000,
        "seconds": 7.52,
        "against_best": None,
    } | extra


def against(method: str, difference: float, p: float, p_holm: float) -> dict[str, Any]:
    return {"method": method, "difference": interval(difference), "p": p, "p_holm": p_holm}


def comparison() -> dict[str, Any]:
    """Fed-Meta-Align comes second to FedAvg."""
    rounds = {"mean": [0.6, 0.7, 0.8], "low": [0.55, 0.65, 0.75], "high": [0.65, 0.75, 0.85]}
    rows = {
        "local_only": row(
            "local_only",
            "final",
            {"feeder": (0.90, 0.92), "machine": (0.91, 0.91)},
            0.91,
            bytes=0,
            against_best=against("fedavg", -0.035, 0.002, 0.006),
        ),
        "fedavg": row(
            "fedavg",
            "final",
            {"feeder": (0.94, 0.96), "machine": (0.94, 0.94)},
            0.945,
            edge=True,
            against_best=against("fed_meta_align", 0.012, 0.002, 0.0004),
        ),
        "fedavg.global": row(
            "fedavg",
            "global",
            {"feeder": (0.80, 0.80), "machine": (0.60, 0.80)},
            0.75,
            rounds=rounds,
            against_best=against("fedavg", -0.195, 0.002, 0.006),
        ),
        "fed_meta_align": row(
            "fed_meta_align",
            "final",
            {"feeder": (0.93, 0.95), "machine": (0.90, 0.95)},
            0.933,
            learning_rate=1e-5,
            diverged=[3],
            seconds=754,
            against_best=against("fedavg", -0.012, 0.34, 0.34),
        ),
        "fed_meta_align.global": row(
            "fed_meta_align",
            "global",
            {"feeder": (0.80, 0.82), "machine": (0.70, 0.72)},
            0.76,
            rounds=rounds,
            against_best=against("fedavg", -0.185, 0.002, 0.006),
        ),
    }
    stages = {
        stage: {"feeder": {"accuracy": interval(at)}, "machine": {"accuracy": interval(at - 0.1)}}
        for stage, at in (("serial", 0.7), ("global", 0.81), ("final", 0.94))
    }
    return {
        "recipe": "paper",
        "seeds": list(range(10)),
        "learning_rates": [1e-5, 1e-4, 3e-4],
        "tune_seeds": [0, 1, 2],
        "devices": ["feeder", "machine"],
        "unseen": [],
        "methods": rows,
        "stages": {"fed_meta_align": stages},
    }


def of_kinds() -> dict[str, Any]:
    """Several kinds of fault, ranked by how well they are distinguished: training alone is ahead in that."""
    made = comparison() | {"rank": "macro_f1"}
    at = {"local_only": 0.55, "fedavg": 0.5, "fedavg.global": 0.2, "fed_meta_align": 0.45}
    for name, entry in made["methods"].items():
        f = at.get(name, 0.3)
        for metrics_ in (entry["fleet"], *entry["devices"].values()):
            metrics_ |= {"macro_f1": interval(f, f), "class_accuracy": interval(f + 0.1, f + 0.1)}
        entry["fleet"] |= {"gain_over_local": interval(f - 0.55), "worse_off": interval(float(f < 0.55))}
    made["methods"]["fedavg"]["against_best"] = against("local_only", -0.05, 0.002, 0.006)
    made["methods"]["local_only"]["against_best"] = against("fedavg", 0.05, 0.002, 0.006)
    made["methods"]["fed_meta_align"]["against_best"] = against("local_only", -0.1, 0.002, 0.006)
    stages = made["stages"]["fed_meta_align"]
    for stage, devices in stages.items():
        stages[stage] = {name: {"macro_f1": each["accuracy"]} for name, each in devices.items()}
    return made


def large(devices: int, methods: int) -> dict[str, Any]:
    """Many devices and many methods; the later ones are the better ones."""
    made = comparison()
    names = [f"unit {i:02d}" for i in range(devices)]
    accuracies = {name: (0.8 + 0.001 * i, 0.81 + 0.001 * i) for i, name in enumerate(names)}
    made["devices"] = names
    for entry in made["methods"].values():
        entry["devices"] = {name: metrics(interval(*values)) for name, values in accuracies.items()}
    for i in range(methods):
        raised = {name: tuple(value + 0.004 * i for value in values) for name, values in accuracies.items()}
        rounds = {key: [0.7 + 0.01 * i] * 3 for key in ("mean", "low", "high")}
        made["methods"][f"variant {i}"] = row("fedavg", "final", raised, 0.8 + 0.004 * i, rounds=rounds)
    made["stages"]["fed_meta_align"] = {
        stage: {name: {"accuracy": interval(0.7)} for name in names} for stage in ("serial", "global", "final")
    }
    return made

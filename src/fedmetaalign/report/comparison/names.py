"""What the rows of a comparison are called where people read them."""

OURS = "fed_meta_align"
ALONE = "local_only"
GLOBAL_SUFFIX = ".global"

CONTROLS = frozenset({"majority", "one_rule", "pooled", ALONE})
"""Rows to judge the others by; no federation makes them."""

PAPER = (OURS, ALONE, "fedavg", "fedprox")
"""The paper's own four, which stand first where not all rows have room."""

_LABELS = {
    OURS: "Fed-Meta-Align",
    ALONE: "Local only",
    "apfl": "APFL",
    "cyclicfl": "CyclicFL",
    "ditto": "Ditto",
    "fedadam": "FedAdam",
    "fedadp": "FedAdp",
    "fedavg": "FedAvg",
    "fedavgm": "FedAvgM",
    "feddf": "FedDF",
    "fedfv": "FedFV",
    "fedmgda": "FedMGDA+",
    "fednova": "FedNova",
    "fedprox": "FedProx",
    "fedrep": "FedRep",
    "fedyogi": "FedYogi",
    "fltrust": "FLTrust",
    "knn_per": "kNN-Per",
    "krum": "Krum",
    "majority": "Majority class",
    "median": "Coordinate median",
    "one_rule": "Best single rule",
    "per_fedavg": "Per-FedAvg",
    "pooled": "Pooled data",
    "reptile": "Reptile",
    "scaffold": "SCAFFOLD",
    "trimmed_mean": "Trimmed mean",
}


def label(row: str) -> str:
    """The proper name of a row: "fedavg.global" as "FedAvg (global)"; a variant's free name stands as it is."""
    base = row.removesuffix(GLOBAL_SUFFIX)
    return _LABELS.get(base, plain(base)) + (" (global)" if base != row else "")


def plain(name: str) -> str:
    """A name from a file as one line of text: what no file format or terminal could print becomes a space."""
    return "".join(letter if letter.isprintable() else " " for letter in name).strip()

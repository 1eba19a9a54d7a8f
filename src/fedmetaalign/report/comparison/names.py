"""What the rows of a comparison are called where people read them."""

from fedmetaalign.methods import ALONE

OURS = "fed_meta_align"
GLOBAL_SUFFIX = ".global"

PAPER = (OURS, ALONE, "fedavg", "fedprox")
"""The paper's own four, which stand first where not all rows have room."""

METRICS = {"accuracy": "accuracy", "macro_f1": "macro-F1", "class_accuracy": "class accuracy"}
"""What metrics are called in a sentence."""

_LABELS = {
    OURS: "Fed-Meta-Align",
    ALONE: "Local only",
    "fed_meta_align_guarded": "Fed-Meta-Align, guarded",
    "apfl": "APFL",
    "boosting_alone": "Boosted trees, alone",
    "boosting_pooled": "Boosted trees, pooled data",
    "cyclicfl": "CyclicFL",
    "ditto": "Ditto",
    "fedadam": "FedAdam",
    "fedavg": "FedAvg",
    "fedavgm": "FedAvgM",
    "feddf": "FedDF",
    "fednova": "FedNova",
    "fedprox": "FedProx",
    "federated_boosting": "Federated boosting",
    "fedrep": "FedRep",
    "fleet": "Fleet",
    "fedyogi": "FedYogi",
    "forest_alone": "Random forest, alone",
    "forest_pooled": "Random forest, pooled data",
    "knn_per": "kNN-Per",
    "majority": "Majority class",
    "one_rule": "Best single rule",
    "per_fedavg": "Per-FedAvg",
    "pooled": "Pooled data",
    "reptile": "Reptile",
    "scaffold": "SCAFFOLD",
}


def title(metric: str) -> str:
    """A metric's name at the start of a sentence: "Macro-F1"."""
    return METRICS[metric][0].upper() + METRICS[metric][1:]


def label(row: str) -> str:
    """The proper name of a row: "fedavg.global" as "FedAvg (global)"; a variant's free name stands as it is."""
    base = row.removesuffix(GLOBAL_SUFFIX)
    return _LABELS.get(base, plain(base)) + (" (global)" if base != row else "")


def plain(name: str) -> str:
    """A name from a file as one line of text: what no file format or terminal could print becomes a space."""
    return "".join(letter if letter.isprintable() else " " for letter in name).strip()

"""Writes the distribution of a device's training samples as C: what `fma_drift.c` is compiled with."""

from fedmetaalign.drift import Reference
from fedmetaalign.drift.reference import BINS, EDGES
from fedmetaalign.operators.c_text import array, table

SOURCES = ("fma_drift.c", "fma_drift.h")
"""In `firmware/`, beside which it belongs."""

README = """\
5. With `fma_drift.h`, which says how, the device can tell whether its inputs are still what it was trained on:
   add it, `fma_drift.c` and `fma_reference.h`.
"""
"""The end of the firmware's README of a device that can tell drift."""


def reference_header(reference: Reference) -> str:
    """Returns `fma_reference.h`."""
    whose = "all samples" if len(reference.edges) == 1 else "samples that are no fault, and those that are one"
    lines = [
        f"/* How the training samples were distributed, {whose}: for fma_drift.c. */",
        "#ifndef FMA_REFERENCE_H",
        "#define FMA_REFERENCE_H",
        "",
        "#include <stdint.h>",
        "",
        f"#define FMA_REFERENCES {len(reference.edges)}",
        f"#define FMA_DRIFT_EDGES {EDGES} /* of a feature's bins, in raw units */",
        "",
        *table("float fma_drift_edges", "FMA_DRIFT_EDGES", reference.edges.reshape(-1, EDGES)),
        "/* Of each bin where its values lie and how far out, in 1/32 of a standard deviation. */",
        *table("int8_t fma_drift_scores", "2 * (FMA_DRIFT_EDGES + 1)", reference.scores.reshape(-1, 2 * BINS)),
        *array("int16_t fma_drift_limits", reference.limits),
        *array("int8_t fma_drift_slack", reference.slack.ravel()),
        "/* One sample is looked at of so many: a power of two. */",
        *array("int16_t fma_drift_every", reference.every),
    ]
    return "\n".join([*lines, "", "#endif", ""])

"""Writes samples with what a device has to make of them as C, for `main.c` to check itself by."""

import numpy as np

from fedmetaalign.model.preparation import Preparation
from fedmetaalign.model.target import Target
from fedmetaalign.operators.c_text import array, table
from fedmetaalign.tinyml import decision, features, integer
from fedmetaalign.tinyml.network import DeployedNetwork, Interface


def header(
    network: DeployedNetwork,
    preparation: Preparation,
    threshold: float,
    raw: np.ndarray,
    labels: Target | None = None,
) -> str:
    """Returns `fma_golden.h`: samples, what they become, and what the firmware has to make of them.

    Args:
        network: what the device runs.
        preparation: from its raw features to the network's inputs.
        threshold: a sample is a fault if its score is strictly greater.
        raw: (rows, measured) float64, at least one row; NaN and infinite perhaps.
        labels: as in `files`.

    Raises:
        BundleError: float32 cannot hold a feature's mean or scale.
    """
    inputs = features.device_inputs(preparation, network, raw)
    scores = integer.firmware_scores(network, inputs)
    labels = labels or decision.unnamed(Interface.of(network).outputs)
    results = _as_type(Interface.of(network).score.name, scores)
    if labels.outputs == 1:
        expected = array("fma_score_t fma_golden_scores", results)
    else:
        expected = [
            *table("fma_score_t fma_golden_scores", "FMA_CLASSES", results),
            *array("uint8_t fma_golden_kinds", decision.kinds(scores, labels)),
        ]
    lines = [
        "/* Samples with what fma_infer.c has to make of them, for main.c. */",
        "#ifndef FMA_GOLDEN_H",
        "#define FMA_GOLDEN_H",
        "",
        '#include "fma_infer.h"',
        "",
        f"#define FMA_GOLDEN_ROWS {len(raw)}",
        "",
        *table("float fma_golden_raw", "FMA_FEATURES", features.narrow(raw)),
        *table("fma_input_t fma_golden_inputs", "FMA_INPUTS", inputs),
        *expected,
        "/* 0 normal, 1 fault, 2 sensor fault. */",
        *array("uint8_t fma_golden_decisions", decision.decide(scores, labels, threshold, preparation, raw)),
    ]
    return "\n".join([*lines, "", "#endif", ""])


def _as_type(kind: str, scores: np.ndarray) -> np.ndarray:
    """Returns scores, (rows,) or (rows, classes) float64, as a device has them."""
    if kind == "float32":
        return scores.astype(np.float32)
    return (256.0 * scores).astype(int) - (128 if kind == "int8" else 0)

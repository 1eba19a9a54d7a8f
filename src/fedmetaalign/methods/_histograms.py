"""A device's part in growing trees together: it bins its samples, follows the cuts, and sums up gradients.

All that it keeps is in its memory, by the number of the question, so that a question asked again is answered as
before: the bin of each sample in each input, its label, its logits so far, and where it lies in each tree.
"""

import numpy as np
from scipy.special import expit, softmax

from fedmetaalign.federation.messages import Answer, Arrays, Ask
from fedmetaalign.methods._bins import binned, parted, sketch
from fedmetaalign.phases.client import Client


def answer(client: Client, request: Ask) -> Answer:
    """Does a device's part."""
    parts = {"sketch": _sketched, "begin": _begin, "roots": _roots, "children": _cut}
    return Answer(parts[request.what](client, request))


def _sketched(client: Client, request: Ask) -> Arrays:
    """Says what values the device has of each input, and how many samples of each class."""
    raw = client.raw
    found = [sketch(column) for column in raw.x.T]
    return {
        "values": np.concatenate([each.values for each in found]),
        "weights": np.concatenate([each.weights for each in found]),
        "lengths": np.array([len(each.values) for each in found]),
        "counts": np.bincount(raw.y.astype(np.intp), minlength=int(request.arrays["classes"])),
    }


def _begin(client: Client, request: Ask) -> Arrays:
    """Bins the samples."""
    raw, memory, given = client.raw, client.memory, request.arrays
    cuts = parted(given["edges"], given["lengths"])
    memory.keep("bins", request.number, binned(raw.x, cuts))
    memory.keep("width", request.number, np.array(max(map(len, cuts)) + 1))
    memory.keep("labels", request.number, np.searchsorted(given["seen"], raw.y))
    memory.keep("logits", request.number, np.tile(given["start"], (len(raw), 1)))
    memory.keep("nodes", request.number, np.full((len(given["start"]), len(raw)), -1))
    return {}


def _roots(client: Client, request: Ask) -> Arrays:
    """Takes the trees that are grown, and begins new ones."""
    nodes, logits = _kept(client, request, "nodes"), _kept(client, request, "logits")
    numbers = request.arrays["nodes"]
    table = np.zeros(numbers.max(initial=-1) + 2)  # its last place is for samples that lie in no tree yet
    table[numbers] = request.arrays["values"]
    client.memory.keep("logits", request.number, logits + table[nodes].T)
    roots = np.repeat(np.arange(len(nodes))[:, None], nodes.shape[1], axis=1)
    client.memory.keep("nodes", request.number, roots)
    return _sums(client, request.number + 1, roots)


def _cut(client: Client, request: Ask) -> Arrays:
    """Sends the samples of some nodes to their children, and sums up those that go left."""
    nodes, bins, given = _kept(client, request, "nodes"), _kept(client, request, "bins"), request.arrays
    place = np.full(max(int(nodes.max()), int(given["nodes"].max())) + 2, -1)
    place[given["nodes"]] = np.arange(len(given["nodes"]))
    at = place[nodes]  # which of the cuts each sample meets in each tree, -1 for none
    left = bins[np.arange(len(bins)), given["features"][at]] <= given["bins"][at]
    client.memory.keep(
        "nodes", request.number, np.where(at < 0, nodes, given["children"][at, np.where(left, 0, 1)])
    )
    slots = np.where((at >= 0) & left, at, -1)
    return _sums(client, request.number, slots)


def _sums(client: Client, number: int, slots: np.ndarray) -> Arrays:
    """Returns the histograms of the device's samples without the cells that are empty.

    Args:
        client: the device.
        number: what it has kept before this question counts.
        slots: (logits, rows) int64, the histogram that a sample counts in for a tree; -1 for none.

    Returns:
        `cells`, (n,) int64, places in the flat histograms (slots, inputs, bins), and `sums`, (n, 3) float64.
    """
    bins, width, labels, logits = (
        client.memory.before(name, number) for name in ("bins", "width", "labels", "logits")
    )
    assert bins is not None and width is not None and labels is not None and logits is not None  # noqa: S101
    gradients, hessians = _slopes(logits, labels)
    tree, row = np.nonzero(slots >= 0)
    inputs = bins.shape[1]
    places = (slots[tree, row][:, None] * inputs + np.arange(inputs)) * int(width) + bins[row]
    cells, at = np.unique(places, return_inverse=True)
    weights = [None, *(np.repeat(slope[row, tree], inputs) for slope in (gradients, hessians))]
    count, *sums = (np.bincount(at.ravel(), each) for each in weights)
    return {"cells": cells, "sums": np.stack([*sums, count], axis=1)}


def _slopes(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the cross-entropy's first and second derivatives by each logit, (rows, logits) float32.

    They are rounded as scikit-learn's are: of cuts that are as good, the same one is then found.
    """
    classes = logits.shape[1]
    p = expit(logits) if classes == 1 else softmax(logits, axis=1)
    hit = labels[:, None] if classes == 1 else labels[:, None] == np.arange(classes)
    return (p - hit).astype(np.float32), (p * (1 - p)).astype(np.float32)


def _kept(client: Client, request: Ask, name: str) -> np.ndarray:
    found = client.memory.before(name, request.number)
    assert found is not None  # noqa: S101 - the server begins with `begin`
    return found

"""The paper's similarity-aware aggregation as a Strategy of Flower, for any model and any ClientApp."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from logging import INFO, WARNING
from typing import Any, Literal

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.exception import AggregationError
from flwr.serverapp.strategy import FedAvg
from flwr.supercore import log

from fedmetaalign.aggregation import Cohort
from fedmetaalign.aggregation.similarity import similarity

Arrays = Mapping[str, np.ndarray]


class UnusableReplyError(Exception):
    """A reply that must not reach the model; says why."""


@dataclass(frozen=True)
class Contribution:
    """What a node's reply comes to.

    Attributes:
        node: its id.
        delta: (parameters,) float64, its weights minus those it was sent, all arrays in the order of these.
        query_score: in (0, 1].
        samples: that it trained on.
        metrics: as it sent them.
    """

    node: int
    delta: np.ndarray
    query_score: float
    samples: float
    metrics: MetricRecord


@dataclass(frozen=True)
class Round:
    """What became of the replies of a round.

    Attributes:
        number: the server round, from 1.
        query_scores: by node id, in (0, 1].
        alignment: by node id, cosine with the reference direction, in [-1, 1].
        weights: by node id, share in the step; they sum to one.
        rejected: node id and reason of each reply that was not used; errors that the SuperLink reports come
            under its own id, 1.
    """

    number: int
    query_scores: Mapping[int, float]
    alignment: Mapping[int, float]
    weights: Mapping[int, float]
    rejected: tuple[tuple[int, str], ...]


class SimilarityAware(FedAvg):
    """Weights each client with its query score and with how well its update agrees with the others'.

    With the update delta_t of client t, its weights minus the global ones, and its query score s_t,

        D = mean of delta_t,   w_t = s_t max(floor, cos(delta_t, D)) / sum,   w <- w + rate sum_t w_t delta_t

    (section III.C.3 and Algorithm 3 of the paper; see `fedmetaalign.aggregation.similarity`). Clients reply as
    they would to FedAvg: all weights in one ArrayRecord, and a MetricRecord with "num-examples" and either a
    "score" in (0, 1] or a "loss" on data held out, from which the score is 1 / (1 + loss).

    A reply that is an error, lacks one of these, or holds a NaN, an infinity, or arrays of other names or
    shapes is logged and left out; where none is left, the global weights stay. Replies are summed in the order
    of node ids, so that their order of arrival does not change a bit. Integer arrays, such as the counters of
    batch normalisation, are averaged and rounded, but have no part in the directions, which they would rule.

        >>> app = ClientApp()
        >>> @app.train()
        ... def train(message, context):
        ...     weights = message.content["arrays"].to_numpy_ndarrays()[0] + context.node_config["step"]
        ...     metrics = MetricRecord({"num-examples": 96, "loss": context.node_config["loss"]})
        ...     reply = RecordDict({"arrays": ArrayRecord([weights]), "metrics": metrics})
        ...     return Message(reply, reply_to=message)
        >>> nodes = {"pump": {"step": 1.0, "loss": 0.0}, "fan": {"step": 4.0, "loss": 1.0}}
        >>> with InProcessGrid(app, nodes) as grid:
        ...     result = SimilarityAware(floor=0.1).start(grid, ArrayRecord([np.zeros(2)]), num_rounds=1)
        >>> result.arrays.to_numpy_ndarrays()  # 2/3 of the pump's 1 and 1/3 of the fan's 4
        [array([2., 2.])]

    Attributes:
        history: a `Round` for each round aggregated so far.
    """

    def __init__(
        self,
        floor: float = 0.1,
        reference: Literal["mean", "others"] = "mean",
        unit_norm: bool = False,
        server_learning_rate: float = 1.0,
        score_key: str = "score",
        loss_key: str = "loss",
        **fedavg: Any,
    ) -> None:
        """Chooses the rule.

        Args:
            floor: the paper's c, the least alignment that a client is given.
            reference: compare with the mean of all updates (the paper), or of the other clients' updates.
            unit_norm: give every update the same length in the reference, so that long ones do not set it.
            server_learning_rate: scales the step.
            score_key: where a client's MetricRecord has its score.
            loss_key: where it has its loss; read where there is no score.
            fedavg: the keyword arguments of FedAvg, among them fraction_train, min_available_nodes,
                arrayrecord_key and weighted_by_key.
        """
        super().__init__(**fedavg)
        self.floor = floor
        self.reference: Literal["mean", "others"] = reference
        self.unit_norm = unit_norm
        self.server_learning_rate = server_learning_rate
        self.score_key = score_key
        self.loss_key = loss_key
        self.history: list[Round] = []
        self._global: Arrays | None = None

    def summary(self) -> None:
        """Logs the settings."""
        log(INFO, "\t├──> Similarity-aware aggregation:")
        log(INFO, "\t│\t├── Floor: %s", self.floor)
        log(INFO, "\t│\t├── Reference: %s, unit norm: %s", self.reference, self.unit_norm)
        log(INFO, "\t│\t└── Server learning rate: %s", self.server_learning_rate)
        super().summary()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Sends the global weights, and keeps them: `aggregate_train` is not given them."""
        self._global = {name: array.numpy() for name, array in arrays.items()}
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Moves the global weights by the weighted mean of the updates, and averages the metrics.

        Returns:
            An ArrayRecord with the names, shapes and dtypes of the global one, and the means of the metrics
            that all clients have, weighted by "num-examples"; or (None, None) where no reply can be used.

        Raises:
            AggregationError: `configure_train` has not been called.
        """
        if self._global is None:
            raise AggregationError("SimilarityAware has no global weights yet: call `configure_train` first.")
        cohort, rejected = self._sort_out(replies, self._global)
        for node, reason in rejected:
            log(WARNING, "aggregate_train: left out the reply of node %d: %s", node, reason)
        log(INFO, "aggregate_train: %d replies used, %d left out", len(cohort), len(rejected))
        if not cohort:
            self.history.append(Round(server_round, {}, {}, {}, rejected))
            return None, None

        floating = is_floating(self._global)
        query_scores = np.array([each.query_score for each in cohort])
        samples = np.array([each.samples for each in cohort])
        result = similarity(
            Cohort(
                np.stack([each.delta[floating] for each in cohort]), query_scores, samples, np.ones(len(cohort))
            ),
            self.floor,
            self.reference,
            self.unit_norm,
        )
        assert result.alignment is not None  # noqa: S101 - this rule has a reference
        nodes = [each.node for each in cohort]
        self.history.append(
            Round(
                server_round,
                dict(zip(nodes, query_scores.tolist(), strict=True)),
                dict(zip(nodes, result.alignment.tolist(), strict=True)),
                dict(zip(nodes, result.weights.tolist(), strict=True)),
                rejected,
            )
        )
        step = result.weights @ np.stack([each.delta for each in cohort])
        moved = flatten(self._global) + self.server_learning_rate * step
        metrics = self.train_metrics_aggr_fn(
            [RecordDict({"metrics": metrics}) for metrics in alike([each.metrics for each in cohort])],
            self.weighted_by_key,
        )
        return ArrayRecord({name: Array(a) for name, a in unflatten(moved, self._global).items()}), metrics

    def _sort_out(
        self, replies: Iterable[Message], start: Arrays
    ) -> tuple[list[Contribution], tuple[tuple[int, str], ...]]:
        """Returns what can be used, and (node id, reason) of the rest, both sorted by node id."""
        used, rejected = [], []
        for reply in sorted(replies, key=lambda reply: reply.metadata.src_node_id):
            try:
                used.append(self._read(reply, start))
            except UnusableReplyError as reason:
                rejected.append((reply.metadata.src_node_id, str(reason)))
        return used, tuple(rejected)

    def _read(self, reply: Message, start: Arrays) -> Contribution:
        if reply.has_error():
            raise UnusableReplyError(f"it is an error, {reply.error.reason}")
        arrays, metrics = records(reply.content)
        delta = flatten(read_arrays(arrays, start)) - flatten(start)
        with np.errstate(over="ignore"):
            if not np.isfinite(delta @ delta):
                raise UnusableReplyError("its weights hold a NaN or an infinity, or lie too far away")
        for key, value in metrics.items():
            if not np.isfinite(value).all():
                raise UnusableReplyError(f'its metric "{key}" is {value}')
        samples = scalar(metrics, self.weighted_by_key)
        if samples <= 0:
            raise UnusableReplyError(f'its "{self.weighted_by_key}" is {samples}, and must be above 0')
        return Contribution(reply.metadata.src_node_id, delta, self._query_score(metrics), samples, metrics)

    def _query_score(self, metrics: MetricRecord) -> float:
        if self.score_key not in metrics:
            loss = scalar(metrics, self.loss_key)
            if loss < 0:
                raise UnusableReplyError(f'its "{self.loss_key}" is {loss}, and a loss is not negative')
            return 1 / (1 + loss)
        score = scalar(metrics, self.score_key)
        if not 0 < score <= 1:
            raise UnusableReplyError(f'its "{self.score_key}" is {score}, and must be in (0, 1]')
        return score


def records(content: RecordDict) -> tuple[ArrayRecord, MetricRecord]:
    """Returns the one ArrayRecord and the one MetricRecord of a reply, by whatever names.

    Raises:
        UnusableReplyError: it has none, or several.
    """
    arrays, metrics = list(content.array_records.values()), list(content.metric_records.values())
    if len(arrays) != 1 or len(metrics) != 1:
        raise UnusableReplyError(
            f"it has {len(arrays)} ArrayRecords and {len(metrics)} MetricRecords in place of one of each"
        )
    return arrays[0], metrics[0]


def read_arrays(record: ArrayRecord, like: Arrays) -> Arrays:
    """Returns the arrays of a reply, in the order of those that were sent.

    Raises:
        UnusableReplyError: they have other names or shapes, hold no real numbers, or cannot be read.
    """
    if set(record) != set(like):
        raise UnusableReplyError(f"its arrays are {sorted(record)} in place of {sorted(like)}")
    found = {}
    for name, sent in like.items():
        try:
            array = record[name].numpy()
        except Exception as error:  # these bytes are a stranger's: numpy may raise anything
            raise UnusableReplyError(f'its array "{name}" cannot be read: {error}') from error
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":  # an archive is none
            raise UnusableReplyError(f'its array "{name}" holds no real numbers')
        if array.shape != sent.shape:
            raise UnusableReplyError(f'its array "{name}" is {array.shape} in place of {sent.shape}')
        found[name] = array
    return found


def scalar(metrics: MetricRecord, key: str) -> float:
    """Returns a metric.

    Raises:
        UnusableReplyError: it is missing, or a list.
    """
    value = metrics.get(key)
    if value is None or isinstance(value, list):
        raise UnusableReplyError(f'its MetricRecord has no number "{key}"')
    return float(value)


def alike(metrics: Sequence[MetricRecord]) -> list[MetricRecord]:
    """Keeps of each record the metrics that all have, as a number or as a list of one length."""
    kinds = [{(key, np.shape(value)) for key, value in record.items()} for record in metrics]
    common = {key for key, _ in set.intersection(*kinds)}
    return [MetricRecord({k: v for k, v in record.items() if k in common}) for record in metrics]


def is_floating(arrays: Arrays) -> np.ndarray:
    """Returns (parameters,) bool: which elements of the flattened arrays are of a floating dtype."""
    return np.concatenate([np.full(a.size, a.dtype.kind == "f") for a in arrays.values()])


def flatten(arrays: Arrays) -> np.ndarray:
    """Returns all arrays one after the other, (parameters,) float64."""
    return np.concatenate([a.ravel() for a in arrays.values()], dtype=np.float64)


def unflatten(flat: np.ndarray, like: Arrays) -> Arrays:
    """Cuts (parameters,) into arrays of the names, shapes and dtypes of others; integers are rounded."""
    cuts = np.cumsum([a.size for a in like.values()])[:-1]
    return {
        name: (part if array.dtype.kind == "f" else np.rint(part)).astype(array.dtype).reshape(array.shape)
        for (name, array), part in zip(like.items(), np.split(flat, cuts), strict=True)
    }

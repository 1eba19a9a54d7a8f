"""What is proposed, as plain values: a recipe's sources and splits, each with its reason."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedmetaalign.fleet.audit.table import Audit
from fedmetaalign.fleet.labels.guess import Guess


@dataclass(frozen=True)
class Part:
    """Files with the same columns that matter: one source of the recipe.

    Attributes:
        paths: the files, sorted.
        features: their features, in the order of the columns.
        decimal: their decimal sign where not all of them prove it.
        proof: the name of one that does; empty where none does.
    """

    paths: tuple[Path, ...]
    features: tuple[str, ...]
    decimal: str | None = None
    proof: str = ""


@dataclass(frozen=True)
class Cut:
    """Windows of a signal, as `[fleet.window]` has them.

    Attributes:
        why: the reason.
        front: what is made of each.
        length: its samples, where rows are samples; half of them are its stride.
        by: the column that names recordings, None where each file is one.
        points: the columns of its points, where a row is a window.
        rate: samples a second, None where nothing tells.
        parted: a recording has to be on both sides of the split, for want of others of its class.
    """

    why: str
    front: tuple[str, ...]
    length: int | None = None
    by: str | None = None
    points: str | None = None
    rate: float | None = None
    parted: bool = False

    @property
    def keys(self) -> dict[str, Any]:
        """Its keys and values in the recipe."""
        found = {
            "points": self.points,
            "length": self.length,
            "stride": self.length and self.length // 2,
            "by": self.by,
            "rate": self.rate,
            "front": self.front,
            "split_recordings": self.parted or None,
        }
        return {key: value for key, value in found.items() if value is not None}


@dataclass(frozen=True)
class Split:
    """How samples are divided.

    Attributes:
        kind: as in `[splits]`.
        why: the reason.
        unit: the column of `units`.
        block: rows of a block of `blocks`.
        test: the share of the test set, None for the recipe's default.
        time: the column of time of `time`, or that of its date and that of its time of day.
        otherwise: what to take where this one leaves devices out.
    """

    kind: str
    why: str
    unit: str | None = None
    block: int | None = None
    test: float | None = None
    time: str | tuple[str, ...] | None = None
    otherwise: "Split | None" = None


@dataclass(frozen=True)
class Choice:
    """All that is proposed for tables of one kind.

    Attributes:
        label: which columns, and what their values mean.
        kinds: whether each kind of fault is a class of its own.
        counts: of each class its rows, the normal ones first.
        parts: the files and their features.
        device: the columns that name devices; empty where each file is one.
        window: how rows are cut into windows, if they are samples of a signal, or windows of one.
        units: of each feature with one its physical unit.
        categories: of each text feature its values in their order.
        gaps: of each feature that lacks values how many.
        left: of each column that is left out the reason.
        split: how samples are divided.
        notes: sentences that somebody should read before believing a result.
        audit: of all rows together.
        conversions: of units that tables of one sensor differ in, as [fleet.conversions] has them.
    """

    label: Guess
    kinds: bool
    counts: Mapping[str, int]
    parts: tuple[Part, ...]
    device: tuple[str, ...]
    window: Cut | None
    units: Mapping[str, str]
    categories: Mapping[str, tuple[str, ...]]
    gaps: Mapping[str, int]
    left: Mapping[str, str]
    split: Split
    notes: tuple[str, ...]
    audit: Audit
    conversions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def features(self) -> tuple[str, ...]:
        """The features of all files."""
        return tuple(dict.fromkeys(name for part in self.parts for name in part.features))


@dataclass(frozen=True)
class Proposal:
    """A recipe's data.

    Attributes:
        name: of the recipe.
        choices: for tables of each kind.
        left: sentences about tables that are left out.
        spare: tables that cannot be used at all.
        csv: what is said of the dialect of texts, as `[fleet.csv]` has it.
    """

    name: str
    choices: tuple[Choice, ...]
    left: tuple[str, ...] = ()
    spare: tuple[Path, ...] = ()
    csv: Mapping[str, Any] = field(default_factory=dict)

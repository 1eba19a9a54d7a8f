"""How a recipe divides a device's samples among testing and the phases."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fedmetaalign.recipe.section import (
    Count,
    Section,
    Share,
    ShareOrNone,
    Value,
)


class Splits(Section):
    """How a device's samples are divided among testing and the phases."""

    test: Share = 0.2
    serial: ShareOrNone = 0.2
    """0 where phase 1 is left out."""
    parallel: Share = 0.5
    personalize: Share = 0.3
    query: Share = 0.2
    """Share of each phase's samples that is evaluated on."""
    kind: Literal["rows", "blocks", "units", "time"] = "rows"
    """What stays together: nothing, blocks of neighbouring rows, units; or train on the earlier and test on the
    later part ("time"), the default where a source names its `time`."""
    block: Count = 10
    """Rows of a block, for kind = "blocks"."""
    unit: str | None = None
    """Column whose equal values stay together, for kind = "units"; of a signal its recordings, if none."""
    test_units: tuple[Value, ...] = ()
    """Values of `unit` that are the test set of each device, so that it is tested on what it never had; in
    texts `*` and `?` stand for any characters."""
    stratify: Literal["class", "kind"] = "class"
    """What every part has its share of: the label's classes, or the kinds of fault that a source tells within
    them, of simulators, of several label columns and of `partition.by`."""
    most: Annotated[int, Field(ge=100, strict=True)] = 50_000
    """Samples of a device that are used, its test set included: of more, so many are drawn, of each class its
    share."""
    reuse: bool = False
    """Phase 3 trains on all of a device's training samples but the validation part."""

    @model_validator(mode="after")
    def _complete(self) -> "Splits":
        if self.test_units and (self.kind != "units" or self.unit is None):
            raise ValueError('has test_units, values of a column: name it as unit, with kind = "units"')
        total = self.serial + self.parallel + self.personalize
        if abs(total - 1) > 1e-9:
            raise ValueError(
                f"serial, parallel and personalize share the training samples: they sum to {total:g}, not 1"
            )
        return self

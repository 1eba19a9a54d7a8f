"""The recipe's section on deployment: what each device receives."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fedmetaalign.recipe.section import Count, Section


class Deploy(Section):
    """What the device receives."""

    format: Literal["uint8", "int8", "int8-float-io", "int8-float-head", "int4", "float32"] = "uint8"
    """Of the model file:

    uint8: all arithmetic in 8-bit integers, features and score uint8; a byte a weight.
    int8: the same with features and score int8, which is what firmware computes in.
    int8-float-io: the same with float32 features and score around it, for programs that know no quantisation.
    int8-float-head: the layers that phase 3 freezes in 8-bit integers, those that it trains and the score in
        float32: a finer score, and what learning on the device goes on from.
    int4: as uint8, but most weights take half a byte; a little less accurate.
    float32: everything in float32; no loss, and four bytes a weight.
    """
    per_channel: bool = False
    """A scale for every output of a layer instead of one for the layer: finer, for 16 bytes an output."""
    calibration: Literal["range", "error", "reach"] = "range"
    """Of 8-bit ranges, on the device's training data:

    range: from the smallest to the largest value that occurs.
    error: clipped to where the scores are nearest to the float network's, so that a few rows of a device that
        was off, or of a sensor that failed, do not make the grid coarse for all others. Where a device has not
        met every kind, as wide as with "reach".
    reach: the same, and with inputs by quantiles wide enough for what no training row has shown: each row is
        looked at a second time, as far out as inputs by quantiles go.
    """
    threshold: Literal["deployed", "personalized"] = "deployed"
    """Choose the threshold again on the deployed model's own scores, or keep the personalised model's."""
    max_bytes: Count | None = None
    """Of the model file, at most; a network that is larger is made smaller: in low rank, pruned, in 4 bits."""
    max_ram: Count | None = None
    """Bytes of RAM that a device has for a decision, with the window of a signal and the stack; a network that
    takes more is refused, before training where no `max_bytes` makes it smaller."""
    drift: Annotated[bool, Field(strict=True)] | None = None
    """Let the bundle carry how the training samples were distributed, so that the device and `predict` can tell
    drift from a fault; by default where a source names its `time`."""
    weights: Literal["trained", "all"] = "trained"
    """Which float layers the bundle keeps for further training, four bytes a weight: those that phase 3 trains,
    or all of them. The others are the fleet's, and stand in the run folder's checkpoint."""
    target: Literal["cortex-m0", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "rv32imc"] = "cortex-m4"
    """What bundle.json names as the device's core; the C code runs on all of them, and for a Cortex-M0 the
    weights lie so that it is quickest there."""

    @model_validator(mode="after")
    def _scales_are_of_8_bits(self) -> "Deploy":
        if self.per_channel and self.format in ("int4", "float32"):
            raise ValueError(
                f'cannot have per_channel = true with format = "{self.format}", whose weights are not all of 8'
                " bits: leave it out, or choose another format"
            )
        return self

"""The recipe's section on the network, and whether a convolutional one has room in the windows of its data."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import model_validator

from fedmetaalign.operators.stack import POOLS, Kind, placed
from fedmetaalign.operators.stack import Block as PlainBlock
from fedmetaalign.recipe.inputs import LEAST
from fedmetaalign.recipe.section import Count, Section, Whole
from fedmetaalign.recipe.simulated import FEATURES
from fedmetaalign.recipe.source import Source


class Block(Section):
    """A convolution over time, which a ReLU follows, or a pool; nothing is padded."""

    kind: Kind = "convolution"
    """"depthwise" has one filter a channel; "max" and "average" are pools."""
    filters: Count | None = None
    """Of a convolution: the channels that it gives."""
    kernel: Count | None = None
    """Of a convolution or a depthwise one: steps that a filter spans."""
    size: Whole | None = None
    """Of a pool: how many steps; 0 for all that there are."""
    stride: Count | None = None
    """Steps from one place to the next; default: 1, of a pool its size."""

    @model_validator(mode="after")
    def _keys_of_its_kind(self) -> "Block":
        wanted = {"convolution": ("filters", "kernel"), "depthwise": ("kernel",)}.get(self.kind, ("size",))
        for key in ("filters", "kernel", "size"):
            if (getattr(self, key) is None) == (key in wanted):
                verb = "needs" if key in wanted else "takes no"
                raise ValueError(f'of the kind "{self.kind}" {verb} {key}: it has {" and ".join(wanted)}')
        return self

    @property
    def plain(self) -> PlainBlock:
        """What it is, without the recipe's defaults."""
        size = (self.size if self.kind in POOLS else self.kernel) or 0
        stride = self.stride or (max(size, 1) if self.kind in POOLS else 1)
        return PlainBlock(self.kind, size, stride, self.filters or 0)


HIDDEN = (256, 128, 64, 32, 16, 12, 8)
"""The paper's."""

CONVOLUTIONS = (
    {"filters": 16, "kernel": 32, "stride": 8},
    {"filters": 16, "kernel": 7, "stride": 2},
    {"kind": "average", "size": 0},
)
"""Of a convolutional network by default, for windows of 80 samples or more."""

AFTER = (16,)
"""Hidden dense layers of a convolutional network by default."""


class Model(Section):
    """The network."""

    kind: Literal["mlp", "cnn"] = "mlp"
    """Dense layers alone; or convolutions over the samples of a window, and then dense layers."""
    inputs: Count = LEAST
    """Default, or "features": as many as related devices have between them, and no fewer than 9."""
    channels: Count | None = None
    """Of the windows of a convolutional network; default: as many as their section names."""
    convolutions: tuple[Block, ...] = ()
    """Of a convolutional network, with the pools between them."""
    hidden: tuple[Count, ...] = HIDDEN
    padding: Literal["zeros", "repeat"] = "zeros"
    """What a device with fewer features feeds the other inputs: zeros (the mean), or its features again."""

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_its_kind(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and raw.get("kind") == "cnn":
            return {"convolutions": CONVOLUTIONS, "hidden": AFTER, **raw}
        return raw

    @model_validator(mode="after")
    def _one_kind(self) -> "Model":
        if self.kind == "mlp":
            if self.convolutions or self.channels:
                key = "convolutions" if self.convolutions else "channels"
                raise ValueError(f'has {key}, which only kind = "cnn" uses: set that, or take {key} out')
            if not self.hidden:
                raise ValueError("has no hidden layer: give hidden one number at least")
        elif not self.convolutions:
            raise ValueError('has kind = "cnn" and no convolutions: name some, or leave the key out')
        elif self.padding == "repeat":
            raise ValueError('has padding = "repeat", and every device fills all inputs of a cnn: drop it')
        return self

    @property
    def layers(self) -> int:
        """How many layers have parameters: pools have none, and belong to the layer before them."""
        return sum(block.kind not in POOLS for block in self.convolutions) + len(self.hidden) + 1

    @property
    def first(self) -> int:
        """Units of the first layer; 0 of a convolutional network, where no device lacks a feature."""
        return self.hidden[0] if self.kind == "mlp" else 0

    @property
    def blocks(self) -> tuple[PlainBlock, ...]:
        """The convolutions and pools."""
        return tuple(block.plain for block in self.convolutions)


def fitted(model: Model, sources: Sequence[Source], counted: bool = True) -> Model:
    """Returns a section with the inputs and channels of a convolutional network, where its recipe tells them.

    Args:
        model: the section; one of dense layers alone is returned as it is.
        sources: of the devices, and of public samples.
        counted: whether its inputs are to be found out, and no number that the user gave.

    Raises:
        ValueError: the network and the windows do not go together; the sentence begins after "model".
    """
    if model.kind == "mlp":
        return model
    for source in sources:
        if source.window is None or source.window.front != ("raw",):
            whose = source.name or source.table or source.simulator
            raise ValueError(
                f'has kind = "cnn", which takes the samples of windows, and {whose} gives other features: add'
                ' a [fleet.window] with front = ["raw"], or take kind = "mlp"'
            )
    if any("*" in name or "?" in name for source in sources for name in source.features):
        return model  # until the tables have told what stands for what
    windows = [source.window for source in sources if source.window]
    channels = _only("channels", {_channels(source) for source in sources} - {0} or {model.channels or 0})
    if model.channels not in (None, channels):
        raise ValueError(f"has channels = {model.channels}, and its windows have {channels}: leave the key out")
    length = _only("samples", {window.length or 0 for window in windows} - {0})
    if not channels or not (length or not counted):
        return model
    if length and not counted and model.inputs != length * channels:
        raise ValueError(
            f"has inputs = {model.inputs}, and its windows have {length} samples of {_many(channels)}: leave"
            " the key out"
        )
    found = model.model_copy(
        update={"channels": channels, "inputs": length * channels if length else model.inputs}
    )
    if found.inputs % channels:
        raise ValueError(f"has inputs = {found.inputs}, which are no whole samples of {_many(channels)}")
    check_room(found)
    return found


def check_room(model: Model) -> None:
    """Sees that the convolutions of a network have room in a window.

    Raises:
        ValueError: they have not; the sentence begins after "model".
    """
    channels = model.channels or 1
    try:
        for _ in placed(model.blocks, model.inputs // channels, channels):
            pass
    except ValueError as error:
        raise ValueError(
            f"has convolutions of which {error}: take longer windows, or shorter kernels and strides"
        ) from None


def _channels(source: Source) -> int:
    """Returns how many channels the windows of a source have; 0 where only a simulator of others tells."""
    window = source.window
    if window is None or window.patterns:
        return len(window.patterns) if window else 0
    named = window.channels or source.features
    if not named and source.simulator is not None:
        return FEATURES.get(source.simulator, 0)
    return len(named)


def _many(channels: int) -> str:
    return f"{channels} channel{'s' if channels > 1 else ''}"


def _only(what: str, found: set[int]) -> int:
    """Returns the only one of some numbers, 0 where there is none."""
    if len(found) > 1:
        *others, last = map(str, sorted(found))
        raise ValueError(
            f'has kind = "cnn", which takes windows of one shape, and there are some of {", ".join(others)} and'
            f" of {last} {what}: cut them alike"
        )
    return found.pop() if found else 0

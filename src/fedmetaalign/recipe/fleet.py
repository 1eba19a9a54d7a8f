"""The recipe's fleet: its sources, and what all devices have in common."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from fedmetaalign.recipe.section import (
    Positive,
    Section,
    Whole,
)
from fedmetaalign.recipe.source import Source


class Conversion(Section):
    """What a value in one unit is in another: value * factor + offset."""

    to: Annotated[str, Field(min_length=1)]
    """The other unit."""
    factor: Positive
    offset: float = 0.0


class Unseen(Section):
    """Devices that take no part in the federation and only receive its model."""

    count: Whole = 0
    """The last so many devices by name."""
    samples: Annotated[int, Field(ge=2, strict=True)] = 30
    """Training samples that each of them has; its test set is as large as any other device's."""


class Fleet(Source):
    """The devices: one source written in place, or a list of them."""

    devices: tuple[Source, ...] = ()
    scaling: Literal["device", "fleet"] = "device"
    """Standardise with a device's own moments, or each feature with those of all devices that have it."""
    encoding: Literal["linear", "quantiles"] = "linear"
    """Standardise features, or turn each into the normal score of its rank among the samples that scale it."""
    missing: Literal["zero", "regression"] = "zero"
    """What the method `fleet` puts in the place of a feature that a device lacks altogether and others have (of
    single values says `missing_values`): its median, or what linear regression makes of the device's own, by
    correlations that the devices send."""
    unseen: Unseen = Unseen()
    conversions: Mapping[str, Conversion] = {}
    """By unit: which other it is turned into, such as F = { to = "degC", factor = 0.5556, offset = -17.78 }. A
    device's units are those of its source, or stand in its header, as in "temp [F]"."""
    exclude: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Devices that take no part, by name; `*` and `?` stand for any characters."""
    strict: Annotated[bool, Field(strict=True)] = False
    """Stop where a device cannot be used, instead of leaving it out."""

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources in order."""
        if self.csv is None:
            return self.devices or (self,)
        own = (d if d.csv is not None else d.model_copy(update={"csv": self.csv}) for d in self.devices)
        return tuple(own) or (self,)

    @model_validator(mode="before")
    @classmethod
    def _every_window(cls, raw: Any) -> Any:
        """Gives a window of the fleet to each device that has none of its own."""
        match raw:
            case {"window": window, "devices": [*devices]} if all(
                isinstance(each, Mapping) for each in devices
            ):
                return {**raw, "devices": [{"window": window, **each} for each in devices]}
        return raw

    @model_validator(mode="after")
    def _named(self) -> "Fleet":
        here = self.table is not None or self.simulator is not None
        if here and self.devices:
            raise ValueError("has devices and a table or simulator of its own: move the latter into devices")
        for key in ("missing_values", "missing_texts", "ranges") if self.devices else ():
            if getattr(self, key) != Source.model_fields[key].default:
                raise ValueError(f"has devices and {key} of its own: give {key} to each of the devices")
        for i, source in enumerate(self.sources):
            if source.table is None and source.simulator is None:
                where = f"devices[{i}] " if self.devices else ""
                raise ValueError(f"{where}needs a table or a simulator")
        if self.missing == "regression" and self.scaling == "device":
            raise ValueError('has missing = "regression", which needs scaling = "fleet"')
        return self

"""The recipe's section on signals: how samples become windows, and windows become features."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from fedmetaalign.recipe.section import Count, Name, Positive, Section, ShareOrNone
from fedmetaalign.signals.window import MINUTE, Front, Signal, Taper

_PART = re.compile(r"\{(\w+)\}")


def _parts(pattern: str) -> str:
    """Checks what the names of files are said to be."""
    names = _PART.findall(pattern)
    if not names or "{" in _PART.sub("", pattern) or "}{" in pattern:
        raise ValueError(
            f"= {pattern!r} has to have parts in braces, and something between them, such as"
            ' "{machine}_{run}"'
        )
    if twice := [name for i, name in enumerate(names) if name in names[:i] or not name.isidentifier()]:
        raise ValueError(f"= {pattern!r} has the part {twice[0]!r}, which has to be a name that no other has")
    return pattern


_OF_LONG = ("length", "stride", "by", "files", "label", "split_recordings")
_OF_SPECTRA = ("bands", "segment", "taper", "speed")


class Window(Section):
    """Cuts a signal into windows, and makes features of each.

    In the long form a row is a sample, and `length` rows a window. In the wide form a row is a window, whose
    points are columns.
    """

    length: Annotated[int, Field(ge=2, strict=True)] | None = None
    """Samples of a window."""
    stride: Count | None = None
    """Samples from the beginning of a window to that of the next; default: the length."""
    by: Name | tuple[Name, ...] = ()
    """Columns whose combination names the recording, which no window crosses; default: a file is one."""
    files: Annotated[str, AfterValidator(_parts)] | None = None
    """What the names of files say, each of which is a recording, such as "{machine}/{state}_{run}": the parts
    are columns, too, of the label, the device, or the unit of a split."""
    channels: tuple[Name, ...] = ()
    """Columns of the signal, by default the features; in the wide form what its channels are called."""
    label: Literal["any", "last", "majority", "all"] = "any"
    """The class of a window whose samples have several: a fault if there is one; the last; the most frequent;
    or that is an error."""
    points: Name | tuple[Name, ...] = ()
    """In the wide form the columns of a window's points, in their natural order, such as "t*"; of several
    channels one pattern each."""
    rate: Positive | None = None
    """Samples a second; default: what the time column tells."""
    tolerance: ShareOrNone = 0.1
    """By how much of the sampling interval a sample may be early or late; more is a gap."""
    front: Annotated[tuple[Front, ...], Field(min_length=1)] = ("statistics", "bands")
    """What is made of a window; each of several adds its features."""
    bands: Count = 16
    """Bands that the spectrum of a channel is summed in."""
    segment: Count = 256
    """Points of an FFT, a power of two; of a shorter window the greatest power of two in it."""
    taper: Taper = "hann"
    """What each segment is multiplied by before its FFT."""
    envelope: tuple[Positive, Positive] | None = None
    """The lowest and the highest frequency, in Hz, of the band that `envelope` demodulates."""
    speed: Name | None = None
    """Column of the shaft's speed: the bands are of its orders."""
    speed_unit: Literal["rpm", "Hz"] = "rpm"
    orders: Positive = 20.0
    """Where the last band ends, in multiples of the shaft's frequency, with `speed`."""
    split_recordings: Annotated[bool, Field(strict=True)] = False
    """A recording may be on both sides of the split, in parts that share no sample."""

    @property
    def recordings(self) -> tuple[str, ...]:
        """The columns that name a recording."""
        return (self.by,) if isinstance(self.by, str) else self.by

    @property
    def patterns(self) -> tuple[str, ...]:
        """The points of each channel, in the wide form."""
        return (self.points,) if isinstance(self.points, str) else self.points

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that hold samples, as far as this section names them."""
        return self.patterns or self.channels

    @property
    def step(self) -> int:
        """Samples from window to window."""
        assert self.length is not None  # noqa: S101 - asked of the long form alone
        return self.stride or self.length

    def signal(
        self,
        channels: tuple[str, ...],
        rate: float = 0.0,
        ranges: Mapping[str, tuple[float, float]] = MappingProxyType({}),
        length: int | None = None,
    ) -> Signal:
        """Returns what a device has to know to make features of its samples.

        Args:
            channels: their names.
            rate: samples a second; 0 where it is unknown.
            ranges: of the sensors.
            length: of a window, in the wide form.

        Raises:
            ValueError: the parts do not fit together.
        """
        samples = length or self.length
        assert samples is not None  # noqa: S101 - of the wide form the caller knows it
        return Signal(
            length=samples,
            stride=length or self.step,
            channels=channels,
            front=self.front,
            rate=rate,
            bands=self.bands,
            segment=self.segment,
            taper=self.taper,
            envelope=self.envelope,
            speed=self.speed or "",
            turns=1.0 if self.speed_unit == "Hz" else MINUTE,
            orders=self.orders,
            ranges=ranges,
        )

    @model_validator(mode="after")
    def _one_form(self) -> "Window":
        if self.points:
            if strange := [key for key in _OF_LONG if self._names(key)]:
                raise ValueError(
                    f"has points, which says that a row is a window, and {strange[0]}, which is of rows that"
                    " are samples: drop one of them"
                )
            if self.channels and len(self.channels) != len(self.patterns):
                raise ValueError(
                    f"has {len(self.channels)} channels and {len(self.patterns)} patterns of points: name as"
                    " many"
                )
            if self.speed is not None:
                raise ValueError("has points and speed, which has to have a value for each sample: drop one")
        elif self.length is None:
            raise ValueError(
                'needs length, the samples of a window; or points, such as "t*", where a row is a window'
            )
        for key in ("channels", "front", "recordings", "patterns"):
            names = getattr(self, key)
            if twice := [name for i, name in enumerate(names) if name in names[:i]]:
                raise ValueError(f"names {twice[0]!r} twice: drop one of them")
        if self.speed is None and (idle := [key for key in ("speed_unit", "orders") if self._names(key)]):
            raise ValueError(f"has {idle[0]}, and no speed that it says something of: name its column, too")
        if self.speed is not None and self.speed in self.channels:
            raise ValueError(f"has speed = {self.speed!r}, which is among its channels: drop it there")
        return self

    @model_validator(mode="after")
    def _front(self) -> "Window":
        if not {"bands", "envelope"} & {*self.front}:
            for key in _OF_SPECTRA:
                if self._names(key):
                    raise ValueError(
                        f"has {key}, which its front end {self.front[0]!r} has no use for: drop it"
                    )
        if self.envelope is None and "envelope" in self.front:
            raise ValueError(
                'has the front end "envelope", and not the band that it demodulates: add envelope = [low,'
                " high], in Hz"
            )
        if self.envelope is not None and "envelope" not in self.front:
            raise ValueError('has envelope, and no front end that demodulates it: add "envelope" to front')
        by_rate = self.envelope is not None or self.speed is not None
        if self.length is not None and (self.rate or not by_rate):
            try:
                self.signal(self.channels or ("a channel",), self.rate or 0.0)
            except ValueError as error:
                raise ValueError(f"cannot be used: {error}") from None
        return self

    def _names(self, key: str) -> bool:
        """Whether it has another value than by default: a recipe that was written down names all keys."""
        return bool(getattr(self, key) != type(self).model_fields[key].default)

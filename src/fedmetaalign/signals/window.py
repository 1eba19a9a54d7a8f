"""What a device must know to go from the samples of its sensors to the features of its network."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from fedmetaalign.signals.plan import Demodulation, Spectrum, demodulation_of, spectrum_of

Front = Literal["raw", "statistics", "bands", "envelope"]

FRONTS: tuple[Front, ...] = get_args(Front)

Taper = Literal["hann", "none"]

LARGEST = 3.4028234663852886e38
"""The largest finite float32."""

MINUTE = 1 / 60
"""Turns a second of a shaft speed of 1 in revolutions a minute."""


@dataclass(frozen=True)
class Signal:
    """Windows of samples, and the front ends that turn each into features.

    Attributes:
        length: samples of a window.
        stride: samples from the start of one window to that of the next.
        channels: names of the measured channels, in order.
        front: which front ends, in the order of their features.
        rate: samples a second of each channel; 0 where it is unknown, which rules out `envelope` and `speed`.
            Without a shaft's speed, bands are in multiples of it.
        bands: how many bands a spectrum is divided into.
        segment: points of an FFT, a power of two; of a shorter window, the greatest power of two in it.
        taper: what a segment is weighted with before its FFT.
        envelope: the lowest and the highest frequency of the band that is demodulated, in Hz.
        speed: the column of the shaft's speed, which comes last in a window and is no channel; "" where there
            is none. With it, bands are in multiples of the shaft's frequency, and the mean speed is a feature.
        turns: revolutions a second of a speed of 1: 1/60 of revolutions a minute.
        orders: where the last band ends, in multiples of the shaft's frequency.
        ranges: by channel the least and the greatest value that its sensor can have.
    """

    length: int
    stride: int
    channels: tuple[str, ...]
    front: tuple[Front, ...] = ("statistics",)
    rate: float = 0.0
    bands: int = 16
    segment: int = 256
    taper: Taper = "hann"
    envelope: tuple[float, float] | None = None
    speed: str = ""
    turns: float = MINUTE
    orders: float = 20.0
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises ValueError where the parts do not fit together, with a sentence that says what to change."""
        if self.length < 1 or self.stride < 1:
            raise ValueError(f"a window of {self.length} samples every {self.stride}: both have to be positive")
        if not self.channels or len(set(self.columns)) != len(self.columns):
            raise ValueError(f"channels are {', '.join(self.columns) or 'none'}: name each of them once")
        if not self.front or len(set(self.front)) != len(self.front) or not set(self.front) <= set(FRONTS):
            raise ValueError(f"front is {[*self.front]}: name one or more of {', '.join(FRONTS)}, each once")
        if not (np.isfinite(self.rate) and self.rate >= 0):
            raise ValueError(f"rate is {self.rate}: give samples a second")
        if self.segment < 8 or self.segment & (self.segment - 1):
            raise ValueError(f"segment is {self.segment}: give a power of two, 8 at least")
        if self.taper not in get_args(Taper):
            raise ValueError(f"taper is {self.taper!r}: choose one of {', '.join(get_args(Taper))}")
        if self.bands < 1:
            raise ValueError(f"bands is {self.bands}: give a positive number")
        if ("envelope" in self.front) != (self.envelope is not None):
            raise ValueError(
                "the front end envelope and the band of frequencies that it demodulates go together"
            )
        if self.speed and not self.spectral:
            raise ValueError("a shaft's speed is of use to bands and envelope alone: name one of them in front")
        if not self.rate and (self.speed or self.envelope):
            raise ValueError("envelope and a shaft's speed need the rate of the samples")
        if self.speed and not (
            np.isfinite([self.turns, self.orders]).all() and min(self.turns, self.orders) > 0
        ):
            raise ValueError(f"turns is {self.turns} and orders is {self.orders}: both have to be positive")
        if "bands" in self.front:
            self.spectrum  # noqa: B018 - says what is wrong with it
        if self.envelope is not None:
            self.envelope_spectrum  # noqa: B018
        if "statistics" in self.front and self.length < 2:
            raise ValueError("statistics of windows of one sample say nothing: give a greater length")
        for name, (low, high) in self.ranges.items():
            if name not in self.columns or not -LARGEST <= low < high <= LARGEST:
                raise ValueError(f"the range of {name!r} is from {low} to {high}")

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "Signal":
        """Reads what `dataclasses.asdict` makes of it.

        Raises:
            TypeError, ValueError, AttributeError, KeyError: it is damaged.
        """
        envelope = facts.get("envelope")
        return cls(
            int(facts["length"]),
            int(facts["stride"]),
            tuple(map(str, facts["channels"])),
            tuple(facts["front"]),
            float(facts["rate"]),
            int(facts["bands"]),
            int(facts["segment"]),
            facts["taper"],
            None if envelope is None else (float(envelope[0]), float(envelope[1])),
            str(facts["speed"]),
            float(facts["turns"]),
            float(facts["orders"]),
            {str(name): (float(low), float(high)) for name, (low, high) in facts["ranges"].items()},
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """What a sample consists of: the channels, and then the speed."""
        return (*self.channels, self.speed) if self.speed else self.channels

    @property
    def spectral(self) -> bool:
        """Whether a front end takes spectra."""
        return bool({"bands", "envelope"} & set(self.front))

    @property
    def speeds(self) -> int:
        """The last samples of a window that its mean speed is of: those that no earlier window has."""
        return min(self.stride, self.length)

    @property
    def spectrum(self) -> Spectrum:
        """Of the samples of a channel."""
        return self._spectrum(self.length, 1)

    @property
    def demodulation(self) -> Demodulation:
        """Of the band `envelope`.

        Raises:
            ValueError: there is none.
        """
        if self.envelope is None:
            raise ValueError("there is no band to demodulate")
        return demodulation_of(self.length, self.rate, self.envelope)

    @property
    def envelope_spectrum(self) -> Spectrum:
        """Of the envelope of a channel."""
        how = self.demodulation
        return self._spectrum(how.count, how.step)

    @property
    def spectra(self) -> dict[Front, Spectrum]:
        """By front end."""
        found: dict[Front, Spectrum] = {"bands": self.spectrum} if "bands" in self.front else {}
        return found | ({"envelope": self.envelope_spectrum} if self.envelope else {})

    def _spectrum(self, count: int, step: int) -> Spectrum:
        how = (count, self.segment, self.taper == "hann", self.bands)
        return (
            spectrum_of(*how, orders=self.orders, per_hertz=step / self.rate)
            if self.speed
            else spectrum_of(*how)
        )

    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the least and the greatest good value of each column, both (columns,) float32."""
        both = [self.ranges.get(name, (-LARGEST, LARGEST)) for name in self.columns]
        low, high = np.array(both, np.float64).T
        return low.astype(np.float32), high.astype(np.float32)

"""What each part of a result is: immutable, strict about its keys, and within bounds.

The bounds are strict because a result goes from a device's hands into everybody's report: a device that says
something odd must spoil neither for the others.
"""

import unicodedata
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

MOST_SAMPLES = 10**9
"""Of a device; sums and products of so many stay far from the end of int64."""

LARGEST_LOSS = 3e38
"""What float32 can hold."""

LARGEST_THRESHOLD = 1e4
"""A threshold on probabilities may lie outside [0, 1] ("always" or "never"), and never far."""

MOST_FEATURES = 10_000
"""Of a device."""

LONGEST_NAME = 500
"""Characters of a feature's name, its unit, or a class."""

LONGEST_WORDS = 1000
"""Characters of a text in a result."""


def steers(text: str) -> bool:
    """Tells whether a text holds a control character, or half of one character, which no file can hold."""
    return any(unicodedata.category(character) in ("Cc", "Cs") for character in text)


def harmless(text: str) -> str:
    """Returns a text as a result may hold it: spaces for what steers, and no longer than `LONGEST_WORDS`."""
    return "".join(" " if steers(character) else character for character in text[:LONGEST_WORDS])


def _printable(text: str) -> str:
    if steers(text):
        raise ValueError("it holds a control character")
    return text


# Strict: neither true nor "1" is a number.
Part = Annotated[float, Field(ge=0, le=1, strict=True)]
Loss = Annotated[float, Field(ge=0, le=LARGEST_LOSS, strict=True)]
Threshold = Annotated[float, Field(ge=-LARGEST_THRESHOLD, le=LARGEST_THRESHOLD, strict=True)]
Amount = Annotated[int, Field(ge=0, le=MOST_SAMPLES, strict=True)]
Words = Annotated[str, Field(max_length=LONGEST_WORDS, strict=True), AfterValidator(_printable)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$", strict=True)]


class Reported(BaseModel):
    """A part of a result: immutable, and strict about its keys; those with a default may be left out."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def to_dict(self) -> dict[str, Any]:
        """Returns it as JSON has it: the keys that were given, in the order of the fields."""
        return self.model_dump(exclude_unset=True)

    @classmethod
    def usable(cls, value: object) -> dict[str, Any]:
        """Returns the fields that a JSON value has and that are sound, as they are; other keys are left out.

        For a reader who takes what there is: a file may be older or newer than this program, or damaged.
        """
        found = {key: value[key] for key in cls.model_fields if key in value} if isinstance(value, dict) else {}
        try:
            cls.model_validate(found)
        except ValidationError as error:
            wrong = {each["loc"][0] for each in error.errors() if each["loc"]}
            return {key: each for key, each in found.items() if key not in wrong}
        return found

    @classmethod
    def read(cls, value: object) -> Self | None:
        """Returns what a JSON value says, None where a key is missing or not sound; others are ignored."""
        if not isinstance(value, dict):
            return None
        try:
            return cls.model_validate(cls.usable(value))
        except ValidationError:
            return None

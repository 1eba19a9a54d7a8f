"""What all sections of the recipe are made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

# Strict: neither true nor "1" is a number.
Share = Annotated[float, Field(gt=0, lt=1, strict=True)]
ShareOrNone = Annotated[float, Field(ge=0, lt=1, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]
Whole = Annotated[int, Field(ge=0, strict=True)]
Rate = Annotated[float, Field(gt=0, le=1, strict=True)]
Positive = Annotated[float, Field(gt=0, strict=True)]
Number = Annotated[float, Field(strict=True)]
Name = Annotated[str, Field(min_length=1)]

Value = str | int | float


class Section(BaseModel):
    """A part of the recipe: immutable, and strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

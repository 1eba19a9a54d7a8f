"""What the models of files share."""

from typing import Annotated

from pydantic import BeforeValidator

from fedmetaalign.report.finished import number

Number = Annotated[float | None, BeforeValidator(number)]
"""A finite number, None for anything else."""

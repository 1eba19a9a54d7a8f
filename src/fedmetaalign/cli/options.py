"""Options that several commands have, each with one name and one explanation."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fedmetaalign.fleet.files import Options

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="The run folder.", show_default="runs/NAME")]
Data = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder of the recipe's tables.", show_default="the recipe's")
]
Seed = Annotated[int | None, typer.Option(metavar="N", help="Replaces the recipe's seed.")]
CsvOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--csv", metavar="KEY=VALUE", help="What is not to be sniffed of a text: decimal=, or separator=tab."
    ),
]
Labels = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN", help="The label column, or each of several.", show_default="guessed"),
]
Normal = Annotated[
    list[str] | None,
    typer.Option(metavar="VALUE", help="A value of the label that is no fault.", show_default="guessed"),
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Replaces a key: parallel.rounds=3.")
]


def attack_keys(text: str) -> dict[str, Any]:
    """Returns what --attack says, such as flip:0.2, as keys of the recipe."""
    from fedmetaalign.recipe.file import setting

    kind, _, share = text.partition(":")
    more = dict([setting(f"compare.hostile={share}")]) if share else {}
    return {"compare.attack": kind, **more}


def csv_keys(pairs: list[str] | None) -> dict[str, Any]:
    """Returns what --csv says as the keys of [fleet.csv]."""
    from fedmetaalign.recipe.file import setting

    found = dict(map(setting, pairs or ()))
    return found | ({"separator": "\t"} if found.get("separator") == "tab" else {})


def csv_options(pairs: list[str] | None, known: Mapping[str, Any] = MappingProxyType({})) -> "Options":
    """Reads what --csv says, as [fleet.csv] of a recipe is read; it holds before what is known already.

    Raises:
        RecipeError: there is no such key, or it cannot have this value.
    """
    from pydantic import ValidationError

    from fedmetaalign.errors import RecipeError
    from fedmetaalign.fleet.files import Options
    from fedmetaalign.recipe.errors import sentence
    from fedmetaalign.recipe.source import Csv

    try:
        return Options(**Csv.model_validate({**known, **csv_keys(pairs)}).model_dump())
    except ValidationError as error:
        raise RecipeError(f"--csv: {sentence(error, Csv)}") from None

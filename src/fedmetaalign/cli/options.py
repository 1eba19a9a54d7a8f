"""Options that several commands have, each with one name and one explanation."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="The run folder.", show_default="runs/NAME")]
Data = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder of the recipe's tables.", show_default="the recipe's")
]
Seed = Annotated[int | None, typer.Option(metavar="N", help="Replaces the recipe's seed.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Replaces a key: parallel.rounds=3.")
]

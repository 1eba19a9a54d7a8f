"""The command that proposes a recipe for tables as they are."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from fedmetaalign.errors import DataError, FedMetaAlignError


def init(
    paths: Annotated[
        list[Path], typer.Argument(metavar="FOLDER|TABLE...", help="Folders of tables, or tables.")
    ],
    label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN", help="The label column; several by several --label.", show_default="guessed"
        ),
    ] = None,
    normal: Annotated[
        list[str] | None,
        typer.Option(metavar="VALUE", help="A value of the label that means no fault.", show_default="guessed"),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The recipe to write.")] = Path("recipe.toml"),
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: take every proposal.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over the recipe that is there.")] = False,
) -> None:
    """Looks at tables and proposes a recipe: devices, label, features, what to leave out, and why."""
    from fedmetaalign.fleet.audit import sentences
    from fedmetaalign.proposal.propose import propose
    from fedmetaalign.proposal.reading import read, tables_in
    from fedmetaalign.proposal.text import recipe_text
    from fedmetaalign.system.writing import replace

    asking = not yes and sys.stdin.isatty()
    if (
        out.exists()
        and not force
        and not (asking and typer.confirm(f"{out} is there already; write over it?", err=True))
    ):
        raise FedMetaAlignError(f"{out} is there already: choose another --out, or write over it with --force.")
    families, wrong = read(tables_in(paths))
    name = (paths[0].resolve() if paths[0].is_dir() else paths[0]).stem
    proposal = propose(families, name, tuple(label or ()), tuple(normal or ()), wrong)
    call = " ".join(["fedmetaalign init", *map(str, paths)])
    text = recipe_text(proposal, out.parent, call, out)
    try:
        replace(out, text.encode())
    except OSError as error:
        raise DataError(f"Cannot write {out}: {error.strerror}; choose another --out.") from None
    for choice in proposal.choices:
        for sentence in sentences(choice.audit):
            sys.stdout.write(f"  {sentence}\n")
    for choice in proposal.choices:
        for note in choice.notes:
            sys.stdout.write(f"{note}\n")
    sys.stdout.write(f"{out} is written. Read it, then: fedmetaalign run {out}\n")

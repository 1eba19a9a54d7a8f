"""The command that proposes a recipe for tables as they are."""

import dataclasses
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedmetaalign.cli.options import CsvOptions, Json, Labels, Normal, csv_keys, csv_options
from fedmetaalign.errors import FedMetaAlignError

if TYPE_CHECKING:
    from fedmetaalign.proposal.proposal import Choice
    from fedmetaalign.proposal.reading import Family

FILES = "file"
"""What somebody answers for whom each table is a device."""


def init(
    paths: Annotated[
        list[Path], typer.Argument(metavar="FOLDER|TABLE...", help="Folders of tables, or tables.")
    ],
    label: Labels = None,
    normal: Normal = None,
    csv: CsvOptions = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The recipe to write.")] = Path("recipe.toml"),
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: take what is proposed.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over a recipe that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Looks at tables and writes a recipe for them: devices, label, features, what to leave out, and why."""
    from fedmetaalign.cli.terminal import print_json
    from fedmetaalign.proposal.propose import propose
    from fedmetaalign.proposal.reading import below, read, tables_in
    from fedmetaalign.proposal.summary import summary, to_dict
    from fedmetaalign.proposal.text import recipe_text
    from fedmetaalign.proposal.trial import runnable
    from fedmetaalign.system.writing import replace

    asking = not yes and sys.stdin.isatty()
    if out.exists() and not force:
        over = asking and typer.confirm(f"{out} is there already. Write over it?", err=True)
        if not over:
            raise FedMetaAlignError(f"{out} is there already: choose another --out, or add --force.")
    families, wrong = read(tables_in(paths), csv_options(csv))
    for raw in (raw for family in families for raw in family.raws if raw.rows is not None):
        rows = f"{raw.frame.height:,} of its rows, from all over it"
        sys.stderr.write(f"fedmetaalign: {raw.path} is large: only {rows}, were looked at.\n")
    name = paths[0].resolve().name if paths[0].is_dir() else paths[0].stem
    proposal = propose(families, name, label or (), normal or (), wrong, _ask if asking else None)
    left = (*proposal.left, *below(paths))
    proposal = dataclasses.replace(proposal, csv=csv_keys(csv), left=left)
    call, run = (
        shlex.join(["fedmetaalign", "init", *map(str, paths)]),
        shlex.join(["fedmetaalign", "run", str(out)]),
    )
    del families  # of large tables the trial takes all the memory that there should be
    folder = out.absolute().parent
    proposal, trial = runnable(proposal, lambda each: recipe_text(each, folder, call, run), folder)
    try:
        replace(out, recipe_text(proposal, folder, call, run).encode())
    except OSError as error:
        raise FedMetaAlignError(f"Cannot write {out}: {error.strerror}; choose another --out.") from None
    if as_json:
        print_json(
            {"recipe": str(out), "refused": trial.refusal or None, "left_out": list(trial.left_out)}
            | to_dict(proposal)
        )
    else:
        sys.stdout.write("\n".join([*summary(proposal), ""]))
        for sentence in trial.left_out:
            sys.stdout.write(f"  {sentence}\n")
        if trial.refusal:
            sys.stdout.write(f"run will refuse the recipe until this is mended: {trial.refusal}\n")
        sys.stdout.write(f"\nWritten to {out}; read it. Next:\n    {run}\n")


def _ask(family: "Family", choice: "Choice") -> "Choice":
    """Asks about the choices that matter most, each with what is proposed as its default."""
    from fedmetaalign.fleet.labels.guess import guess
    from fedmetaalign.proposal.propose import choose

    tables = f"{len(family.raws)} tables" if len(family.raws) > 1 else str(family.paths[0])
    sys.stderr.write(f"{tables}, columns: {', '.join(family.columns)}\n")
    columns = _answers("Label column", choice.label.columns, family.columns)
    label = choice.label if columns == choice.label.columns else guess(family.pooled, columns)
    if label.faults:
        values = (*label.normal, *label.faults)
        normal = _answers(f"Which of {', '.join(values)} mean no fault", label.normal, values)
        label = guess(family.pooled, label.columns, (), normal) if normal != label.normal else label
    device: tuple[str, ...] = ()
    if len(family.raws) == 1:
        named = _answers("Columns that name devices", choice.device or (FILES,), (FILES, *family.columns))
        device = tuple(column for column in named if column != FILES)
    if (label, device) != (choice.label, choice.device):
        choice = choose(family, label, device)
    for name, reason in choice.left.items():
        sys.stderr.write(f"  left out: {name}: {reason}\n")
    kept = _answers("Features", choice.features, family.columns)
    if kept == choice.features:
        return choice
    return choose(family, label, device, {*choice.features} - {*kept}, {*kept} - {*choice.features})


def _answers(question: str, proposed: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    """Asks for some of the known names, with commas between them, until all are known."""
    while True:
        shown = ", ".join(proposed)
        text = typer.prompt(question, default=shown, err=True)
        if text == shown:
            return proposed
        found = tuple(part.strip() for part in text.split(",") if part.strip())
        strange = [name for name in found if name not in known]
        if found and not strange:
            return found
        sys.stderr.write(
            f"  There is no {strange[0] if strange else 'name'!r}; there are {', '.join(known)}.\n"
        )

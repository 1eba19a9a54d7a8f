"""The commands about data: known data sets, simulated devices, and what is wrong with a table."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from fedmetaalign.cli.options import CsvOptions, Data, Json, Labels, Normal, csv_options
from fedmetaalign.cli.terminal import print_json

app = typer.Typer(no_args_is_help=True, help="Known data sets: list them, fetch them, simulate devices.")


def audit(
    paths: Annotated[
        list[Path], typer.Argument(metavar="TABLE...|RECIPE", help="Tables, folders of them, or one recipe.")
    ],
    label: Labels = None,
    positive: Annotated[
        list[str] | None,
        typer.Option(metavar="VALUE", help="A value of the label that means fault.", show_default="guessed"),
    ] = None,
    normal: Normal = None,
    csv: CsvOptions = None,
    data: Data = None,
    page: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write a page (HTML).")] = None,
    as_json: Json = False,
) -> None:
    """Says what is wrong or trivial about data: leaks, copies, runs, clocks, wrong labels, simple rules."""
    from fedmetaalign.errors import DataErrors
    from fedmetaalign.fleet.audit.fleet import Audits, audit_recipe, audit_tables, lines
    from fedmetaalign.proposal.reading import tables_in
    from fedmetaalign.recipe import builtin, load

    first = paths[0]
    found: Audits
    if first.suffix == ".toml" or (len(paths) == 1 and not first.exists() and str(first) in builtin()):
        if len(paths) > 1 or label or positive or normal or csv:
            raise typer.BadParameter("a recipe says itself what its tables and labels are: give it alone")
        found = audit_recipe(load(str(first), (), None, data))
    else:
        if data is not None:
            raise typer.BadParameter("the folder of a recipe's tables: give a recipe", param_hint="--data")
        found = audit_tables(tables_in(paths), label or (), positive or (), normal or (), csv_options(csv))
    if page is not None and found.audits:
        from fedmetaalign.report.audit_page import write_audit_page

        write_audit_page(found, page)
    if as_json:
        print_json(found.to_list())
    else:
        sys.stdout.write("".join(f"{line}\n" for line in lines(found)))
    if found.wrong:
        raise DataErrors(found.wrong)


@app.command("list")
def list_data(as_json: Json = False) -> None:
    """Lists the known data sets: where each is had, and its traps."""
    from fedmetaalign.fleet.catalog import DATASETS

    if as_json:
        shown = ("name", "file", "title", "url", "licence", "sha256", "rows", "downloadable")
        print_json([{name: getattr(dataset, name) for name in shown} for dataset in DATASETS])
    else:
        for dataset in DATASETS:
            how = (
                f"fedmetaalign data fetch {dataset.name}"
                if dataset.downloadable
                else f"by hand from {dataset.url}"
            )
            sys.stdout.write(f"{dataset.name}: {dataset.title}, {dataset.rows:,} rows, {dataset.licence}\n")
            sys.stdout.write(f"  file {dataset.file}, {how}\n")
            for note in dataset.notes:
                sys.stdout.write(f"  - {note}\n")


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="A name from `data list`.")],
    out: Annotated[Path, typer.Option(help="The folder to put it in.")] = Path("data"),
) -> None:
    """Downloads a data set that its publisher lets us, and checks its sha256."""
    from fedmetaalign.fleet import catalog

    sys.stdout.write(f"{catalog.fetch(name, out)}\n")


@app.command()
def simulate(
    name: Annotated[Literal["feeder", "milling", "rotating"], typer.Argument(help="The kind of device.")],
    out: Annotated[Path, typer.Option(help="A new folder for the tables.")],
    count: Annotated[int, typer.Option(min=1, help="Devices.")] = 10,
    samples: Annotated[int, typer.Option(min=1, help="Samples of each device.")] = 400,
    seed: Annotated[int, typer.Option(min=0, help="Decides the samples.")] = 0,
) -> None:
    """Writes simulated devices as a folder of CSV files, with a recipe that runs on them."""
    from fedmetaalign.fleet.export import write_devices

    recipe = write_devices(name, count, samples, seed, out)
    sys.stdout.write(f"{count} tables in {out}; train on them with: fedmetaalign run {recipe}\n")

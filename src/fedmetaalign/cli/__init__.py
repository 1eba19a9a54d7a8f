"""The command line. Each verb imports what it needs, so that help is quick."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
import typer.core

from fedmetaalign.cli import data as cli_data
from fedmetaalign.cli import fleet as cli_fleet
from fedmetaalign.cli import init as cli_init
from fedmetaalign.cli import prediction as cli_prediction
from fedmetaalign.cli.options import Data, Json, Out, Seed, Settings, attack_keys
from fedmetaalign.cli.terminal import print_json
from fedmetaalign.errors import DataError, FedMetaAlignError

# Else typer 0.20 escapes "[default: x]" as for rich's markup, also where that is not used.
typer.core.HAS_RICH = False

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Federated learning that ends in a tiny, personal fault classifier on every device of a fleet.",
)
app.add_typer(cli_data.app, name="data")


def main() -> None:
    """Runs the command line: exit status 0 done, 1 failed with the reason on standard error, 2 called wrongly.

    What is wrong with tables is told all at once, a line each, and with --json on standard output, too.
    """
    try:
        app(prog_name="fedmetaalign")
    except FedMetaAlignError as error:
        if isinstance(error, DataError) and "--json" in sys.argv:
            print_json({"errors": [problem.to_dict() for problem in error.problems]})
        sentence = str(error)
        sys.stderr.write(f"fedmetaalign: {sentence}{'' if sentence.endswith(('.', '?')) else '.'}\n")
        sys.exit(1)
    except PermissionError as error:  # which asking whether a file is there may raise, wherever that is
        file = error.filename or "a file"
        sys.stderr.write(f"fedmetaalign: This user may not use {file}: call as one who may, or give another.\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.stderr.write("fedmetaalign: stopped.\n")
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output has left, as `head` does
        sys.stderr.close()
        sys.exit(1)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        sys.stdout.write(f"fedmetaalign {version('fedmetaalign')}\n")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Holds the options that come before a command."""


@app.command()
def run(
    recipe: Annotated[
        str | None, typer.Argument(help="A built-in name or a TOML file.", show_default="demo")
    ] = None,
    out: Out = None,
    data: Data = None,
    engine: Annotated[
        Literal["local", "flower"],
        typer.Option(
            help="local: in this process; flower: each device in processes of its own on this machine."
        ),
    ] = "local",
    method: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Replaces the recipe's method.", show_default="the recipe's"),
    ] = None,
    seed: Seed = None,
    settings: Settings = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run in --out was stopped.")] = False,
    as_json: Json = False,
) -> None:
    """Runs a recipe: all phases, a bundle for every device, a report."""
    from fedmetaalign import recipe as recipes
    from fedmetaalign.cli.progress import RunWatcher, print_results
    from fedmetaalign.run_folder import free_folder

    if resume and out is None:
        raise typer.BadParameter("say with --out which run to resume", param_hint="--resume")
    if recipe is None:
        recipe = str(out / "recipe.toml") if resume and out is not None else "demo"
    loaded = recipes.load(recipe, settings or [], seed, data)
    if method is not None:
        loaded = recipes.with_settings(loaded, {"method": method}, "--method")
    folder = out or free_folder(loaded.name)
    try:
        if engine == "flower":
            from fedmetaalign.system.extras import require

            require("flower", "flwr", "cryptography")
            from fedmetaalign.serving.loopback import run_on_loopback

            run_on_loopback(loaded, folder, resume)
        else:
            from fedmetaalign.run import run as execute

            with RunWatcher() as watcher:
                execute(loaded, folder, resume, watcher)
    except KeyboardInterrupt:
        if not (folder / "checkpoint.safetensors").exists():
            raise
        again = "fedmetaalign run --resume" + (" --engine flower" if engine == "flower" else "")
        sys.stderr.write(f"fedmetaalign: stopped; go on with: {again} --out {folder}\n")
        raise typer.Exit(130) from None
    print_results(folder, as_json)


@app.command()
def compare(
    recipe: Annotated[
        str, typer.Argument(help="A built-in name or a TOML file; its [compare] section says what to compare.")
    ] = "demo",
    methods: Annotated[
        str | None, typer.Option(metavar="A,B", help="The methods, or all.", show_default="the recipe's")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, metavar="N", help="Runs a method, each with another seed.")] = 3,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The comparison's folder; the finished part of one that was stopped is kept.",
            show_default="runs/compare-NAME",
        ),
    ] = None,
    data: Data = None,
    settings: Settings = None,
    attack: Annotated[
        str | None,
        typer.Option(
            metavar="KIND:SHARE",
            help="So large a share of the devices is hostile, such as flip:0.2; the others are judged.",
            show_default="nobody is",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compares methods side by side: equal budgets, tuned alike, confidence intervals."""
    from fedmetaalign import recipe as recipes
    from fedmetaalign.cli.comparison import CompareWatcher, print_comparison
    from fedmetaalign.comparison.compare import compare as execute
    from fedmetaalign.fleet.tables import safe_name
    from fedmetaalign.methods import runnable

    loaded = recipes.load(recipe, settings or [], None, data)
    if methods is not None:
        named = runnable(loaded) if methods == "all" else [name.strip() for name in methods.split(",")]
        loaded = recipes.with_settings(loaded, {"compare.methods": named}, "--methods")
    if attack is not None:
        loaded = recipes.with_settings(loaded, attack_keys(attack), "--attack")
    folder = out or Path("runs") / f"compare-{safe_name(loaded.name)}"
    try:
        with CompareWatcher() as watcher:
            result = execute(loaded, folder, seeds, watcher)
    except KeyboardInterrupt:
        sys.stderr.write("fedmetaalign: stopped; the same command goes on where it was.\n")
        raise typer.Exit(130) from None
    if as_json:
        print_json(result)
    else:
        print_comparison(result)
        sys.stdout.write(f"\nPage: {folder / 'compare.html'}\nTables and figures: {folder / 'compare.md'}\n")


app.command()(cli_init.init)
app.command()(cli_data.audit)
app.command()(cli_prediction.predict)


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A device's bundle folder.")],
    as_json: Json = False,
) -> None:
    """Runs a bundle in every runtime and on emulated Cortex-M cores: all have to agree, bit for bit."""
    from dataclasses import asdict

    from fedmetaalign.cli.tinyml import progress, verification_table
    from fedmetaalign.proof import verify as verification

    with progress() as watch:
        rows = verification.verify(folder, watch=watch)
    if as_json:
        print_json([asdict(row) for row in rows])
    else:
        verification_table(str(folder), rows)
    verification.check(folder, rows)


@app.command()
def footprint(
    folder: Annotated[Path, typer.Argument(metavar="RUN|BUNDLE", help="A finished run, or one bundle.")],
    as_json: Json = False,
) -> None:
    """Measures each device's model in float32, in uint8 and as deployed: size, latency, instructions."""
    from dataclasses import asdict

    from fedmetaalign.cli.tinyml import footprint_table, progress
    from fedmetaalign.proof import footprint as footprints

    with progress() as watch:
        measured = footprints.footprint(folder, watch)
    if as_json:
        print_json([asdict(row) for row in measured])
    else:
        footprint_table(str(folder), measured)


@app.command()
def firmware(
    folder: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A device's bundle folder.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A new or empty folder.", show_default="BUNDLE/firmware"),
    ] = None,
) -> None:
    """Writes a bundle's C code, with all that it takes to compile it."""
    from fedmetaalign.system.writing import writing_to
    from fedmetaalign.tinyml.firmware_folder import unpack

    out = out or folder / "firmware"
    with writing_to(out, "call again"):
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise FedMetaAlignError(f"{out} is not empty: choose another --out.")
        if warning := unpack(folder, out):
            sys.stderr.write(f"{warning}\n")
    sys.stdout.write(f"{out}\n")


@app.command()
def adapt(
    folder: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle that the device runs.")],
    state: Annotated[Path, typer.Argument(metavar="STATE", help="The file that the device exported.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The new bundle's folder.")],
) -> None:
    """Makes a new bundle of what a device has learned on its own."""
    from importlib.metadata import version

    from fedmetaalign.system.writing import writing_to
    from fedmetaalign.tinyml.adapt import adapt as execute

    versions = {name: version(name) for name in ("fedmetaalign", "numpy", "ai-edge-litert")}
    with writing_to(out, "call again"):
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise FedMetaAlignError(f"{out} is not empty: choose another --out.")
        execute(folder, state, out, versions)
    sys.stdout.write(f"{out}\n")


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run folder.")],
    device: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A device whose details the page is to have, however large the fleet."
        ),
    ] = None,
) -> None:
    """Writes RUN/report.html from the run folder alone."""
    from fedmetaalign.report import write_report

    sys.stdout.write(f"{write_report(folder, device or [])}\n")


for command in (cli_fleet.join, cli_fleet.server, cli_fleet.device, cli_fleet.enroll, cli_fleet.watch):
    app.command()(command)

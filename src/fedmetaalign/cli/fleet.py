"""The operator's commands: a fleet of machines over Flower, and a live view of any run."""

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from fedmetaalign.cli.options import Json, Out, Seed, Settings
from fedmetaalign.cli.terminal import print_json
from fedmetaalign.errors import FedMetaAlignError


def enroll(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The fleet folder; made if it does not exist.")],
    address: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST",
            help="By what devices reach the server: an IP address or a host name; repeat for more. For a"
            " fleet folder that exists they replace all earlier ones, and the server's certificate is renewed.",
            show_default="loopback",
        ),
    ] = None,
    device: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A device to make a key for; repeat for more.")
    ] = None,
    revoke: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A device that may no longer take part; repeat for more."),
    ] = None,
    days: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=825,
            help="How long the server's certificate is valid. Given for a fleet folder that exists, renews it.",
            show_default="825",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Makes the keys and certificates of a fleet, adds devices, revokes them; says what goes where."""
    from datetime import UTC, datetime

    from fedmetaalign.system.extras import require

    require("flower", "cryptography")
    from fedmetaalign.gateways import enrolment

    if revoke:
        if address or device or days is not None:
            raise typer.BadParameter("revoke in a call of its own", param_hint="--revoke")
        kept = enrolment.revoke(folder, revoke)
        if as_json:
            result = {"folder": str(folder), "revoked": {name: str(key) for name, key in kept.items()}}
            print_json(result)
        else:
            for name, key in kept.items():
                sys.stdout.write(
                    f"{name} is revoked: its key is now {key}; a running server refuses it from now on.\n"
                )
        return
    state = enrolment.enroll(folder, address or [], device or [], days, datetime.now(UTC))
    if as_json:
        print_json(state.to_dict())
    else:
        sys.stdout.write(enrolment.instructions(state))


def watch(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder, of a run on any engine.")],
    once: Annotated[bool, typer.Option("--once", help="Print the view once, and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what is known now as JSON, and end.")] = False,
) -> None:
    """Shows a run while it goes on: its phase and round, and how every device is doing.

    Ctrl-C ends only the looking.
    """
    from fedmetaalign.cli.watch import watch as execute
    from fedmetaalign.report import live

    if as_json:
        print_json(live.read(folder).to_dict())
    else:
        execute(folder, once)


def device(
    name: Annotated[str, typer.Option(help="The name that the device was enrolled under.")],
    table: Annotated[
        list[Path],
        typer.Option(
            metavar="FILE",
            help="The device's samples: a table; where the names of files say what they are, several, or a"
            " folder of them.",
        ),
    ],
    server: Annotated[str, typer.Option(metavar="HOST:PORT", help="The server of the fleet.")],
    keys: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The folder that the operator handed out; needed unless --insecure."),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the device keeps its own files.", show_default="device-NAME"),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Neither TLS nor keys, for a server on this machine.")
    ] = False,
) -> None:
    """Takes part in a fleet as one of its devices, until it is stopped."""
    from fedmetaalign.system.extras import require

    require("flower", "flwr", "cryptography")
    from fedmetaalign.gateways.supernode import run_device

    run_device(name, table, server, keys, state or Path(f"device-{name}"), insecure)


def server(
    recipe: Annotated[
        str | None,
        typer.Argument(
            help="A built-in name or a TOML file.", show_default="demo; with --resume the run's own"
        ),
    ] = None,
    fleet: Annotated[
        Path, typer.Option(metavar="DIR", help="The fleet folder, made by `fedmetaalign enroll`.")
    ] = Path("fleet"),
    address: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT",
            help="Where to listen, for devices on other machines 0.0.0.0:PORT; or where a SuperLink of this"
            " fleet does.",
        ),
    ] = "127.0.0.1:8000",
    out: Out = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the public table.", show_default="the recipe's"),
    ] = None,
    seed: Seed = None,
    settings: Settings = None,
    wait: Annotated[
        float,
        typer.Option(
            min=1,
            metavar="SECONDS",
            help="How long to wait for all devices to come; then it begins with those that are there.",
        ),
    ] = 600,
    deadline: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="How long a device may take for an answer.")
    ] = 600,
    patience: Annotated[
        float,
        typer.Option(min=0, metavar="SECONDS", help="How long the last phase waits for a device to come back."),
    ] = 1200,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Neither TLS nor keys, on loopback only; needs --devices.")
    ] = False,
    devices: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="How many devices to wait for, with --insecure.")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on where the run in --out was stopped; with a RECIPE, begin it if it has not begun.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Runs a recipe with the devices of a fleet, each on a machine of its own."""
    from fedmetaalign import recipe as recipes
    from fedmetaalign.system.extras import require

    require("flower", "flwr", "cryptography")
    from fedmetaalign.cli.progress import print_results
    from fedmetaalign.gateways.enrolment import enrolled
    from fedmetaalign.methods import deployable
    from fedmetaalign.run_folder import check_free, free_folder
    from fedmetaalign.serving import server as servers

    if insecure != (devices is not None):
        raise typer.BadParameter("--insecure and --devices go together", param_hint="--insecure")
    if resume and out is None:
        raise typer.BadParameter("say with --out which run to resume", param_hint="--resume")
    if not insecure and not enrolled(fleet):
        raise FedMetaAlignError(f"{fleet} has no enrolled devices: make keys with `fedmetaalign enroll`.")
    if resume and out is not None:
        if recipe is None:
            recipe = str(out / "recipe.toml")
        else:  # a service is always started alike
            resume = (out / "recipe.toml").exists()
    loaded = recipes.load(recipe or "demo", settings or [], seed, data)
    deployable(loaded, elsewhere=True)
    folder = out or free_folder(loaded.name)
    if not resume:
        check_free(folder)
    keys = None if insecure else fleet
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    state = Path(f".{folder.name}.superlink") if insecure else fleet / "superlink"
    try:
        with servers.superlink_at(address, folder.parent / state if insecure else state, keys) as superlink:
            servers.execute(
                superlink,
                loaded,
                folder,
                keys,
                resume=resume,
                devices=devices or 0,
                wait=wait,
                deadline=deadline,
                patience=patience,
            )
    except KeyboardInterrupt:
        sys.stderr.write(f"fedmetaalign: stopped; go on with the same command and --resume --out {folder}\n")
        raise typer.Exit(130) from None
    print_results(folder, as_json, bundles="on the devices, in STATE/bundle")


def join(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run, or a folder made by --export.")],
    table: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="The device's samples, labelled or not: a table; where the names of files say what they are,"
            " several, or a folder of them.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="What the device is called.", show_default="as the table")
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The source or device of the recipe whose columns the table has."),
    ] = None,
    test: Annotated[
        float,
        typer.Option(
            min=0, max=0.9, metavar="SHARE", help="Holds out so many of the labelled samples to test on."
        ),
    ] = 0.0,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="The device's folder.", show_default="in RUN; device-NAME if exported"
        ),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Replaces the bundle of a device that has joined before.")
    ] = False,
    export: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Writes what a device on another machine needs to join there."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Gives a device that comes when its fleet is trained its bundle, with few labelled samples or none."""
    from fedmetaalign.join import join as execute
    from fedmetaalign.join.trained import export as hand_over

    if (not table) == (export is None):
        raise typer.BadParameter("give either --table or --export", param_hint="--table")
    if export is not None:
        hand_over(run, export)
        sys.stdout.write(f"{export}\n")
        return
    told, places = execute(run, table or (), name, like, test, out, again)
    if as_json:
        print_json(told)
        return
    for notice in told["notices"]:
        sys.stderr.write(f"fedmetaalign: {notice}\n")
    sys.stdout.write(f"{told['device']} {told['did']}. {told['why']}\n")
    if "test" in told:
        found = told["test"]
        given, deployed = (f"{100 * found[model]['accuracy']:.1f} %" for model in ("global", "deployed"))
        sys.stdout.write(
            f"Accuracy on {found['samples']} samples held out: {deployed}, of the global model {given}.\n"
        )
    sys.stdout.write(f"Bundle:  {places.bundle}\nRecord:  {places.record}\n")

"""A whole fleet of processes on this machine: a SuperLink, and a SuperNode for every device of a recipe."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from fedmetaalign.errors import RunError
from fedmetaalign.fleet.resolve import resolved
from fedmetaalign.fleet.sources import raw_tables
from fedmetaalign.fleet.table_file import SUFFIX, save_table
from fedmetaalign.fleet.usable import of_left_out
from fedmetaalign.gateways import addresses, processes, supernode
from fedmetaalign.gateways.superlink import started
from fedmetaalign.methods import deployable
from fedmetaalign.recipe import Recipe
from fedmetaalign.report import live, write_report
from fedmetaalign.run import checked_fleet
from fedmetaalign.run_folder import check_free
from fedmetaalign.serving.server import alone_at_last, execute
from fedmetaalign.system.locking import Lock
from fedmetaalign.system.writing import replace

MOST = 64
"""Devices, each of which takes three processes and 340 MB."""

WAIT = 900.0
"""Seconds to wait for all devices. None can be away: without one, the numbers are not those of a local run."""


def run_on_loopback(recipe: Recipe, out: Path, resume: bool) -> None:
    """Runs a recipe over Flower with every device in processes of its own, and stops them.

    The run folder is that of a local run. What the devices keep lies beside it until the run is done, in
    `.NAME.flower`.

    Args:
        recipe: what to run.
        out: the run folder.
        resume: go on where the run in it was stopped.

    Raises:
        FedMetaAlignError: the method, the data or the folder cannot be used, there are too many devices,
            another run writes to the folder, or this one failed.
    """
    # What cannot be used is known of before anything is started.
    recipe = resolved(recipe)
    deployable(recipe, elsewhere=True)
    fleet, shared = checked_fleet(recipe)
    notices = [sentence for sentence in fleet.notices if sentence not in shared.notices]
    for sentence in notices:
        sys.stderr.write(f"fedmetaalign: {sentence}\n")
    unusable = {each.name for each in fleet.left_out}
    tables = {table.name: table for table in raw_tables(recipe) if table.name not in unusable}
    if len(tables) > MOST:
        raise RunError(
            f"The recipe has {len(tables)} devices, and each would take 340 MB: use --engine local, which gives"
            " the same numbers."
        )
    if not resume:
        check_free(out)
    work = out.resolve().parent / f".{out.name}.flower"
    busy = f"Another run writes to {out}: wait until it ends, or choose another --out."
    with alone_at_last(work, busy) as lock:
        if not resume:
            for left in filter(Path.is_dir, work.iterdir()):
                shutil.rmtree(left)
        address = f"127.0.0.1:{addresses.free_port()}"
        with ExitStack() as stack:
            superlink = stack.enter_context(started(address, work / "superlink", None, lock))
            devices = {}
            for name, table in tables.items():
                save_table(table, work / name / f"table{SUFFIX}")
                devices[name] = stack.enter_context(_device(name, address, work / name, lock))
            asked = {"devices": len(tables), "resume": resume, "wait": 10 * WAIT}
            until = time.monotonic() + WAIT
            execute(superlink, recipe, out, None, lambda: _check_there(devices, work, out, until), **asked)
        results = json.loads((out / "results.json").read_text(encoding="utf-8"))
        _add(out / "results.json", of_left_out(fleet.left_out))
        if notices:
            told = json.loads((out / "manifest.json").read_text(encoding="utf-8"))["notices"]
            _add(out / "manifest.json", {"notices": [*notices, *told]})
        for name in results["devices"]:
            shutil.copytree(work / name / "state" / "bundle", out / "devices" / name, dirs_exist_ok=True)
        write_report(out)  # again, now with what the bundles say
        shutil.rmtree(work)


def _add(path: Path, more: Mapping[str, Any]) -> None:
    """Adds to a JSON file what this process alone knows, if anything."""
    if more:
        found = json.loads(path.read_text(encoding="utf-8")) | more
        replace(path, (json.dumps(found, indent=2, allow_nan=False) + "\n").encode())


def _check_there(devices: Mapping[str, subprocess.Popen[bytes]], work: Path, out: Path, until: float) -> None:
    """Raises a RunError where a device has ended, or not all have come in time."""
    if time.monotonic() > until and (status := live.read(out)).state == "waiting":
        raise RunError(
            f"{status.message} Not all came within {WAIT:g} seconds: look into {work}, use --resume."
        )
    for name, process in devices.items():
        if process.poll() is not None:
            log = work / name / "supernode.log"
            with log.open("rb") as lines:
                words = processes.last_words(lines)
            raise RunError(f"The device {name} ended: {words}; see {log}, fix that, and use --resume.")


@contextmanager
def _device(name: str, address: str, folder: Path, lock: Lock) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a device for as long as the context lasts."""
    state = folder / "state"
    state.mkdir(exist_ok=True)
    arguments = supernode.arguments(name, folder / f"table{SUFFIX}", address, state, ["--insecure"])
    with (folder / "supernode.log").open("wb") as log:
        process = processes.launch("flower-supernode", arguments, folder / "flower", log, lock)
    try:
        yield process
    finally:
        processes.stop(process)

"""A whole fleet of processes on this machine: a SuperLink, and a SuperNode for every device of a recipe."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from fedmetaalign.engine.flower import processes, supernode
from fedmetaalign.engine.flower.server import carry_out
from fedmetaalign.engine.flower.superlink import started
from fedmetaalign.errors import RunError
from fedmetaalign.fleet.build import build, raw_tables
from fedmetaalign.fleet.table_file import SUFFIX, save_table
from fedmetaalign.recipe import Recipe
from fedmetaalign.report import write_report
from fedmetaalign.run import check_size

MOST = 64
"""Devices, each of which takes two processes and 270 MB."""


def run_on_loopback(recipe: Recipe, out: Path, resume: bool) -> None:
    """Runs a recipe over Flower with every device in processes of its own, and stops them.

    The run folder is that of a local run. What the devices keep lies beside it until the run is done, in
    `.NAME.flower`.

    Args:
        recipe: what to run.
        out: the run folder.
        resume: go on where the run in it was stopped.

    Raises:
        FedMetaAlignError: the data cannot be used, there are too many devices, or the run failed.
    """
    check_size(recipe)
    build(recipe)  # so that data that cannot be used is known of before anything is started
    tables = {table.name: table for table in raw_tables(recipe)}
    if len(tables) > MOST:
        raise RunError(
            f"The recipe has {len(tables)} devices, and each would take 270 MB: use --engine local, which gives"
            " the same numbers."
        )
    work = out.resolve().parent / f".{out.name}.flower"
    if not resume:
        shutil.rmtree(work, ignore_errors=True)
    address = f"127.0.0.1:{processes.free_port()}"
    with ExitStack() as stack:
        superlink = stack.enter_context(started(address, work / "superlink", None))
        for name, table in tables.items():
            save_table(table, work / name / f"table{SUFFIX}")
            stack.enter_context(_device(name, address, work / name))
        carry_out(superlink, recipe, out, None, devices=len(tables), resume=resume)
    for name in tables:
        shutil.copytree(work / name / "state" / "bundle", out / "devices" / name, dirs_exist_ok=True)
    write_report(out)  # again, now with what the bundles say
    shutil.rmtree(work)


@contextmanager
def _device(name: str, address: str, folder: Path) -> Iterator[None]:
    """Runs a device for as long as the context lasts."""
    state = folder / "state"
    state.mkdir(exist_ok=True)
    arguments = supernode.arguments(name, folder / f"table{SUFFIX}", address, state, ["--insecure"])
    with (folder / "supernode.log").open("wb") as log:
        process = processes.launch("flower-supernode", arguments, folder / "flower", log)
    try:
        yield
    finally:
        processes.stop(process)

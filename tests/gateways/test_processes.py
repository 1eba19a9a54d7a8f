"""Real SuperLinks and SuperNodes on loopback: who gets in, who does not, and that nobody stays behind."""

import http.client
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from fedmetaalign.errors import RunError
from fedmetaalign.gateways import addresses, processes, superlink, supernode
from fedmetaalign.gateways.enrolment import enroll, enrolled

PYPROJECT = """
[project]
name = "toy"
version = "1.0.0"
description = "A toy"
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "nobody"

[tool.flwr.app.components]
serverapp = "toy:server"
clientapp = "toy:client"

[tool.flwr.app.config]
folder = ""
seconds = 0.0
"""

# Sends each node that it has not seen before one message, and writes down who is there and who answers.
TOY = """
import json, os, time
from pathlib import Path
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

client, server = ClientApp(), ServerApp()

@client.query()
def query(message, context):
    end = time.monotonic() + message.content["ask"]["seconds"]
    Path(context.node_config["state"], "working").touch()
    while time.monotonic() < end:
        time.sleep(0.1)
    about = {key: context.node_config[key] for key in ("name", "table")}
    return Message(RecordDict({"about": ConfigRecord(about)}), reply_to=message)

@server.main()
def main(grid, context):
    folder, asked, waiting = Path(context.run_config["folder"]), set(), set()
    ask = RecordDict({"ask": ConfigRecord({"seconds": context.run_config["seconds"]})})
    while not (folder / "finish").exists():
        nodes = {node.name: node.node_id for node in grid.get_nodes()}
        write(folder / "nodes.json", sorted(nodes))
        for name in set(nodes) - asked:
            waiting |= set(grid.push_messages([Message(ask, dst_node_id=nodes[name], message_type="query")]))
            asked.add(name)
        for reply in grid.pull_messages(list(waiting)):
            waiting.remove(reply.metadata.reply_to_message_id)
            about = dict(reply.content["about"])
            write(folder / f"{about['name']}.json", about)
        time.sleep(0.1)

def write(path, content):
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content))
    partial.replace(path)
"""

# Starts what `fedmetaalign run --engine flower` does, and waits for what happens to it.
PARENT = """
import sys, time
from pathlib import Path
from fedmetaalign.gateways import addresses, processes, superlink, supernode

folder, app = Path(sys.argv[1]), Path(sys.argv[2])
address = f"127.0.0.1:{addresses.free_port()}"
with superlink.started(address, folder / "superlink", None) as link, (folder / "log").open("wb") as log:
    link.submit(app, {"folder": str(folder), "seconds": 600.0})
    arguments = supernode.arguments("a", folder / "table.csv", address, folder, ["--insecure"])
    process = processes.launch("flower-supernode", arguments, folder / "flower", log)
    time.sleep(600)
"""


@dataclass(frozen=True)
class Fleet:
    """A SuperLink that two devices may connect to, and an app that runs on it."""

    folder: Path
    link: superlink.SuperLink
    run: int

    def arguments(self, name: str, keys: Path) -> list[str]:
        where = ["--table", str(self.folder / "table.csv"), "--state", str(self.folder / "state" / name)]
        return ["--name", name, "--server", self.link.address, "--keys", str(keys), *where]

    def nodes(self) -> list[str]:
        path = self.folder / "nodes.json"
        return json.loads(path.read_text()) if path.exists() else []


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("app")
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "toy.py").write_text(TOY)
    return folder


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, app: Path) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    (folder / "table.csv").touch()
    enroll(folder / "keys", [], ["a", "b"], None, datetime.now(UTC))
    keys = folder / "keys"
    certificates = superlink.Certificates(keys / "ca.crt", keys / "server.crt", keys / "server.key")
    address = f"127.0.0.1:{addresses.free_port()}"
    with superlink.started(address, folder / "superlink", certificates) as link:
        assert link.sync(enrolled(keys)) == (("a", "b"), ())
        yield Fleet(folder, link, link.submit(app, {"folder": str(folder)}))


def zombies_of(program: str) -> list[str]:
    """The processes that have ended, and that who runs the program still keeps."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, parent = (process / "stat").read_text().rpartition(")")[2].split()[:2]
            if state == "Z" and program in Path("/proc", parent, "cmdline").read_text():
                found.append(process.name)
    return found


@contextmanager
def device(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "fedmetaalign", "device", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            yield process
        finally:
            process.terminate()
            process.wait()


@pytest.fixture(autouse=True)
def sigterm() -> Iterator[None]:
    """Gives SIGTERM back what it did: `run_device` takes it over, as it may in a process of its own."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def until(condition: Callable[[], Any], what: str) -> None:
    """Waits for something that is sure to come; the limit only ends a test that hangs."""
    deadline = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


@pytest.mark.processes
@pytest.mark.slow
def test_an_enrolled_device_takes_part_until_it_is_unregistered(fleet: Fleet) -> None:
    with ExitStack() as stack:
        a, b = (
            stack.enter_context(device(*fleet.arguments(name, fleet.folder / "keys" / "handout" / name)))
            for name in "ab"
        )
        until(lambda: fleet.nodes() == ["a", "b"], "both are there, under the names of their keys")
        answers = [fleet.folder / "a.json", fleet.folder / "b.json"]
        until(lambda: all(path.exists() for path in answers), "both answer")
        assert json.loads(answers[0].read_text()) == {"name": "a", "table": str(fleet.folder / "table.csv")}
        if Path("/proc").exists():
            until(
                lambda: not zombies_of("flower.forking"), "who started the answers lets go of their processes"
            )

        with (
            pytest.raises(RunError, match="Another device runs in"),
            supernode._alone(fleet.folder / "state" / "a"),
        ):
            pass

        b.terminate()
        assert b.wait() == 0
        assert b.stderr is not None and b.stderr.read().splitlines()[-1] == "b: stopped."
        until(lambda: fleet.nodes() == ["a"], "who leaves is away at once")

        # The folder of keys is the list: without a in it, the server lets a go in the middle of the run.
        keys = enrolled(fleet.folder / "keys")
        assert fleet.link.sync({"b": keys["b"]}) == ((), ("a",))
        until(lambda: fleet.nodes() == [], "who is unregistered is away at the next poll")
        assert a.wait() == 1
        assert a.stderr is not None and a.stderr.read().splitlines()[-1] == (
            f"fedmetaalign: {fleet.link.address} refuses a: its key was revoked,"
            " or the clock of this machine is wrong."
        )
    assert fleet.link.status(fleet.run).state == "running"
    with pytest.raises(RunError, match="none comes back; revoke the device, enrol it again"):
        fleet.link.sync(keys)


@pytest.mark.processes
@pytest.mark.slow
def test_a_key_that_nobody_registered_is_refused(fleet: Fleet, tmp_path: Path) -> None:
    enroll(tmp_path / "other", [], ["c"], None, datetime.now(UTC))
    keys = tmp_path / "other" / "handout" / "c"
    shutil.copy(fleet.folder / "keys" / "ca.crt", keys)
    with device(*fleet.arguments("c", keys)) as process:
        assert process.wait() == 1
        assert process.stderr is not None
        assert process.stderr.read() == (
            f"fedmetaalign: {fleet.link.address} does not know the key of c:"
            " ask its operator to enrol the device.\n"
        )


@pytest.mark.processes
@pytest.mark.slow
def test_a_supernode_without_a_key_is_refused(fleet: Fleet, tmp_path: Path) -> None:
    arguments = ["--superlink", fleet.link.address, "--root-certificates", str(fleet.link.ca)]
    arguments += ["--host", "127.0.0.1", "--port", str(addresses.free_port())]
    process = processes.launch("flower-supernode", arguments, tmp_path, subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert "[code: 2001] SuperNode authentication is enabled" in processes.last_words(process.stdout)
        assert process.wait() == 1
    finally:
        processes.stop(process)
        process.stdout.close()


@pytest.mark.processes
@pytest.mark.slow
def test_who_speaks_plain_http_or_has_another_authority_is_refused_before_anything_starts(
    fleet: Fleet, tmp_path: Path
) -> None:
    enroll(tmp_path / "other", [], ["a"], None, datetime.now(UTC))
    table, address = fleet.folder / "table.csv", fleet.link.address
    with pytest.raises(RunError, match="no server of a fleet without TLS"):
        supernode.run_device("a", table, address, None, tmp_path / "a", True)
    with pytest.raises(RunError, match="is not the server that"):
        supernode.run_device("a", table, address, tmp_path / "other" / "handout" / "a", tmp_path / "a", False)
    with pytest.raises(RunError, match=f"A SuperLink runs at {address} already"), ExitStack() as stack:
        keys = fleet.folder / "keys"
        certificates = superlink.Certificates(keys / "ca.crt", keys / "server.crt", keys / "server.key")
        stack.enter_context(superlink.started(address, tmp_path / "second", certificates))


@pytest.mark.processes
@pytest.mark.slow
def test_a_renewed_key_replaces_the_old_one(fleet: Fleet, tmp_path: Path) -> None:
    enroll(tmp_path / "renewed", [], ["b", "c"], None, datetime.now(UTC))
    before = {node.name: node for node in fleet.link.registered()}
    keys = {name: path for name, path in enrolled(fleet.folder / "keys").items() if name in before}
    renewed = keys | enrolled(tmp_path / "renewed")
    assert fleet.link.sync(renewed) == (("b", "c"), ("b",))
    assert fleet.link.sync(renewed) == ((), ())
    after = {node.name: node for node in fleet.link.registered()}
    assert sorted(after) == sorted(renewed)
    assert after["b"].key != before["b"].key
    assert after["b"].number != before["b"].number


@pytest.mark.processes
@pytest.mark.slow
def test_nobody_is_believed_from_where_he_calls(fleet: Fleet) -> None:
    host, port = addresses.split_address(fleet.link.address)
    context = ssl.create_default_context(cafile=fleet.link.ca)
    connection = http.client.HTTPSConnection(host, port, context=context)
    headers = {"X-Forwarded-For": "192.0.2.7", "Content-Type": "application/protobuf"}
    connection.request("POST", "/v1/control/list-nodes", b"", headers)
    # From there the access filter would refuse it.
    assert connection.getresponse().status == 200
    connection.close()


@pytest.mark.processes
@pytest.mark.slow
def test_a_run_that_has_ended_meanwhile_can_be_stopped(fleet: Fleet) -> None:
    for _ in range(2):
        fleet.link.stop_run(fleet.run)
        assert fleet.link.status(fleet.run).outcome == "stopped"


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc")
def test_when_the_parent_is_killed_nothing_stays_behind(app: Path, tmp_path: Path) -> None:
    mark = uuid4().hex
    (tmp_path / "table.csv").touch()

    def family() -> list[str]:
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (process / "environ").read_text(errors="replace"):
                    found.append((process / "cmdline").read_text())
            except OSError:
                pass
        return found

    command = [sys.executable, "-c", PARENT, str(tmp_path), str(app)]
    environment = os.environ | {"MARK": mark}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as parent:  # noqa: S603
        try:
            until((tmp_path / "working").exists, "the device works")
            programs = (
                "flower-superlink",
                "flower-supernode",
                "flwr-serverapp",
                "flower-superexec",
                "flower.forking",
            )
            running = family()
            assert all(any(program in line for line in running) for program in programs)
        finally:
            parent.kill()  # or the end of the context would wait for it
    until(lambda: not family(), "all of them have ended")


def test_a_port_that_another_program_uses_is_an_error(tmp_path: Path) -> None:
    server = subprocess.Popen(  # noqa: S603
        [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with server:
        try:
            assert server.stdout is not None
            port = server.stdout.readline().split(" port ")[1].split()[0]
            expected = f"What answers at 127.0.0.1:{port} is no server of a fleet without TLS"
            with (
                pytest.raises(RunError, match=expected),
                superlink.started(f"127.0.0.1:{port}", tmp_path, None),
            ):
                pass
        finally:
            server.kill()

"""Runs docs/deploy.md: all of its commands, in order, in a checkout; its units and sentences are checked, too.

Each line of a `sh` block is a command, taken apart as a shell would, and started without one. What stands after
`sh` says how: see the comment on top of the page. A `toml` block is written to the file that it names, `python`
is run, and each line of a `text` block has to be printed by something, sooner or later.
"""

import ast
import configparser
import json
import os
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from typer.main import get_command

import fedmetaalign
from fedmetaalign import recipe as recipes
from fedmetaalign.cli import app
from fedmetaalign.errors import FedMetaAlignError
from fedmetaalign.gateways.addresses import free_port
from fedmetaalign.gateways.enrolment import enroll
from fedmetaalign.gateways.supernode import run_device
from fedmetaalign.run import run as run_here

CHECKOUT = Path(__file__).parents[2]
PAGE = CHECKOUT / "docs" / "deploy.md"

NOT_RUN = {
    "scripts/setup": "what is tested is installed",
    ". .venv/bin/activate": "there is no shell",
    "sudo useradd": "changes this machine",
    "sudo install": "changes this machine",
    "sudo ufw": "changes this machine",
    "sudo tar": "needs a second machine",
    "sudo systemctl": "needs systemd; its units are checked below",
    "sudo journalctl": "needs systemd",
    "sudo -u fedmetaalign /opt/fedmetaalign/bin/fedmetaalign watch": "needs the service",
}
"""The beginnings of the commands that are not run, and why. What other users are to do is done as this one."""

BIN = Path(sys.executable).parent
LIMIT = 1800.0
"""Seconds after which a test that hangs is ended; nothing is said about how long anything takes."""


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, what stands after that, and its lines."""

    language: str
    words: tuple[str, ...]
    text: str

    def told(self, key: str) -> list[str]:
        return [word.removeprefix(f"{key}=") for word in self.words if word.startswith(f"{key}=")]


def blocks(page: str) -> list[Block]:
    found = []
    for info, text in re.findall(r"^```([^\n]+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        language, *words = info.split()
        found.append(Block(language, tuple(words), text))
    return found


@dataclass
class Left:
    """A command that was left running."""

    words: list[str]
    process: subprocess.Popen[bytes]

    @property
    def ends(self) -> bool:
        """It ends by itself."""
        return self.words[0] != "flower-superlink" and self.words[1] != "device"


@dataclass
class Machine:
    """Where the page is run.

    Attributes:
        folder: the working directory, a copy of what a wheel is made of; `printed` in it has all output.
        ports: what stands in place of the page's.
        environment: of the commands.
        left: the commands that were left running, and not killed.
        revoked: devices, whose process fails.
        spared: beginnings of `NOT_RUN` that were met.
    """

    folder: Path
    ports: dict[str, str]
    environment: dict[str, str]
    left: list[Left] = field(default_factory=list)
    revoked: set[str] = field(default_factory=set)
    spared: set[str] = field(default_factory=set)
    end: float = field(default_factory=lambda: time.monotonic() + LIMIT)

    def perform(self, block: Block) -> None:
        match block.language:
            case "sh":
                self.wait(block)
                for line in block.text.replace("\\\n", "").splitlines():
                    if not line.startswith("#"):
                        self.command(line, "background" in block.words)
            case "toml":
                path = self.folder / block.words[0]
                path.parent.mkdir(exist_ok=True)
                path.write_text(self.placed(block.text), encoding="utf-8")
            case "python":
                (self.folder / "block.py").write_text(block.text, encoding="utf-8")
                self.command("python block.py", False)
            case "text" | "ini":
                pass  # looked at by other tests, or at the end
            case _:
                pytest.fail(f"nobody runs a block of {block.language}")

    def wait(self, block: Block) -> None:
        for file in block.told("when"):
            self.until((self.folder / file).exists, f"{file} is there")
        for command in block.told("after"):
            self.until_done(self.named(command), f"{command} has ended")
        for command in block.told("kill"):
            [running] = [left for left in self.named(command) if left.process.poll() is None]
            running.process.kill()
            running.process.wait()
            self.left.remove(running)
            host, port = running.words[running.words.index("--address") + 1].split(":")
            self.until(lambda h=host, p=int(port): not listening(h, p), "its SuperLink has ended")

    def command(self, line: str, background: bool) -> None:
        spared = [beginning for beginning in NOT_RUN if line.startswith(beginning)]
        if spared:
            self.spared.update(spared)
            return
        words = shlex.split(self.placed(line))
        if words[0] == "export":
            self.environment |= dict(word.split("=", 1) for word in words[1:])
            return
        if words[0] == "sudo":
            words = words[3:] if words[1] == "-u" else words[1:]
        if "--revoke" in words:
            self.revoked.add(words[words.index("--revoke") + 1])
        with (self.folder / "printed").open("ab") as output:
            process = subprocess.Popen(  # noqa: S603
                [shutil.which(words[0], path=self.environment["PATH"]) or words[0], *words[1:]],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        if background:
            self.left.append(Left(words, process))
        else:
            assert process.wait(LIMIT) == 0, f"{line}\n{self.tail()}"
            if words[1:3] == ["-m", "venv"]:
                lend_packages(Path(words[3]))

    def placed(self, text: str) -> str:
        """Puts this machine's ports and folders in place of the page's."""
        for port, free in self.ports.items():
            text = re.sub(rf"\b{port}\b", free, text)
        return text.replace("/opt", str(self.folder / "opt")).replace("/var/lib", str(self.folder / "var"))

    def named(self, command: str) -> list[Left]:
        return [left for left in self.left if left.words[1] == command]

    def until(self, condition: Callable[[], bool], what: str) -> None:
        while not condition():
            assert time.monotonic() < self.end, f"In vain waited until {what}.\n{self.tail()}"
            failed = [left for left in self.left if left.process.poll()]
            unexpected = [left.words for left in failed if not self.revoked.intersection(left.words)]
            assert not unexpected, f"{unexpected[0]} failed.\n{self.tail()}"
            time.sleep(0.1)

    def until_done(self, left: list[Left], what: str) -> None:
        self.until(lambda: all(each.process.poll() == 0 for each in left), what)

    def printed(self) -> str:
        return (self.folder / "printed").read_text(errors="replace")

    def tail(self) -> str:
        return "\n".join(self.printed().splitlines()[-60:])

    def close(self) -> None:
        for left in self.left:
            left.process.terminate()
        for left in self.left:
            try:
                left.process.wait(LIMIT)
            except subprocess.TimeoutExpired:
                left.process.kill()
                left.process.wait()


def lend_packages(environment: Path) -> None:
    """Lets `pip install` find all but the wheel installed, in the versions that are tested."""
    ours = Path(sysconfig.get_path("purelib"))
    theirs = environment / ours.relative_to(sys.prefix)
    (theirs / "tested.pth").write_text(f"{ours}\n", encoding="utf-8")


def listening(host: str, port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex((host, port)) == 0


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    inherited = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    path = f"{BIN}{os.pathsep}{inherited['PATH']}"
    ports = {port: str(free_port()) for port in ("8000", "8001")}
    made = Machine(
        tmp_path, ports, inherited | {"PATH": path, "COLUMNS": "200", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    )
    for part in ("pyproject.toml", "constraints.txt", "README.md"):
        shutil.copy(CHECKOUT / part, tmp_path)
    for part in ("recipes", "src"):
        shutil.copytree(CHECKOUT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "var").mkdir()
    try:
        yield made
    finally:
        made.close()


@pytest.mark.processes
@pytest.mark.slow
def test_every_command_of_the_page_does_what_it_says(machine: Machine, deterministic, monkeypatch) -> None:
    page = blocks(PAGE.read_text(encoding="utf-8"))
    for block in page:
        machine.perform(block)
    ending = [left for left in machine.left if left.ends]
    machine.until_done(ending, "all that ends has ended")

    gone = {left.words[3]: left.process for left in machine.named("device") if left.process.poll() is not None}
    assert {name: process.returncode for name, process in gone.items()} == {"feeder-01": 1}
    machine.close()
    stopped = {left.process.returncode for left in machine.named("device")}
    assert stopped == {0, 1}
    assert machine.spared == set(NOT_RUN), "what is not met on the page is no exception"

    printed = machine.printed()
    promised = "".join(block.text for block in page if block.language == "text" and not block.words)
    unheard = [line for line in machine.placed(promised).splitlines() if line not in printed]
    assert not unheard
    assert "refuses feeder-01: its key was revoked" in printed

    def read(run: str, file: str) -> dict:
        return json.loads((machine.folder / "runs" / run / file).read_text(encoding="utf-8"))

    # The same bits, however it is run; and one command over Flower leaves the folder of a local run.
    assert read("try", "results.json") == read("first", "results.json")
    monkeypatch.chdir(machine.folder)
    monkeypatch.setattr("fedmetaalign.run.write_report", lambda folder: None)
    run_here(recipes.load("tables/first.toml"), Path("runs/local"))
    flower, local = deterministic(Path("runs/try")), deterministic(Path("runs/local"))
    assert {name: digest for name, digest in flower.items() if name != "run_id"} == local
    assert "run_id" in flower
    assert not Path("runs/.try.flower").exists()
    assert [device["present"] for device in read("try", "status.json")["devices"].values()] == [True, True]
    for run in ("try", "first", "second", "flower"):
        assert read(run, "status.json")["state"] == "done"
    assert sorted(read("second", "results.json")["devices"]) == ["feeder-00", "feeder-02"]
    assert read("second", "manifest.json")["resumed_after_rounds"] >= 1
    assert sorted(read("flower", "results.json")["devices"]) == ["feeder-00"]
    assert len((machine.folder / "alarms.csv").read_text().splitlines()) == 251


def test_no_command_is_hidden_from_the_test() -> None:
    text = PAGE.read_text(encoding="utf-8")
    outside = re.sub(r"^```[^\n]+\n.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert "```" not in outside
    assert not re.findall(r"^(?: {4}|\t).*", outside, re.MULTILINE), "an indented block"


@pytest.mark.parametrize(
    "block",
    [b for b in blocks(PAGE.read_text(encoding="utf-8")) if b.language == "ini"],
    ids=lambda b: b.words[0],
)
def test_the_units_can_be_loaded_and_call_commands_that_exist(block: Block, tmp_path: Path) -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(block.text)
    program, command, *arguments = shlex.split(unit["Service"]["ExecStart"].replace("%i", "pump-01"))
    assert program == "/opt/fedmetaalign/bin/fedmetaalign"
    get_command(app).commands[command].make_context(command, arguments)  # type: ignore[attr-defined]

    if analyze := shutil.which("systemd-analyze"):
        path = tmp_path / block.words[0]
        path.write_text(block.text.replace("/opt/fedmetaalign/bin", str(BIN)), encoding="utf-8")
        call = [analyze, "verify", str(path)]
        done = subprocess.run(call, capture_output=True, text=True)  # noqa: S603
        assert done.returncode == 0, done.stderr
        assert path.name not in done.stderr


TROUBLE = dict(
    re.findall(
        r"^\| `([^`]+)` \| (.*) \|$",
        PAGE.read_text(encoding="utf-8").split("## When something is wrong")[1],
        re.MULTILINE,
    )
)
"""What the programs say, with an ellipsis in place of names, and what the page advises."""


def advice(sentence: str) -> list[str]:
    """Returns what the page advises where this is said."""
    forms = {text: ".*".join(map(re.escape, text.split("…"))) for text in TROUBLE}
    return [TROUBLE[text] for text, form in forms.items() if re.search(form, sentence)]


def test_what_it_says_about_trouble_is_what_the_programs_say() -> None:
    assert len(TROUBLE) > 10
    said = [
        template
        for path in Path(fedmetaalign.__file__).parent.rglob("*.py")
        for template in templates(ast.parse(path.read_text(encoding="utf-8")))
    ]
    unknown = [sentence for sentence in TROUBLE if not any(sentence in template for template in said)]
    assert not unknown


@pytest.mark.parametrize(
    ("cause", "host", "certified", "handout"),
    [
        ("the address is not in the certificate", "127.0.0.2", 0, "fleet"),
        ("its time is up", "127.0.0.1", 2, "fleet"),
        ("the handout is of another fleet", "127.0.0.1", 0, "other"),
        ("one side has TLS and the other has not", "127.0.0.1", None, "fleet"),
    ],
)
def test_a_server_that_a_device_does_not_take_for_its_own_has_the_cause_that_the_page_gives(
    cause: str, host: str, certified: int | None, handout: str, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    enroll(tmp_path / "fleet", [], ["a"], 1, now - timedelta(days=certified or 0))
    enroll(tmp_path / "other", [], ["a"], 1, now)
    (tmp_path / "table.csv").touch()
    with answering(host, tmp_path / "fleet" if certified is not None else None) as port:
        call = (f"{host}:{port}", tmp_path / handout / "handout" / "a", tmp_path / "state")
        with pytest.raises(FedMetaAlignError) as raised:
            run_device("a", tmp_path / "table.csv", *call, insecure=False)
    [found] = advice(str(raised.value))
    assert cause in found


@contextmanager
def answering(host: str, fleet: Path | None) -> Iterator[int]:
    """Answers on a port with a fleet's certificate, without TLS where there is no fleet."""
    with HTTPServer((host, 0), BaseHTTPRequestHandler) as server:
        if fleet:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(fleet / "server.crt", fleet / "server.key")
            server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("devices", [None, []])
def test_a_server_says_what_the_page_knows_where_its_fleet_is_none(
    devices: list[str] | None, tmp_path: Path
) -> None:
    if devices is not None:
        enroll(tmp_path / "fleet", [], devices, None, datetime.now(UTC))
    call = ["server", "--fleet", str(tmp_path / "fleet")]
    with pytest.raises(FedMetaAlignError) as raised:
        get_command(app).main(call, standalone_mode=False)
    [found] = advice(str(raised.value))
    assert "enroll" in found


def templates(tree: ast.AST) -> Iterator[str]:
    """Yields the strings of a module, with an ellipsis in place of what is put into them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value

"""Runs docs/deploy.md: all of its commands, in order, in a checkout; its units and sentences are checked, too.

Each line of a `sh` block is a command, taken apart as a shell would, and started without one. What stands after
`sh` says how: see the comment on top of the page. A `toml` block is written to the file that it names, `python`
is run, and each line of a `text` block has to be printed by something, sooner or later.
"""

import ast
import configparser
import json
import re
import shlex
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from commands_of_a_page import BIN, CHECKOUT, NOT_RUN, Block, Machine, blocks
from typer.main import get_command

import fedmetaalign
from fedmetaalign import recipe as recipes
from fedmetaalign.cli import app
from fedmetaalign.errors import FedMetaAlignError
from fedmetaalign.gateways.enrolment import enroll
from fedmetaalign.gateways.supernode import run_device
from fedmetaalign.run import run as run_here

PAGE = CHECKOUT / "docs" / "deploy.md"


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.story("the page")
def test_every_command_of_the_page_does_what_it_says(told, deterministic, monkeypatch) -> None:
    machine: Machine = told("the page")
    gone = {left.words[3]: left.process for left in machine.named("device") if left.process.poll() is not None}
    assert {name: process.returncode for name, process in gone.items()} == {"feeder-01": 1}
    machine.close()
    stopped = {left.process.returncode for left in machine.named("device")}
    assert stopped == {0, 1}
    assert machine.spared == set(NOT_RUN), "what is not met on the page is no exception"

    printed = machine.printed()
    page = blocks(PAGE.read_text(encoding="utf-8"))
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

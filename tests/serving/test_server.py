"""The operator's server without processes: which runs it stops, what it waits for, and what it tells."""

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fedmetaalign import recipe as recipes
from fedmetaalign.errors import RunError
from fedmetaalign.gateways import supernode
from fedmetaalign.gateways.enrolment import enroll, revoke
from fedmetaalign.gateways.superlink import Certificates, Status, SuperLink, here
from fedmetaalign.recipe import Recipe
from fedmetaalign.serving import server
from fedmetaalign.system.locking import Lock, alone


@dataclass
class Link:
    """A SuperLink whose runs end at the second look."""

    runs: dict[int, str] = field(default_factory=dict)
    address: str = "h:1"
    done: list[Any] = field(default_factory=list)
    failures: int = 0

    def unfinished(self) -> dict[int, str]:
        return self.runs

    def stop_run(self, run: int) -> None:
        self.done.append(("stop", run))

    def sync(self, keys: Mapping[str, Path]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        if self.failures:
            self.failures -= 1
            raise RunError("The SuperLink at h:1 cannot be reached: it is busy.")
        self.done.append(("sync", {name: path.read_bytes() for name, path in keys.items()}))
        return tuple(keys), ()

    def submit(self, app: Path, config: Mapping[str, Any]) -> int:
        self.done.append(("submit", config["out"]))
        return 7

    def status(self, run: int) -> Status:
        looks = self.done.count("look")
        self.done.append("look")
        return Status("finished", "completed", "") if looks else Status("running", "", "")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LINGER", 0.0)
    monkeypatch.setattr(server, "_LOOK", 0.0)


@pytest.fixture
def recipe() -> Recipe:
    return recipes.parse({"fleet": {"simulator": "feeder"}}, "here")


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    enroll(tmp_path / "fleet", [], ["fan", "pump"], None, datetime.now(UTC))
    return tmp_path / "fleet"


def steps(link: Link) -> list[Any]:
    return [each if isinstance(each, str) else each[0] for each in link.done]


# Which runs it stops


def test_a_run_into_another_folder_goes_on_and_the_register_is_not_touched(recipe, fleet, tmp_path):
    link = Link({3: "/srv/runs/first"})
    with pytest.raises(RunError) as told:
        server.execute(link, recipe, tmp_path / "run", fleet)
    assert str(told.value) == (
        "A run goes on at h:1, into /srv/runs/first: wait for its end, or give another --address and --fleet."
    )
    assert link.done == []


def test_a_run_of_somebody_else_beside_our_own_leaves_both(recipe, tmp_path):
    link = Link({3: str(tmp_path / "run"), 4: ""})
    with pytest.raises(RunError, match="A run goes on at h:1: wait for its end"):
        server.execute(link, recipe, tmp_path / "run", None)
    assert link.done == []


def test_what_a_killed_server_has_left_of_our_own_is_stopped_first(recipe, fleet, tmp_path):
    link = Link({3: str(tmp_path / "run")})
    server.execute(link, recipe, tmp_path / "run", fleet)
    assert link.done[0] == ("stop", 3)
    assert steps(link) == ["stop", "sync", "submit", "look", "look"]


def test_a_folder_that_is_still_written_to_is_waited_for(recipe, tmp_path, monkeypatch, capsys):
    link, run = Link(), tmp_path / "run"
    run.mkdir()
    lock = Lock(run / "rounds.jsonl")  # of a ServerApp
    with pytest.raises(RunError, match=r"Another run writes to .*run: wait until it ends"):
        server.execute(link, recipe, run, None)
    assert link.done == []
    told = threading.Event()
    monkeypatch.setattr(server, "LINGER", 600.0)
    monkeypatch.setattr(server, "tell", lambda news: told.set())

    def end() -> None:
        told.wait(600)
        lock.release()

    thread = threading.Thread(target=end)
    thread.start()
    server.execute(link, recipe, run, None)
    thread.join()
    assert told.is_set() and steps(link) == ["submit", "look", "look"]


def test_a_run_is_stopped_where_the_look_raises(recipe, tmp_path):
    def look() -> None:
        raise RunError("The device fan ended.")

    link = Link()
    with pytest.raises(RunError, match="fan ended"):
        server.execute(link, recipe, tmp_path / "run", None, look)
    assert link.done[-1] == ("stop", 7)


def test_a_second_server_of_a_fleet_is_refused_while_the_first_lives(fleet, monkeypatch, capsys):
    monkeypatch.setattr(SuperLink, "answers", lambda self: True)
    with server.superlink_at("127.0.0.1:8000", fleet / "superlink", fleet):
        capsys.readouterr()
        with (
            pytest.raises(
                RunError, match=r"Another server runs with .*superlink: wait until it ends, or stop it"
            ),
            server.superlink_at("127.0.0.1:8000", fleet / "superlink", fleet),
        ):
            pass
        assert capsys.readouterr().err == "fedmetaalign: waits up to 0 seconds for an earlier server to end\n"
    with server.superlink_at("0.0.0.0:8000", fleet / "superlink", fleet) as link:
        assert link.address == "127.0.0.1:8000"


def test_the_superlink_that_a_server_starts_holds_its_lock_too(fleet, monkeypatch):
    held: list[Any] = []

    @contextmanager
    def started(address: str, folder: Path, certificates: Certificates, *locks: Any) -> Iterator[SuperLink]:
        held.extend(locks)
        yield SuperLink(address, certificates.ca)

    monkeypatch.setattr(SuperLink, "answers", lambda self: False)
    monkeypatch.setattr(server, "started", started)
    with server.superlink_at("127.0.0.1:8000", fleet / "superlink", fleet):
        [lock] = held
        with pytest.raises(RunError, match="It is busy"):
            alone(fleet / "superlink", "It is busy.", "")
        lock.release()
        alone(fleet / "superlink", "It is busy.", "")


# Addresses


@pytest.mark.parametrize(
    ("address", "reached"),
    [
        ("0.0.0.0:8000", "127.0.0.1:8000"),
        ("[::]:8000", "[::1]:8000"),
        ("[::1]:8000", "[::1]:8000"),
        ("192.0.2.7:8000", "192.0.2.7:8000"),
        ("fleet.example.org:8000", "fleet.example.org:8000"),
    ],
)
def test_where_a_server_is_reached_on_its_own_machine(address, reached):
    certificates = Certificates(Path("ca.crt"), Path("server.crt"), Path("server.key"))
    assert here(address, certificates) == SuperLink(reached, Path("ca.crt"))


# Who answers


@contextmanager
def hanging_up(reset: bool = False) -> Iterator[str]:
    """A server that takes connections, reads what comes first, and hangs up."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(2**16 if not reset else 1)  # what is left unread makes it a reset

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize("reset", [False, True])
def test_who_hangs_up_in_the_middle_of_tls_is_not_there(fleet, reset):
    with hanging_up(reset) as address:
        assert not SuperLink(address, fleet / "ca.crt").answers()


def test_who_hangs_up_on_plain_http_may_want_tls(fleet):
    with hanging_up() as address, pytest.raises(RunError, match="is no server of a fleet without TLS"):
        SuperLink(address, None).answers()


def test_a_device_that_takes_part_tells_what_is_wrong_with_its_server_and_goes_on(monkeypatch):
    link = SuperLink("h:1", None)

    def answers(self: SuperLink) -> bool:
        raise RunError("What answers at h:1 is no server of a fleet: stop it, or give another address.")

    monkeypatch.setattr(SuperLink, "answers", answers)
    assert supernode._news("Connection attempt failed, retrying", link) == (
        "What answers at h:1 is no server of a fleet: stop it, or give another address"
    )
    monkeypatch.setattr(SuperLink, "answers", lambda self: False)
    assert supernode._news("Connection attempt failed, retrying", link).startswith("h:1 does not answer")


# The register


def test_a_change_that_could_not_be_registered_is_tried_again(fleet, capsys):
    link = Link()
    register = server._register(link, fleet)
    next(register)
    enroll(fleet, [], ["mill"], None, datetime.now(UTC))
    link.failures = 2
    for _ in range(3):
        next(register)
    assert [sorted(keys) for _, keys in link.done] == [["fan", "pump"], ["fan", "mill", "pump"]]
    next(register)
    assert len(link.done) == 2
    assert capsys.readouterr().err.splitlines() == [
        "fedmetaalign: The SuperLink at h:1 cannot be reached: it is busy.",
        "fedmetaalign: fan, mill, pump may take part now",
    ]


def test_a_device_that_is_revoked_and_enrolled_anew_between_two_looks_has_its_new_key_registered(fleet):
    link = Link()
    register = server._register(link, fleet)
    next(register)
    revoke(fleet, ["pump"])
    enroll(fleet, [], ["pump"], None, datetime.now(UTC))
    next(register)
    (_, before), (_, after) = link.done
    assert (after["fan"] == before["fan"], after["pump"] == before["pump"]) == (True, False)


# What it tells


def test_what_a_run_that_was_stopped_said_last_is_not_reported(tmp_path, capsys):
    def write(number: int, message: str = "") -> None:
        device = {"present": True, "last_seen": None}
        said = {"state": "running", "phase": "parallel", "round": number, "rounds": 9, "message": message}
        said |= {"devices": {"fan": device}, "notices": ["Some devices add features: 'flow' on fan."]}
        (tmp_path / "status.json").write_text(json.dumps(said), encoding="utf-8")

    write(3)
    progress = server._progress(tmp_path)
    next(progress)
    next(progress)
    assert capsys.readouterr().err == ""
    write(4)
    next(progress)
    next(progress)
    write(5)
    next(progress)
    assert capsys.readouterr().err == (
        "fedmetaalign: Some devices add features: 'flow' on fan.\n"
        "fedmetaalign: phase 2: parallel rounds, round 4 of 9, 1 of 1 devices are there\n"
        "fedmetaalign: phase 2: parallel rounds, round 5 of 9, 1 of 1 devices are there\n"
    )

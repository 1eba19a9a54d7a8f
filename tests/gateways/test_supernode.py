"""What is made of Flower's processes, without starting them: addresses, environment, last words, restarts."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedmetaalign.errors import RunError
from fedmetaalign.gateways import addresses, processes, superlink, supernode


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("127.0.0.1:9092", ("127.0.0.1", 9092)),
        ("fleet.example.org:1", ("fleet.example.org", 1)),
        ("[::1]:65535", ("::1", 65535)),
    ],
)
def test_addresses(address: str, parts: tuple[str, int]) -> None:
    assert addresses.split_address(address) == parts


def test_loopback() -> None:
    assert all(map(addresses.is_loopback, ["localhost", "127.0.0.1", "127.8.9.1", "::1"]))
    assert not any(map(addresses.is_loopback, ["192.0.2.7", "::", "", "localhost.example.org", "0.0.0.0"]))  # noqa: S104


def test_the_environment_of_flowers_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dropped = {"PYTHONDONTWRITEBYTECODE", "FLWR_INTERNAL_GRPC_CONTROL_API", "FLWR_INTERNAL_GRPC_FLEET_API"}
    for name in dropped:
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    monkeypatch.setenv("PATH", "/somewhere")
    made = processes.environment(tmp_path)
    assert not dropped & set(made)
    assert made["FORWARDED_ALLOW_IPS"] == ""
    assert made["FLWR_HOME"] == str(tmp_path)
    assert made["FLWR_TELEMETRY_ENABLED"] == "0"
    assert shutil.which("flower-superexec", path=made["PATH"]) == str(
        Path(sys.executable).parent / "flower-superexec"
    )


def test_what_they_compile_is_kept_beside_flowers_things_where_the_user_has_no_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FEDMETAALIGN_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert "FEDMETAALIGN_CACHE" not in processes.environment(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    assert processes.environment(tmp_path)["FEDMETAALIGN_CACHE"] == str(tmp_path)
    monkeypatch.setenv("FEDMETAALIGN_CACHE", "off")
    assert processes.environment(tmp_path)["FEDMETAALIGN_CACHE"] == "off"


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (
            [
                b"\x1b[92mINFO \x1b[0m:      Starting Flower SuperNode\n",
                b"\x1b[91mERROR \x1b[0m:     Exit Code: 305\n",
                b"Failed to initialize the connection to the SuperLink.\n",
                b"[code: 2004] Failed to activate SuperNode.\n",
                b"The SuperNode could not establish a connection to the SuperLink.\n",
                b"\n",
                b"For more information, visit: <https://flower.ai/docs>\n",
                b"INFO:     Shutting down\n",
            ],
            "Failed to initialize the connection to the SuperLink. [code: 2004] Failed to activate SuperNode."
            " The SuperNode could not establish a connection to the SuperLink",
        ),
        (
            [
                b"2026-11-24T01:28:04.887Z INFO [uvicorn.error] Application startup complete.\n",
                b"2026-11-24T01:28:04.891Z ERROR [uvicorn.error] [Errno 98] address already in use\n",
                b"2026-11-24T01:28:04.892Z INFO [uvicorn.error] Waiting for application shutdown.\n",
            ],
            "[Errno 98] address already in use",
        ),
        (
            [
                b"Traceback (most recent call last):\n",
                b'  File "x.py", line 1, in x\n',
                b"ValueError: no\n",
                b"\n",
            ],
            "ValueError: no",
        ),
        (
            [b"flower-supernode: error: unrecognized arguments: --x\n"],
            "flower-supernode: error: unrecognized arguments: --x",
        ),
        ([], "it said nothing"),
    ],
)
def test_the_last_words_of_a_process(log: list[bytes], words: str) -> None:
    assert processes.last_words(log) == words


OUT_OF_STEP = "INFO :      Run ID 7 is not in `RUNNING` status. Ignoring message edba23128a6ef480."

# What a SuperNode says that was given a question by a server that was then killed, and goes on waiting.
STUCK = f"""
import time
print({OUT_OF_STEP!r}, flush=True)
time.sleep(600)
"""


def test_a_supernode_that_is_out_of_step_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def launch(program: str, arguments: list[str], home: Path, output: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", STUCK]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, start_new_session=True)  # noqa: S603

    monkeypatch.setattr(processes, "launch", launch)
    _, last = supernode._watch("a", superlink.SuperLink("h:1", None), tmp_path, [])
    assert list(last) == [f"{OUT_OF_STEP}\n".encode()]


def test_a_supernode_that_is_out_of_step_is_started_anew_and_may_be_taken_for_still_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = [b"ERROR: Exit Code: 305\n", b"[code: 2004] Failed to activate SuperNode.\n", b"\n"]
    ends = iter(
        [(-15, [OUT_OF_STEP.encode()]), (1, refusal), (0, [b"INFO: SuperNode terminated gracefully.\n"])]
    )
    monkeypatch.setattr(supernode, "_watch", lambda *_: next(ends))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with pytest.raises(RunError, match="h:1 refuses a: its key was revoked"):
        supernode._take_part("a", superlink.SuperLink("h:1", None), tmp_path, lambda: [], False)
    assert list(ends) == []


@pytest.mark.parametrize(("crashed", "came"), [(True, False), (False, True), (False, False)])
def test_a_device_that_crashed_or_came_before_its_server_is_patient_where_it_is_not_let_in(
    crashed: bool, came: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = [b"ERROR: Exit Code: 305\n", b"[code: 2004] Failed to activate SuperNode.\n", b"\n"]
    ends = iter([(1, refusal), (1, refusal), (0, [b"INFO: SuperNode terminated gracefully.\n"])])
    monkeypatch.setattr(supernode, "_watch", lambda *_: next(ends))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    if crashed:
        (tmp_path / "joined").touch()
    expected = "h:1 refuses a: its key was revoked" if crashed or came else "h:1 does not know the key of a"
    with pytest.raises(RunError, match=expected):
        supernode._take_part("a", superlink.SuperLink("h:1", None), tmp_path, lambda: [], came)

"""Runs the commands of a page of the documentation, each as a process, and keeps what they print."""

import re
import shlex
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]

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
        shown: what the page last said that the commands print.
    """

    folder: Path
    ports: dict[str, str]
    environment: dict[str, str]
    left: list[Left] = field(default_factory=list)
    revoked: set[str] = field(default_factory=set)
    spared: set[str] = field(default_factory=set)
    shown: str = ""
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
            case "text":  # looked at at the end, too
                self.shown = self.shown if block.words else self.placed(block.text)
            case "ini":
                pass  # looked at by other tests
            case _:
                pytest.fail(f"nobody runs a block of {block.language}")

    def wait(self, block: Block) -> None:
        for file in block.told("when"):
            self.until((self.folder / file).exists, f"{file} is there")
        for command in block.told("after"):
            self.until_done(self.named(command), f"{command} has ended")
        for command in block.told("kill"):
            self.until(self.has_shown, f"'{self.shown}' is printed")
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

    def has_shown(self) -> bool:
        printed = self.printed()
        return all(line in printed for line in self.shown.splitlines())

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

"""Environments of libraries that we compare with: one each, pinned, made once."""

import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

BUILD = Path(__file__).resolve().parent.parent / "build"
"""Where they are made where the user gives no other folder."""


def python_of(name: str, pins: Sequence[str], skip: str, cache: Path = BUILD) -> Path:
    """Returns the interpreter of `CACHE/benchmark-NAME`, where the pinned packages are installed.

    Args:
        name: of the environment, which is made if it does not exist, or has other packages.
        pins: what pip installs.
        skip: the option that leaves this peer out.
        cache: the folder that keeps the environments.
    """
    folder = cache.resolve() / f"benchmark-{name}"
    python, installed = folder / "bin" / "python", folder / "installed.txt"
    wanted = "\n".join(pins)
    if not installed.exists() or installed.read_text(encoding="utf-8") != wanted:
        print(f"installing {', '.join(pins)}, once; leave it out with {skip}", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *pins]
        done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
        if done.returncode:
            sys.exit(f"{done.stderr}\nerror: {name} cannot be installed; leave it out with {skip}")
        installed.write_text(wanted, encoding="utf-8")
    return python

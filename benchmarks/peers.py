"""Environments of libraries that we compare with: one each, pinned, made once in `build/`."""

import subprocess
import sys
import venv
from pathlib import Path

_BUILD = Path(__file__).resolve().parent.parent / "build"


def python_of(name: str, pin: str, skip: str) -> Path:
    """Returns the interpreter of `build/benchmark-NAME`, where `pin` is installed.

    Args:
        name: of the environment, which is made if it does not exist.
        pin: what pip installs beside NumPy.
        skip: the option that leaves this peer out.
    """
    folder = _BUILD / f"benchmark-{name}"
    python, complete = folder / "bin" / "python", folder / f"{pin}.installed"
    if not complete.exists():
        print(f"installing {pin}, once; leave it out with {skip}", file=sys.stderr)
        venv.create(folder, with_pip=True)
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "numpy", pin]
        done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
        if done.returncode:
            sys.exit(f"{done.stderr}\nerror: {pin} cannot be installed; leave it out with {skip}")
        complete.touch()
    return python

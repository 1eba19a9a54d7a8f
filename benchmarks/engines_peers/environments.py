"""Environments of the peers: one each, made once in a folder that is kept."""

import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

TORCH = "torch==2.13.0"
PINS: Mapping[str, Sequence[str]] = {
    # Our step runs in Flower's environment, too: on the libraries that it has in this one.
    "flower": (
        "flwr[simulation]>=1.41,<1.43",
        TORCH,
        *(f"{name}=={version(name)}" for name in ("jax", "numpy", "scipy")),
    ),
    "pfl": ("pfl==0.6.0", TORCH),
}


def python_of(name: str, cache: Path) -> Path:
    """Returns the interpreter of the environment `name` of `PINS`; makes it if it does not exist."""
    folder = cache.resolve() / f"benchmark-{name}"
    python, installed = folder / "bin" / "python", folder / "installed.txt"
    wanted = "\n".join(PINS[name])
    if not installed.exists() or installed.read_text(encoding="utf-8") != wanted:
        print(f"installing {', '.join(PINS[name])}, once; see --only for doing without", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PINS[name]]
        done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
        if done.returncode:
            sys.exit(f"{done.stderr}\nerror: {name} cannot be installed; leave it out with --only")
        installed.write_text(wanted, encoding="utf-8")
    return python

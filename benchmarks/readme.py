"""Runs the demo recipe and puts what it prints into README.md."""

import subprocess
import sys
import tempfile
from pathlib import Path

from markers import replace_between


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "fedmetaalign", "run", "demo", "--out", f"{folder}/runs/demo"]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
    lines = printed.replace(f"{folder}/", "").splitlines()
    replace_between(Path("README.md"), "demo", "\n".join(f"    {line}".rstrip() for line in lines))


if __name__ == "__main__":
    main()

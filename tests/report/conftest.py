"""What is shown to people, compared with what was agreed on: the files in `snapshots/`."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "snapshots"


@pytest.fixture
def snapshot() -> Callable[[str, str], None]:
    """Compares a text with a stored one; with SNAPSHOTS=write in the environment, stores it to be reviewed."""

    def compare(name: str, text: str) -> None:
        path = FOLDER / name
        if os.environ.get("SNAPSHOTS") == "write":
            FOLDER.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert text.splitlines() == path.read_text(encoding="utf-8").splitlines()

    return compare

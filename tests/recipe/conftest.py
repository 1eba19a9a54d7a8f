"""Recipes written to files."""

import pytest


@pytest.fixture
def written(tmp_path):
    """Writes a recipe's text to a file."""

    def write(text, name="mine.toml"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write

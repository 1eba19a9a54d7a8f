"""What the tests of the fleet share: a file of any text or bytes."""

import pytest


@pytest.fixture
def write(tmp_path):
    """Writes text (or bytes) as t.csv and returns its path."""

    def to_file(content, name="t.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return to_file

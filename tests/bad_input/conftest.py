"""Whatever is wrong with the input, the answer is one sentence, and nothing is left behind."""

import pytest

FLEET = '[fleet]\ntable = "{table}"\nlabel = "fault"\nfeatures = ["speed", "load", "heat"]\n'
PUMP = FLEET.format(table="pump.csv")


@pytest.fixture
def recipe(here, small):
    """Writes a small recipe and returns its path."""

    def write(fleet=PUMP, more=""):
        path = here / "recipe.toml"
        path.write_text(f"{fleet}{small}{more}", encoding="utf-8")
        return path

    return write

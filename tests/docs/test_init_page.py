"""docs/init.md shows what init really writes and prints for the invented pumps."""

import re
from pathlib import Path

import pytest
from pump_tables import write_pumps

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "init.md"


def blocks(page: str) -> dict[str, str]:
    """The blocks of a page that are checked, by the name in the comment before each."""
    found = re.findall(r"<!-- ([\w ]+): checked -->\n```\w*\n(.*?)```\n", page, re.DOTALL)
    return dict(found)


@pytest.mark.usefixtures("here")
def test_the_page_shows_what_init_writes_and_prints(cli):
    write_pumps(Path("pumps"))
    outcome = cli("init", "pumps", "--yes")
    assert (outcome.status, outcome.err) == (0, "")
    shown = {
        "table": "".join(Path("pumps/pump-01.csv").read_text("cp1252").splitlines(keepends=True)[:3]),
        "printed": outcome.out,
        "recipe": Path("recipe.toml").read_text(encoding="utf-8"),
    }
    assert blocks(PAGE.read_text(encoding="utf-8")) == shown

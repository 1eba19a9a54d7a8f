"""The pages: what they link to and name is there, their order of the packages holds, and their Python runs."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

import fedmetaalign
from fedmetaalign.aggregation import Cohort
from fedmetaalign.methods._method import Method
from fedmetaalign.system import plugins

ROOT = Path(__file__).parents[2]
PACKAGE = Path(fedmetaalign.__file__).parent
PAGES = [ROOT / "README.md", ROOT / "benchmarks" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_links_to_and_what_it_names_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        file, _, anchor = link.partition("#")
        if file.startswith("https:"):
            continue
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link
    for path in re.findall(r"`((?:\w+/)+\w+\.py)`", text):
        assert any((home / path).exists() for home in (ROOT, PACKAGE, page.parent)), path
    for module in re.findall(r"\bfedmetaalign(?:\.\w+)+", text):
        assert named(module), module


def named(module: str) -> bool:
    """Tells whether there is a module of this name, or something in one, or a group of entry points."""
    parts = module.split(".")[1:]
    if parts[0] in fedmetaalign.__all__ or module in (plugins.METHODS, plugins.RULES, plugins.SIMULATORS):
        return True
    path = PACKAGE.joinpath(*parts)
    return path.is_dir() or path.with_suffix(".py").exists() or path.parent.with_suffix(".py").exists()


def test_the_readme_lists_all_packages_in_the_order_of_the_layers() -> None:
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## Where things are")[1].split("\n## ")[0]
    rows = [row.split("|")[1] for row in re.findall(r"^\| `.*$", section, re.MULTILINE)]
    told = [{Path(name).stem for name in re.findall(r"`([\w.]+)/?`", row)} for row in rows]
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    layers = [set(re.findall(r"\w+", layer)) for layer in contract["layers"]]
    assert told == [layer for layer in layers if layer != {"__main__"}]


def python(page: str) -> list[str]:
    return re.findall(
        r"^```python\n(.*?)^```$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


def test_the_readmes_rule_lets_a_long_delta_count_less() -> None:
    [block] = python("README.md")
    made: dict = {}
    exec(block, made)  # noqa: S102
    deltas = np.array([[1, 0], [0, 1], [4, 0]], np.float32)
    found = made["damped"](Cohort(deltas, np.ones(3), np.ones(3, int), np.ones(3, int)))
    # The longest is four times the median: 1 : 1 : 1/4.
    np.testing.assert_allclose(found.weights, np.array([4, 4, 1]) / 9, rtol=1e-9)
    np.testing.assert_allclose(found.step, [8 / 9, 4 / 9], rtol=1e-9)


def test_the_guides_method_is_one() -> None:
    [block] = python("docs/comparing.md")
    made: dict = {}
    exec(block, made)  # noqa: S102
    assert isinstance(made["METHOD"], Method)

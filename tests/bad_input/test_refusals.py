"""Whatever is wrong with the input, the answer is one sentence, and nothing is trained or left behind.

The .toml files beside this one are tables of wrong input. What is wrong is the title of a group, which has

    call     the command line, or several that are answered alike
    fleet    whether there is a fleet folder, with the devices pump and mill-2; and then
    files    name -> text, beside the `common` ones of the table; folders, names of empty folders
    without  names of files that are missing
    tables   name -> cells [line, column, value] that spoil a table of 120 samples; line 0 is every sample
    bundle   what is done to a device's bundle: see `spoil`
    says     the sentence; or case -> the sentence, and the case stands for every {} of the group

A sentence that ends in "..." may go on with anything.
"""

import json
import shlex
import shutil
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from comparing import in_process

from fedmetaalign.comparison import pool
from fedmetaalign.gateways.enrolment import enroll
from fedmetaalign.tinyml.bundle import digest


def filled(value, case):
    """Puts a case in the place of every {} of a group."""
    match value:
        case str():
            return value.replace("{}", case)
        case list():
            return [filled(each, case) for each in value]
        case dict():
            return {key: filled(each, case) for key, each in value.items()}
    return value


def cases():
    for path in sorted(Path(__file__).parent.glob("*.toml")):
        groups = tomllib.loads(path.read_text(encoding="utf-8"))
        common = groups.pop("common")
        for title, group in groups.items():
            says = group.pop("says")
            group = common | group | {"files": common.get("files", {}) | group.get("files", {})}
            calls = group["call"] if isinstance(group["call"], list) else [group["call"]]
            group["call"] = [shlex.split(call) for call in calls]
            for case, sentence in ({"": says} if isinstance(says, str) else says).items():
                yield pytest.param(filled(group, case), sentence, id=f"{title}: {case}" if case else title)


@pytest.fixture
def untrained(monkeypatch):
    """Whoever begins to train fails."""
    in_process(monkeypatch)
    monkeypatch.setattr(pool, "run_cell", lambda *_: pytest.fail("it trained"))
    monkeypatch.setattr("fedmetaalign.run._train", lambda *_: pytest.fail("it trained"))


def spoil(bundle: Path, merge="", signed=False, text=None, flip="", cut="") -> None:
    """Merges JSON into bundle.json, as an author or a forger would, or damages a file."""
    description = bundle / "bundle.json"
    if merge:
        facts = json.loads(description.read_text(encoding="utf-8"))
        for key, value in json.loads(merge).items():
            facts[key] = facts[key] | value if isinstance(value, dict) and value else value
        description.write_text(json.dumps(facts | ({"digest": digest(facts)} if signed else {})))
    if text is not None:
        description.write_text(text, encoding="utf-8")
    if flip:
        data = bytearray((bundle / flip).read_bytes())
        data[len(data) // 2] ^= 1
        (bundle / flip).write_bytes(data)
    if cut:
        (bundle / cut).write_bytes((bundle / cut).read_bytes()[:-1])


@pytest.fixture
def bundle(here, finished):
    """A copy of a device's bundle."""
    return Path(shutil.copytree(finished.folder / "devices" / "feeder-00", here / "bundle"))


@pytest.fixture(scope="session")
def enrolled(tmp_path_factory):
    """A fleet folder; not to be changed."""
    folder = tmp_path_factory.mktemp("enrolled") / "fleet"
    enroll(folder, [], ["pump", "mill-2"], None, datetime.now(UTC))
    return folder


@pytest.mark.parametrize(("group", "sentence"), list(cases()))
def test_what_is_wrong_is_reported_in_one_sentence(group, sentence, here, refused, device_table, request):
    prepared = request.getfixturevalue("bundle" if "bundle" in group else "untrained")
    if prepared:
        spoil(prepared, **group["bundle"])
    if "fleet" in group:
        shutil.copytree(request.getfixturevalue("enrolled"), here / "fleet")
    for name in group.get("without", []):
        (here / name).unlink()
    for folder in group.get("folders", []):
        (here / folder).mkdir(parents=True)
    for name, text in group["files"].items():
        (here / name).parent.mkdir(exist_ok=True)
        (here / name).write_text(text, encoding="utf-8")
    for name, cells in group.get("tables", {}).items():
        table = device_table()
        lines, columns = [table.header, *table.rows], list(table.header)
        for line, column, value in cells:
            for row in lines[1:] if line == 0 else [lines[line - 1]]:
                row[columns.index(column)] = value
        table.write(here / name)
    expected = sentence.replace("{here}", str(here))
    for call in group["call"]:
        told = refused(*call)
        assert told == expected or (expected.endswith("...") and told.startswith(expected[:-3]))

"""The generated part of a document stands between `<!-- NAME: begin -->` and `<!-- NAME: end -->`."""

import re
from pathlib import Path


def replace_between(path: Path, name: str, text: str) -> None:
    """Puts `text` between the markers `name`; raises ValueError where the document has none."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    document = path.read_text(encoding="utf-8")
    if document.count(begin) != 1 or document.count(end) != 1:
        raise ValueError(f"{path} needs the lines {begin} and {end}, once each")
    before, rest = document.split(begin)
    after = rest.split(end)[1]
    path.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")


def markers(path: Path) -> list[str]:
    """Returns the names of a document's markers, in order."""
    return re.findall(r"<!-- (.+): begin -->", path.read_text(encoding="utf-8"))

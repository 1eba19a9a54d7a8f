"""The generated part of a document stands between `<!-- NAME: begin -->` and `<!-- NAME: end -->`."""

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

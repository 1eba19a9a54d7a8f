"""Reading a page as a browser does."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from fedmetaalign.report import write_report

VOID = {"meta", "br", "use", "img"}


class Outline(HTMLParser):
    """Which tags are open, what refers to what, what a reader sees."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self._text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    @property
    def text(self) -> str:
        return re.sub(r"[ \n]+", " ", self._text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            assert name != "style" and not name.startswith("on"), "the page's policy forbids it"
            if name == "id":
                self.ids.append(value or "")
            if name in {"src", "href", "xlink:href", "srcset", "data", "action"}:
                self.references.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self._text += data if not {"style", "script"} & set(self.open) else ""


def page_of(folder: Path) -> str:
    return write_report(folder).read_text(encoding="utf-8")


def data_of(page: str) -> dict[str, Any]:
    """What the page carries for its script."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, flags=re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def row_of(page: str, name: str, *keys: str) -> list[Any]:
    """What the fleet's table has of a device."""
    columns = data_of(page)["columns"]
    place = columns["name"].index(name)
    return [columns[key][place] if key in columns else None for key in keys]


def details_of(page: str, name: str) -> dict[str, Any]:
    data = data_of(page)
    found: dict[str, Any] = data["details"][str(data["columns"]["name"].index(name))]
    return found


def words_of(page: str) -> str:
    """The page without style sheet, scripts and what they carry."""
    page = re.sub(r'content="default-src[^"]*"', 'content=""', page)
    return re.sub(r"<(style|script)[^>]*>.*?</\1>", r"<\1></\1>", page, flags=re.DOTALL)

"""Reading a page as a browser does."""

import re
from html.parser import HTMLParser
from pathlib import Path

from fedmetaalign.report import write_report

VOID = {"meta", "br", "use"}


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
        self._text += data if not self.open or self.open[-1] != "style" else ""


def page_of(folder: Path) -> str:
    return write_report(folder).read_text(encoding="utf-8")


def without_drawings(page: str) -> str:
    """The page without its style sheet, and of a figure only what it says to those who cannot see it."""
    page = re.sub(r"<style>.*?</style>", "<style></style>", page, flags=re.DOTALL)
    return re.sub(r'<svg viewBox="[^"]*"([^>]*)>.*?</svg>', r"<svg\1></svg>", page, flags=re.DOTALL)


def tables(page: str) -> list[list[list[str]]]:
    """The texts of the cells of the body of every table."""
    found = []
    for body in re.findall(r"<tbody>(.*?)</tbody>", page, flags=re.DOTALL):
        rows = re.findall(r"<tr>(.*?)</tr>", body, flags=re.DOTALL)
        cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, flags=re.DOTALL) for row in rows]
        found.append([[re.sub(r"<[^>]*>", " ", cell).replace("\u202f", " ") for cell in row] for row in cells])
    return found

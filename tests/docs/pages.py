"""The documentation, taken apart: pages, fenced blocks, links, headings and tables."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "examples").rglob("*.md")])

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`]+)`")


class Block(NamedTuple):
    """A fenced block and the language it says it is in."""

    language: str
    text: str


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path) -> list[Block]:
    return [Block(*found) for found in _FENCE.findall(text_of(page))]


def shown_after(page: Path, command: str) -> str:
    """The block that follows the one which begins with `command`."""
    found = blocks(page)
    return found[[block.text.startswith(command) for block in found].index(True) + 1].text


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", text_of(page))


def links(page: Path) -> list[str]:
    return _LINK.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """What a link's fragment may name, as GitHub makes it of headings."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def rows(page: Path, head: str) -> Iterator[list[str]]:
    """The cells of the first table whose first column is headed `head`."""
    lines = iter(prose(page).splitlines())
    for line in lines:
        if line.startswith(f"| {head} |"):
            break
    else:
        raise LookupError(f"{page.name} has no table headed {head!r}")
    next(lines)
    for line in lines:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split(" |")]


def names(page: Path, head: str) -> list[str]:
    """Everything in code style in the first column of that table, in order."""
    return [name for cells in rows(page, head) for name in _CODE.findall(cells[0])]

"""Every relative link leads somewhere, and what is named as a file is one."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, PAGES, ROOT, anchors, links, text_of

OWN = [page for page in PAGES if page.parent != ROOT / "examples" / "grocery"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    for link in links(page):
        if link.startswith(("http://", "https://")):
            continue
        path, _, fragment = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        if fragment:
            assert fragment in anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize("page", OWN, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_are_named_are_there(page: Path) -> None:
    named = re.findall(r"`((?:[\w.-]+/)+[\w.-]+\.(?:py|lua|yaml|md)|(?:[\w-]+/){2,})`", text_of(page))
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_page_is_in_the_index() -> None:
    index = {(DOCS / link.partition("#")[0]).resolve() for link in links(DOCS / "README.md")}
    assert {page for page in DOCS.rglob("*.md") if page.name != "README.md"} <= index


def test_every_test_that_holds_a_promise_is_there() -> None:
    named = set(re.findall(r"\btest_\w+\.py\b", text_of(DOCS / "guarantees.md")))
    assert len(named) > 30
    assert {path.name for path in (ROOT / "tests").rglob("test_*.py")} >= named

"""The commands of docs/customer-success.md, run as they stand but on data of their own."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import TINO, environment
from tests.docs.pages import DOCS, ROOT, blocks, names
from tests.grocery import DONE_WITHIN
from tests.replayed import made_again_under

PAGE = DOCS / "customer-success.md"
EXAMPLE = ROOT / "examples" / "customer-success"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What each of the page's commands said; the second is run twice, as the page does."""
    folder = tmp_path_factory.mktemp("customer-success")
    (folder / "examples").symlink_to(ROOT / "examples")
    (folder / ".venv").symlink_to(TINO.parents[1])
    prepare, decide, one = (block.text for block in blocks(PAGE) if block.language == "sh")
    said = [run(command, folder) for command in (prepare, decide, decide, one)]
    assert made_again_under(folder) == 2000
    return said


def run(command: str, folder: Path) -> str:
    done = subprocess.run(
        ["sh", "-ec", command],
        cwd=folder, env=environment(), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=DONE_WITHIN, check=False,
    )  # fmt: skip
    told = [line for line in done.stderr.splitlines() if line != f"data: {folder / '.data' / 'customer-success'}"]
    assert (done.returncode, told) == (0, [])
    return done.stdout


def test_every_customer_and_event_is_imported(told: list[str]) -> None:
    assert told[0] == "1000 customers stored, 0 rows left out\nevents.jsonl: 40782 events stored, 0 rows left out\n"


def test_the_run_over_everybody_comes_out_as_shown(told: list[str]) -> None:
    shown = [block.text for block in blocks(PAGE) if block.language == "text"]
    assert [without_speed(text) for text in told[1:3]] == [without_speed(text) for text in shown]


def without_speed(text: str) -> str:
    return re.sub(r"in [\d.]+ s, [\d,]+/s", "", text)


def test_somebody_who_signs_in_is_shown_something(told: list[str]) -> None:
    assert '"status":"decided"' in told[3]


def test_the_page_shows_what_the_catalog_declares() -> None:
    (declared,) = (block.text for block in blocks(PAGE) if block.language == "yaml")
    assert declared in (EXAMPLE / "catalog.yaml").read_text(encoding="utf-8")


def test_the_page_names_every_action_and_file() -> None:
    catalog = "".join(file.read_text(encoding="utf-8") for file in EXAMPLE.glob("*.yaml"))
    actions = re.findall(r"^  ([\w-]+):\n    (?:group|purpose|description)", catalog, re.MULTILINE)
    page = PAGE.read_text(encoding="utf-8")
    assert len(actions) > 15
    assert [name for name in actions if f"`{name}`" not in page] == []
    assert sorted(names(PAGE, "file")) == sorted(file.name for file in EXAMPLE.iterdir() if file.is_file())

"""docs/decisions/replay.md: its command and its program, on a decision for everybody; what it says of a record."""

import re
import sys
from pathlib import Path

import pytest

from decision.record import Record
from tests.cli.conftest import TINO
from tests.docs.conftest import run
from tests.docs.pages import DOCS, blocks, rows, shown_after
from tests.grocery import imported

PAGE = DOCS / "decisions" / "replay.md"


def test_what_it_shows(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    data = imported(tmp_path_factory).copy_to(tmp_path / "data")
    decided = run(TINO, "decide", "examples/grocery", "--all", "--commit", "--data", data)
    assert decided.returncode == 0, decided.stderr

    (command,) = (block.text for block in blocks(PAGE) if block.language == "console")
    asked, _, told = command.removeprefix("$ tino ").partition("\n")
    done = run(TINO, *asked.replace(".data/grocery", str(data)).split())
    assert (done.returncode, done.stdout) == (0, told)

    (program,) = (block.text for block in blocks(PAGE) if block.language == "python")
    measured = run(sys.executable, "-c", program.replace(".data/grocery", str(data)))
    assert measured.returncode == 0, measured.stderr
    shown = shown_after(PAGE, program)
    assert figures(measured.stdout).keys() == figures(shown).keys()
    for name, count in figures(measured.stdout).items():
        assert 0.8 < count / figures(shown)[name] < 1.25, name


def figures(text: str) -> dict[str, int]:
    return {name: int(count) for name, count in re.findall(r"^(\w[\w ]*\w) +(\d+) bytes$", text, re.MULTILINE)}


def test_every_part_of_a_record_is_named() -> None:
    told = [name for cells in rows(PAGE, "in the record") for name in cells[0].split(", ")]
    parts = set(Record.__struct_fields__) - {"version", "id", "customer_id", "at"}
    assert sorted(told) == sorted(parts | {"time"})

"""The example of docs/importing.md, run as it stands but on data of its own."""

import shlex
import subprocess
from pathlib import Path

import pytest

from features.rows import FORMATS
from rules.types import AttributeType
from tests.cli.conftest import TINO, environment
from tests.cli.test_serve import READY_WITHIN
from tests.docs.pages import DOCS, ROOT, blocks, names, shown_after

PAGE = DOCS / "importing.md"
COMMAND = ".venv/bin/tino"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With the page's file in it, and the catalog where the command looks for it."""
    (content,) = (block.text for block in blocks(PAGE) if block.language == "csv")
    (tmp_path / "new.csv").write_text(content, encoding="utf-8")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return tmp_path


def test_the_example(folder: Path) -> None:
    for _ in range(2):  # imported again, it says and does the same
        done = imported_in(folder)
        assert done.returncode == 1
        said = (done.stderr + done.stdout).replace(str(folder), "/srv/tino")
        assert said == shown_after(PAGE, COMMAND)


def test_a_file_without_bad_rows(folder: Path) -> None:
    lines = (folder / "new.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "new.csv").write_text("".join(line for line in lines if "many" not in line), encoding="utf-8")
    done = imported_in(folder)
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)  # which data it took


def test_every_format_and_type() -> None:
    assert names(PAGE, "ending") == list(FORMATS)
    assert sorted(names(PAGE, "type")) == sorted(each.value for each in AttributeType)


def imported_in(folder: Path) -> subprocess.CompletedProcess[str]:
    """What came of the page's command in `folder`."""
    (command,) = (block.text for block in blocks(PAGE) if block.text.startswith(COMMAND))
    words = shlex.split(command.replace("\\\n", " "))[1:]
    return subprocess.run(
        [TINO, *words], cwd=folder, env=environment(), capture_output=True, text=True, timeout=READY_WITHIN, check=False
    )

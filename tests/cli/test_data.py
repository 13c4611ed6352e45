"""Which data a command works on: it is named, said first, and not made up."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Tino, environment
from tests.cli.ready import Call, Ready

UNKNOWN = "0" * 32
READING = [
    ["deliver", "--to", "sent.jsonl", "--once"],
    ["pressure"],
    ["replay", UNKNOWN],
    ["archive", "--once"],
    ["backfill"],
    ["import", "events", "customers.csv"],
]
Raw = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def raw(folder: Path, ready: Ready) -> Raw:
    """`tino` with all that it says."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return ready.run(Call(list(arguments), str(folder), environment(**variables)))

    return run


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize("arguments", [*READING, ["import", "customers", "customers.csv"], ["serve"]], ids=" ".join)
def test_no_command_guesses_whose_data_is_meant(folder: Path, raw: Raw, arguments: list[str]) -> None:
    (folder / ".data" / "grocery" / "redis").mkdir(parents=True)
    there = files(folder)
    done = raw(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("tino: whose data? Name its folder, --data (or TINO_DATA), or the catalog")
    assert files(folder) == there


@pytest.mark.parametrize("arguments", [*READING, ["decide", "catalog.yaml", "--all"]], ids=" ".join)
def test_data_that_is_not_there_is_no_empty_data(folder: Path, raw: Raw, arguments: list[str]) -> None:
    there = files(folder)
    done = raw(*arguments, "--data", "mistyped")
    assert (done.returncode, done.stdout) == (2, "")
    first, second = done.stderr.splitlines()
    assert first == f"data: {folder / 'mistyped'}"
    assert second.startswith(f"tino: there is no data in {folder / 'mistyped'}")
    assert files(folder) == there


@pytest.mark.parametrize("arguments", [["import", "customers", "customers.csv"], ["serve", "--port", "0"]])
def test_a_catalog_is_named_beside_the_data_where_one_is_needed(raw: Raw, folder: Path, arguments: list[str]) -> None:
    done = raw(*arguments, "--data", "d")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Name it: --catalog (or TINO_CATALOG)" in done.stderr
    assert not (folder / "d").exists()


def test_which_it_is_is_said_first(raw: Raw, folder: Path) -> None:
    by_catalog = raw("import", "customers", "customers.csv", "--catalog", "catalog.yaml")
    assert (by_catalog.returncode, by_catalog.stderr) == (0, f"data: {folder / '.data' / 'catalog'}\n")
    by_variable = raw("pressure", TINO_DATA=".data/catalog")
    assert (by_variable.returncode, by_variable.stderr) == (0, f"data: {folder / '.data' / 'catalog'}\n")
    elsewhere = raw("decide", "catalog.yaml", "a", "--data", "d", REDIS_URL="redis://:secret@127.0.0.1:1")
    assert elsewhere.stderr.startswith(f"data: Redis at redis://127.0.0.1:1, files in {folder / 'd'}\ntino: ")
    assert "secret" not in elsewhere.stderr


def test_a_variable_that_is_no_setting_is_told_of(tino: Tino) -> None:
    mistyped = {"TINO_CACHED_CUSTOMER": "5", "TINO_OTHER_THINGS": "1", "TINO_NO": "", "TINO_CACHED_BYTES": "2000000"}
    done = tino("import", "customers", "customers.csv", "--catalog", "catalog.yaml", **mistyped)
    assert (done.returncode, done.stderr.splitlines()) == (
        0,
        [
            "tino: warning: TINO_CACHED_CUSTOMER is set, and is no setting; did you mean TINO_CACHED_CUSTOMERS?",
            "tino: warning: TINO_OTHER_THINGS is set, and is no setting",
        ],
    )


def test_the_version(tino: Tino) -> None:
    done = tino("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, "tino 0.1.0\n", "")

"""`tino key`."""

import hashlib

import pytest

from api.auth import read_keys
from tests.cli.conftest import Tino


def test_a_key_is_shown_once_and_kept_as_its_hash(tino: Tino) -> None:
    done = tino("key", "--scope", "decide", "--scope", "ingest", "--name", "shop")
    assert (done.returncode, done.stderr) == (0, "")
    (_, key), (_, entry) = (line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert key.startswith("tino_")
    assert entry == f"{hashlib.sha256(key.encode()).hexdigest()}:decide+ingest:shop"
    assert key not in entry
    assert read_keys(entry)


def test_every_key_is_another(tino: Tino) -> None:
    assert tino("key", "--scope", "admin").stdout != tino("key", "--scope", "admin").stdout


def test_a_scope_there_is_not(tino: Tino) -> None:
    done = tino("key", "--scope", "root")
    assert (done.returncode, done.stdout) == (2, "")
    assert "'root' is no scope: decide, ingest or admin" in done.stderr
    assert tino("key").returncode == 2


@pytest.mark.parametrize("name", ["shop:eu", "x" * 65])
def test_a_name_that_would_not_be_read_again(tino: Tino, name: str) -> None:
    done = tino("key", "--scope", "decide", "--name", name)
    assert (done.returncode, done.stdout) == (2, "")
    assert "a name is up to 64 of A-Z, a-z, 0-9, dot, dash and" in done.stderr


def test_a_name_of_every_kind_of_character(tino: Tino) -> None:
    name = "Shop-2_eu.west" + "x" * 50
    entry = tino("key", "--scope", "decide", "--name", name).stdout.split()[-1]
    assert entry.endswith(f":decide:{name}")
    assert read_keys(entry)


def test_help_is_given_without_arguments(tino: Tino) -> None:
    done = tino("--help")
    assert done.returncode == 0
    for command in ("serve", "check", "import", "decide", "key"):
        assert command in done.stdout

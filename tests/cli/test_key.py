"""`tino key`."""

import hashlib

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


def test_help_is_given_without_arguments(tino: Tino) -> None:
    done = tino("--help")
    assert done.returncode == 0
    for command in ("serve", "check", "import", "decide", "key"):
        assert command in done.stdout

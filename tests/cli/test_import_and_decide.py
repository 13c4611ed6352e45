"""`tino import customers` and `tino decide`, on one private redis-server after another under the same data."""

import json
from pathlib import Path
from typing import Any

import pytest

from features import redis_probe
from features.redis_server import EmbeddedRedis
from tests.cli.conftest import Tino


def decided(tino: Tino, *arguments: str, **variables: str) -> list[dict[str, Any]]:
    """The answers of `tino decide`, one a line."""
    done = tino("decide", "catalog.yaml", *arguments, **variables)
    told = [line for line in done.stderr.splitlines() if "there is no data here yet" not in line]
    assert (done.returncode, told) == (0, [])
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_customers_are_imported_and_decided_for(tino: Tino, folder: Path) -> None:
    done = tino("import", "customers", "customers.csv", "--catalog", "catalog.yaml")
    assert (done.returncode, done.stdout, done.stderr) == (0, "2 customers stored, 0 rows left out\n", "")
    assert (folder / ".data" / "catalog" / "redis").is_dir()
    ana, bea = decided(tino, "a", "b", "--channel", "in_app")
    assert [answer["customer_id"] for answer in (ana, bea)] == ["a", "b"]
    assert (ana["decision_id"], ana["actions"][0]["treatment"]) == (None, "regulars/in_app")
    assert bea["actions"][0]["content"] == {"title": "Hello :100: [b]Bea[/]"}  # as it is, whatever it looks like
    (both,) = decided(tino, "a", "--limit", "5")
    assert {action["action"] for action in both["actions"]} == {"regulars", "hello"}


def test_only_a_commit_counts_and_it_stays(tino: Tino) -> None:
    for _ in range(2):
        assert decided(tino, "c", "--channel", "in_app")[0]["status"] == "decided"
    first, second, third = decided(tino, "c", "c", "c", "--channel", "in_app", "--commit")
    assert first["decision_id"] != second["decision_id"]
    assert [answer["status"] for answer in (first, second, third)] == ["decided", "decided", "nothing"]
    (after_a_restart,) = decided(tino, "c")
    assert (after_a_restart["status"], after_a_restart["reason"]) == ("nothing", "contact_policy")


def test_deciding_for_all_is_summed_up(tino: Tino) -> None:
    tino("import", "customers", "customers.csv", "--catalog", "catalog.yaml", "--data", "d")
    done = tino("decide", "catalog.yaml", "--all", "--data", "d", "--commit")
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 customers in " in done.stdout
    assert "(committed)" in done.stdout
    assert "decided" in done.stdout
    assert "(dry run)" in tino("decide", "catalog.yaml", "--all", "--data", "d").stdout


def test_bad_rows_are_named_and_good_ones_stored(tino: Tino, folder: Path) -> None:
    rows = [f"c-{number},{'x' if number >= 98 else number}" for number in range(125)]
    (folder / "[b]rows[.csv").write_text("\n".join(["id,Visits", *rows]))
    mapping = ("--map", "id=customer_id", "--map", "Visits=visits")
    done = tino("import", "customers", "[b]rows[.csv", "--catalog", "catalog.yaml", *mapping)
    assert (done.returncode, done.stdout) == (1, "98 customers stored, 27 rows left out\n")
    first, *_, last = done.stderr.splitlines()
    assert first == "[b]rows[.csv:100: visits: expected a whole number of at most 64 bits, got 'x'"
    assert last == "... and 7 more bad rows"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["customers.csv", "--map", "visits"], 2, "'visits' is not column=attribute"),
        (["customers.csv", "--consents-at", "2026-01-31"], 2, "--consents-at: expected an RFC 3339 timestamp"),
        (["customers.csv", "--consents-at", "2999-01-31T09:00:00Z"], 1, "2999-01-31T09:00:00Z: lies ahead of now"),
        (["customers.csv", "--map", "who=customer_id"], 1, "tino: mapped column 'who' is not in the file"),
        (["customers.csv", "--map", "email=phone"], 1, "tino: column 'phone' is not a declared attribute"),
        (["absent.csv"], 1, "absent.csv"),
        (["catalog.yaml"], 1, "tino: catalog.yaml: can read .csv"),
        (["torn.csv"], 1, "tino: torn.csv: the header is not CSV"),
        (["torn.parquet"], 1, "tino: "),
    ],
)
def test_a_file_that_can_not_be_imported(tino: Tino, folder: Path, arguments: list[str], code: int, said: str) -> None:
    (folder / "torn.csv").write_text('"customer_id')
    (folder / "torn.parquet").write_bytes(b"PAR1")
    done = tino("import", "customers", *arguments, "--catalog", "catalog.yaml")
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr


def test_what_decide_refuses(tino: Tino) -> None:
    for arguments, code, said in (
        (["a", "--all"], 2, "name customers, or --all for every one"),
        (["a", "--channel", "emial"], 1, "tino: channel 'emial' is not declared in the catalog; did you mean 'email'?"),
        (["a", "--limit", "51"], 2, "--limit"),
        (["a", "--now", "1969-12-31"], 1, "tino: now must lie in the years from 1970 to 2199, not in 1969"),
    ):
        done = tino("decide", "catalog.yaml", *arguments)
        assert (done.returncode, done.stdout) == (code, "")
        assert said in done.stderr
    missing = tino("decide", "missing.yaml", "a")
    assert (missing.returncode, missing.stderr.splitlines()[-1]) == (1, "missing.yaml: not loaded")


def test_the_clock_belongs_to_the_data_and_is_never_set_back(tino: Tino) -> None:
    (answer,) = decided(tino, "a", "--now", "2017-10-01T09:00", "--commit", "--channel", "in_app")
    assert answer["valid_until"].startswith("2017-10-01T09:30")
    (later,) = decided(tino, "a", "--channel", "in_app")
    assert later["valid_until"].startswith("2017-10-01T09:3")
    back = tino("decide", "catalog.yaml", "a", "--now", "2017-09-01")
    assert (back.returncode, back.stdout) == (1, "")
    assert back.stderr.startswith("tino: the clock of this data stands at 2017-10-01T09:0")


def test_data_used_in_real_time_keeps_to_it(tino: Tino) -> None:
    assert decided(tino, "a", "--commit", "--channel", "in_app")[0]["status"] == "decided"
    back = tino("decide", "catalog.yaml", "a", "--now", "2017-10-01T09:00")
    assert (back.returncode, back.stdout) == (1, "")
    assert "can't be set back: use other data" in back.stderr


def test_a_redis_that_is_given_is_used_and_left_running(tino: Tino, tmp_path: Path) -> None:
    with EmbeddedRedis.start(tmp_path / "given") as server:
        (answer,) = decided(tino, "a", "--commit", REDIS_URL=server.url)
        assert answer["status"] == "decided"
        (again,) = decided(tino, "a", "--limit", "9", REDIS_URL=server.url)
        assert again["status"] == "decided"
        assert not (tmp_path / ".data").exists()


def test_a_redis_that_would_forget_is_warned_of(tino: Tino, tmp_path: Path) -> None:
    with EmbeddedRedis.start(tmp_path / "given") as server:
        redis_probe.ask(server.socket_path, "CONFIG", "SET", "appendonly", "no")
        done = tino("import", "customers", "customers.csv", "--catalog", "catalog.yaml", REDIS_URL=server.url)
    assert (done.returncode, done.stdout) == (0, "2 customers stored, 0 rows left out\n")
    assert done.stderr.startswith("tino: warning: The append-only file is off: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1:1", "unix:///nowhere/redis.sock", "http://example.com", "redis://x:y"]
)
def test_a_redis_that_is_not_there_is_one_clear_sentence(tino: Tino, url: str) -> None:
    done = tino("decide", "catalog.yaml", "a", REDIS_URL=url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("tino: ")
    assert done.stderr.count("\n") == 1


def test_a_dry_run_sets_no_clock(tino: Tino) -> None:
    tino("import", "customers", "customers.csv", "--catalog", "catalog.yaml")
    ahead = tino("decide", "catalog.yaml", "a", "--channel", "in_app", "--now", "2150-01-01T00:00")
    assert '"valid_until":"2150-01-01T00:3' in ahead.stdout
    after = tino("decide", "catalog.yaml", "a", "--channel", "in_app")
    assert '"valid_until":"2150' not in after.stdout


def test_data_that_is_not_there_is_said_to_be_new(tino: Tino, folder: Path) -> None:
    done = tino("decide", "catalog.yaml", "a", "--data", "mistyped")
    assert (done.returncode, done.stderr) == (
        0, "mistyped: there is no data here yet; nothing is known of any customer\n"
    )  # fmt: skip
    assert tino("decide", "catalog.yaml", "a", "--data", "mistyped").stderr == ""

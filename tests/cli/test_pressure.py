"""`tino pressure`: what policies have cost, from records in Redis and in the archive."""

from tests.cli.conftest import Tino

HERE = ("--catalog", "catalog.yaml")


def rows(table: str) -> list[list[str]]:
    """The cells of each row, without the head."""
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in table.splitlines() if line.startswith("│")]


def decide_often(tino: Tino) -> None:
    tino("import", "customers", "customers.csv", *HERE)
    done = tino("decide", "catalog.yaml", *"aaaab", "--channel", "in_app", "--commit")
    assert done.returncode == 0, done.stderr


def test_each_policy_with_what_it_changed_and_cost(tino: Tino) -> None:
    decide_often(tino)
    done = tino("pressure", *HERE)
    assert (done.returncode, done.stderr) == (0, "")
    assert rows(done.stdout) == [["daily", "2", "40.0%", "18.00"]]
    assert done.stdout.endswith("5 decisions\n")
    archived = tino("archive", *HERE, "--once", "--keep-hours", "0", "--min-age", "0")
    assert archived.stdout.startswith("archived 5 records"), archived.stderr
    assert tino("pressure", *HERE).stdout == done.stdout


def test_of_a_period(tino: Tino) -> None:
    decide_often(tino)
    assert rows(tino("pressure", "--since", "2020-01-01", *HERE).stdout) == [["daily", "2", "40.0%", "18.00"]]
    done = tino("pressure", "--since", "2020-01-01", "--until", "2020-01-02", *HERE)
    assert (rows(done.stdout), done.stdout.splitlines()[-1]) == ([], "0 decisions")
    done = tino("pressure", "--since", "2020-01-02", "--until", "2020-01-01", *HERE)
    assert done.returncode == 2
    assert "is not after" in done.stderr

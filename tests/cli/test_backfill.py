"""`tino backfill`."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from catalog.bundle import bundle_of
from catalog.loading import load_catalog
from features.catalogs import NOTHING, CatalogStore
from features.link import Link
from features.redis_server import EmbeddedRedis
from tests.cli.conftest import Tino

CATALOG = """\
catalog: 1
name: shop
channels: {in_app: {direction: inbound}}
events: {purchase: {amount: double}}
AGGREGATES
actions:
  hello: {value: 1, treatments: {in_app: {title: "TITLE"}}}
"""
EVENTS = "customer_id,at,amount\na,2026-01-05T09:00:00Z,1\na,2026-01-06T09:00:00Z,2\nb,2026-01-07T09:00:00Z,3\n"
SPEND = "aggregates: {spend: {sum: purchase.amount}, visits: {count: purchase}}"


@pytest.fixture(autouse=True)
def _imported(tino: Tino, folder: Path) -> None:
    """Under a catalog that keeps no aggregate."""
    (folder / "old.yaml").write_text(CATALOG.replace("AGGREGATES", "").replace("TITLE", "hello"))
    (folder / "new.yaml").write_text(
        CATALOG.replace("AGGREGATES", SPEND).replace("TITLE", "{{ customer.visits }} {{ customer.spend }}")
    )
    (folder / "events.csv").write_text(EVENTS)
    done = tino("import", "events", "events.csv", "--type", "purchase", "--catalog", "old.yaml", "--data", "d")
    assert done.returncode == 0, done.stderr


def title(tino: Tino, customer_id: str) -> str:
    done = tino("decide", "new.yaml", customer_id, "--data", "d")
    return str(json.loads(done.stdout)["actions"][0]["content"]["title"])


def test_a_newly_declared_aggregate_is_filled_in(tino: Tino) -> None:
    assert title(tino, "a") == "0 0.0"
    done = tino("backfill", "visits", "--catalog", "new.yaml", "--data", "d")
    assert (done.returncode, done.stdout) == (0, "2 of 2 customers changed, 3 events read\n")
    assert re.fullmatch(r"the log begins at [-0-9T:+]+; further back look visits\n", done.stderr)
    assert title(tino, "a") == "2 0.0"
    done = tino("backfill", "--catalog", "new.yaml", "--data", "d")
    assert done.stdout == "2 of 2 customers changed, 3 events read\n"
    assert (title(tino, "a"), title(tino, "b")) == ("2 3.0", "1 3.0")
    assert tino("backfill", "--catalog", "new.yaml", "--data", "d").stdout.startswith("0 of 2 customers changed")


def test_the_catalog_in_force_is_meant(tino: Tino, folder: Path) -> None:
    asyncio.run(put_in_force(folder / "new.yaml", folder / "d"))
    assert tino("backfill", "--data", "d").stdout == "2 of 2 customers changed, 3 events read\n"
    assert title(tino, "a") == "2 3.0"
    done = tino("backfill", "--catalog", "old.yaml", "--data", "d")
    assert (done.returncode, done.stdout) == (1, "")
    assert "another catalog is in force" in done.stderr


async def put_in_force(catalog: Path, data: Path) -> None:
    loaded = load_catalog(catalog)
    with EmbeddedRedis.start(data) as server:
        link = Link(server.url)
        await CatalogStore(link).keep(loaded.digest, bundle_of(loaded))
        await CatalogStore(link).put_in_force(loaded.digest, NOTHING)
        await link.close()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--data", "d"], 1, "tino: no catalog is in force here: name one, --catalog"),
        (
            ["spent", "--catalog", "new.yaml", "--data", "d"],
            1,
            "tino: 'spent' is not an aggregate of the catalog",
        ),
        (["--catalog", "new.yaml", "--data", "elsewhere"], 2, "tino: there is no data in "),
    ],
)
def test_what_can_not_be_filled_in(tino: Tino, arguments: list[str], code: int, said: str) -> None:
    done = tino("backfill", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr

"""All events of the grocery example's year: what they come to per household is what DuckDB says of the raw files."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from catalog.building import load_plan
from examples.grocery.events import TABLES
from features.aggregates import values_at
from tests.archive.duck import asked
from tests.cli.conftest import TINO
from tests.grocery import run, stored

CATALOG = """\
catalog: 1
name: totals
events:
  purchase: {line: int, amount: double, shelf: string}
  redemption: {campaign: int}
  campaign: {}
aggregates:
  lines: {count: purchase}
  dollars: {sum: purchase.amount}
  baskets: {count: purchase, where: event.line == 1}
  dearest: {max: purchase.amount}
  coupons: {count: redemption}
  campaigns_redeemed: {distinct: redemption.campaign}
  campaigns: {count: campaign}
channels: {in_app: {direction: inbound}}
actions: {hello: {eligible: customer.lines > 0, value: 1, treatments: {in_app: {title: Hello}}}}
"""
IN_2018 = "2018-02-01T00:00Z"
LATER = 1_517_443_200_000_000  # the same, in microseconds

PURCHASES = """
select household_id, count(*), sum(round(sales_value * 100)::bigint), count(distinct basket_id), max(sales_value)
from '{}/transactions.parquet' group by 1
"""
REDEMPTIONS = """
select household_id, count(*), count(distinct campaign_id) from '{}/coupon_redemptions.parquet' group by 1
"""
CAMPAIGNS = "select household_id, count(*) from '{}/campaigns.parquet' group by 1"


@pytest.fixture(scope="module")
def found(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The aggregates of every household, once all has been imported."""
    folder = tmp_path_factory.mktemp("totals")
    catalog = folder / "totals.yaml"
    catalog.write_text(CATALOG, encoding="utf-8")
    for name, table in TABLES.items():
        pq.write_table(table(raw), folder / f"{name}.parquet")
    files = [folder / f"{name}.parquet" for name in TABLES]
    done = run(TINO, "import", "events", *files, "--catalog", catalog, "--data", folder / "data", "--now", IN_2018)
    assert done.stdout.splitlines() == [
        "purchases.parquet: 1469307 events stored, 0 rows left out",
        "redemptions.parquet: 2102 events stored, 0 rows left out",
        "campaigns.parquet: 6589 events stored, 0 rows left out",
    ]
    aggregates = load_plan(catalog).aggregates
    return {
        customer_id: values_at(aggregates, each.customer.series, LATER).by_name
        for customer_id, each in stored(folder / "data").items()
    }


def test_lines_dollars_and_baskets_per_household(raw: Path, found: dict[str, dict[str, Any]]) -> None:
    rows = asked(PURCHASES.format(raw))
    assert (len(rows), sum(lines for _, lines, *_ in rows)) == (2469, 1_469_307)
    names = ("lines", "dollars", "baskets", "dearest")
    assert {name: tuple(values[each] for each in names) for name, values in found.items() if values["lines"]} == {
        f"hh-{number}": (lines, cents / 100, baskets, dearest) for number, lines, cents, baskets, dearest in rows
    }


def test_coupons_and_campaigns_per_household(raw: Path, found: dict[str, dict[str, Any]]) -> None:
    redeemed = {f"hh-{number}": (coupons, campaigns) for number, coupons, campaigns in asked(REDEMPTIONS.format(raw))}
    received = {f"hh-{number}": campaigns for number, campaigns in asked(CAMPAIGNS.format(raw))}
    assert (len(redeemed), len(received)) == (410, 1559)
    for customer_id, values in found.items():
        assert (values["coupons"], values["campaigns_redeemed"]) == redeemed.get(customer_id, (0, 0))
        assert values["campaigns"] == received.get(customer_id, 0)

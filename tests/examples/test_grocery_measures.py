"""The numbers of the grocery example's catalog: measured in the data, and on nothing that came later."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from examples.grocery import source
from examples.grocery.events import TABLES, before
from examples.grocery.measures import measure
from examples.grocery.source import DEFAULT_AS_OF
from tests.examples.raw import AS_OF, STORE, lines_of

CATALOG = Path(source.__file__).with_name("catalog.yaml")
BASE_RATES = {"A": 0.1551, "B": 0.058, "C": 0.039}  # as README says


def test_what_comes_later_changes_nothing(raw: Path, tmp_path: Path) -> None:
    altered = alter_the_future(raw, tmp_path)
    for table in TABLES.values():
        assert before(table(altered), AS_OF).equals(before(table(raw), AS_OF))
    assert measure(altered, AS_OF) == measure(raw, AS_OF)


def alter_the_future(raw: Path, folder: Path) -> Path:
    """A copy in which later purchases are dear and of one product, later redemptions and contacts of one household."""
    for name in ("products", "coupons", "demographics", "campaign_descriptions"):
        (folder / f"{name}.parquet").symlink_to(raw / f"{name}.parquet")
    lines = pq.read_table(raw / "transactions.parquet")
    later = pc.greater_equal(lines["transaction_timestamp"], utc(AS_OF))
    lines = replaced(lines, "sales_value", later, 9999.0)
    lines = replaced(lines, "product_id", later, 25671)
    pq.write_table(replaced(lines, "basket_id", later, 1), folder / "transactions.parquet")

    redemptions = pq.read_table(raw / "coupon_redemptions.parquet")
    later = pc.greater_equal(redemptions["redemption_date"], utc(datetime(2017, 10, 1, tzinfo=UTC)))
    pq.write_table(replaced(redemptions, "household_id", later, 900), folder / "coupon_redemptions.parquet")

    contacts = pq.read_table(raw / "campaigns.parquet")
    later = pc.is_in(contacts["campaign_id"], pa.array(range(16, 24)))
    pq.write_table(replaced(contacts, "household_id", later, 900), folder / "campaigns.parquet")
    return folder


def utc(moment: datetime) -> Any:
    """As the raw tables hold it: in UTC, without a zone."""
    return pa.scalar(moment.astimezone(UTC).replace(tzinfo=None), pa.timestamp("ns"))


def replaced(table: Any, name: str, where: Any, by: float) -> Any:
    column = table[name]
    assert pc.any(where).as_py()
    changed = pc.if_else(where, pa.scalar(by, column.type), column)
    return table.set_column(table.column_names.index(name), name, changed)


def test_the_catalogs_numbers_are_the_measured(raw: Path) -> None:
    catalog = YAML(typ="safe").load(CATALOG)
    measured = measure(raw, DEFAULT_AS_OF)
    campaigns = {
        int(name.rsplit("-", 1)[1]): action
        for name, action in catalog["actions"].items()
        if action["group"].startswith("campaign-type-")
    }
    assert set(campaigns) == set(measured)
    for number, action in campaigns.items():
        found = measured[number]
        assert action["group"] == f"campaign-type-{found.campaign_type.lower()}"
        assert (action["value"], action["propensity"]) == (found.value, {"model": "redemption"}), number
        assert found.propensity == BASE_RATES[found.campaign_type]
        if "from" in action:
            assert (action["from"] - date(1970, 1, 1)).days == found.first_day
    assert sum("from" not in action for action in campaigns.values()) >= 18


def test_a_campaigns_value_agrees_with_a_direct_sum(raw: Path) -> None:
    """Campaign 5: what each redeeming household spent on its products on its redemption days."""
    covered = set(pq.read_table(raw / "coupons.parquet", filters=[("campaign_id", "=", 5)])["product_id"].to_pylist())
    redemptions = pq.read_table(raw / "coupon_redemptions.parquet", filters=[("campaign_id", "=", 5)]).to_pylist()
    redeemed = {(r["household_id"], r["redemption_date"].date()) for r in redemptions}
    spent = {
        household: sum(
            line["sales_value"]
            for line in lines_of(raw, household)
            if line["product_id"] in covered and (household, line["at"].astimezone(STORE).date()) in redeemed
        )
        for household in {household for household, _ in redeemed}
    }
    assert len(spent) == 8
    assert measure(raw, AS_OF)[5].value == pytest.approx(sum(spent.values()) / 8, abs=0.005)


def test_nothing_is_measured_where_no_campaign_has_ended(raw: Path) -> None:
    with pytest.raises(ValueError, match="too early"):
        measure(raw, datetime(2017, 3, 1, tzinfo=STORE))

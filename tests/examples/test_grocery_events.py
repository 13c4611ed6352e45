"""The grocery example's events against the raw rows, read one by one."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from examples.grocery import source
from examples.grocery.events import TABLES, before, counted_from_one
from examples.grocery.products import DEPARTMENTS, SHELVES
from tests.examples.raw import AS_OF, SAMPLE, STORE, Row, lines_of, products_of

CATALOG = Path(source.__file__).with_name("catalog.yaml")
SECOND = timedelta(seconds=1)


@pytest.fixture(scope="module")
def told(raw: Path) -> dict[str, Any]:
    return {name: table(raw) for name, table in TABLES.items()}


@pytest.fixture(scope="module")
def products(raw: Path) -> dict[int, Row]:
    return products_of(raw)


def of(table: Any, household: int) -> list[Row]:
    rows: list[Row] = table.filter(pc.equal(table["customer_id"], f"hh-{household}")).to_pylist()
    return rows


@pytest.mark.parametrize("household", SAMPLE)
def test_each_line_is_an_event(raw: Path, told: Any, products: Any, household: int) -> None:
    events = of(before(told["purchases"], AS_OF), household)
    lines = lines_of(raw, household)
    assert len(events) == len(lines) > 0
    places: dict[int, int] = {}
    for event, line in zip(events, lines, strict=True):
        places[line["basket_id"]] = places.get(line["basket_id"], 0) + 1
        product = products.get(line["product_id"], {})
        department = product.get("department")
        if department in ("COUPON", "MISCELLANEOUS"):
            department = None
        assert event == {
            "customer_id": f"hh-{household}",
            "type": "purchase",
            "at": line["at"],
            "basket": line["basket_id"],
            "line": places[line["basket_id"]],
            "product": line["product_id"],
            "amount": line["sales_value"],
            "department": DEPARTMENTS.get(department or "", department and department.lower()),
            "shelf": SHELVES.get(product.get("product_category") or ""),
            "private_label": int(product["brand"] == "Private") if product else None,
        }


def test_every_basket_has_a_first_line(told: Any) -> None:
    lines = told["purchases"]
    assert lines.num_rows == 1_469_307
    firsts = lines.filter(pc.equal(lines["line"], 1))["basket"]
    assert len(pc.unique(firsts)) == len(firsts) == len(pc.unique(lines["basket"]))


def test_counting_from_one() -> None:
    groups = np.array([7, 7, 3, 7, 3, 9])
    assert counted_from_one(groups).tolist() == [1, 2, 1, 3, 2, 1]


@pytest.mark.parametrize("household", SAMPLE)
def test_a_redemption_is_told_as_the_end_of_its_day(raw: Path, told: Any, household: int) -> None:
    rows = pq.read_table(raw / "coupon_redemptions.parquet", filters=[("household_id", "=", household)]).to_pylist()
    assert sorted(
        (event["at"], event["coupon"], event["campaign"]) for event in of(told["redemptions"], household)
    ) == (
        sorted((next_midnight(row["redemption_date"]) - SECOND, row["coupon_upc"], row["campaign_id"]) for row in rows)
    )


def next_midnight(on: datetime) -> datetime:
    day = on.date() + timedelta(days=1)
    return datetime(day.year, day.month, day.day, tzinfo=STORE).astimezone(UTC)


@pytest.mark.parametrize("household", SAMPLE)
def test_a_campaign_is_told_as_the_beginning_of_its_first_day(raw: Path, told: Any, household: int) -> None:
    described = pq.read_table(raw / "campaign_descriptions.parquet").to_pylist()
    begins = {row["campaign_id"]: row["start_date"].replace(tzinfo=STORE).astimezone(UTC) for row in described}
    rows = pq.read_table(raw / "campaigns.parquet", filters=[("household_id", "=", household)]).to_pylist()
    assert sorted((event["at"], event["campaign"]) for event in of(told["campaigns"], household)) == (
        sorted((begins[row["campaign_id"]], row["campaign_id"]) for row in rows)
    )


def test_only_what_was_before(told: Any) -> None:
    moment = pa.scalar(AS_OF, pa.timestamp("us", tz="UTC"))
    for table in told.values():
        kept = before(table, AS_OF)
        assert pc.all(pc.less(kept["at"], moment)).as_py()
        assert kept.num_rows == pc.sum(pc.less(table["at"], moment)).as_py() < table.num_rows


def test_the_catalog_declares_every_property_with_its_type(told: Any) -> None:
    kinds = {pa.string(): "string", pa.int64(): "int", pa.float64(): "double"}
    declared = YAML(typ="safe").load(CATALOG)["events"]
    found = {}
    for table in told.values():
        (kind,) = pc.unique(table["type"]).to_pylist()
        found[kind] = {each.name: kinds[each.type] for each in table.schema if each.name in declared[kind]}
        assert set(table.column_names) == {"customer_id", "type", "at", *declared[kind]}
    assert found == declared


def test_timestamps_are_utc(raw: Path) -> None:
    """Every redemption then lies on a store day with a purchase; read as local time, 11 % would not."""
    lines = pq.read_table(raw / "transactions.parquet", columns=["household_id", "transaction_timestamp"])
    moments = source.seconds(lines["transaction_timestamp"])
    households = lines["household_id"].to_numpy()
    redemptions = pq.read_table(raw / "coupon_redemptions.parquet")
    redeemed = set(
        zip(redemptions["household_id"].to_pylist(), source.days(redemptions["redemption_date"]), strict=True)
    )
    as_utc = set(zip(households.tolist(), source.local_days(moments).tolist(), strict=True))
    as_local = set(zip(households.tolist(), (moments // 86_400).tolist(), strict=True))
    assert redeemed <= as_utc
    assert len(redeemed - as_local) / len(redeemed) > 0.1


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        (datetime(2017, 10, 1, 3, 59, tzinfo=UTC), date(2017, 9, 30)),
        (datetime(2017, 10, 1, 4, 0, tzinfo=UTC), date(2017, 10, 1)),
        (datetime(2017, 11, 6, 4, 59, tzinfo=UTC), date(2017, 11, 5)),  # a day of 25 hours
    ],
)
def test_the_stores_day(moment: datetime, day: date) -> None:
    found = source.local_days(np.array([source.instant(moment)], dtype=np.int64))
    assert found.tolist() == [source.local_day(moment)] == [(day - date(1970, 1, 1)).days]

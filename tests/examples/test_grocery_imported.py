"""The grocery example as `make serve` imports it: what the aggregates say, against the raw rows and the definition."""

from collections.abc import Mapping
from datetime import UTC, datetime, time
from pathlib import Path
from statistics import mean
from typing import Any

import pyarrow.parquet as pq
import pytest

from catalog.building import load_plan
from catalog.plan import Plan
from examples.grocery import source
from examples.grocery.products import SHELVES, department
from features.aggregates import values_at
from features.customer import micros
from tests.examples.raw import SAMPLE, STORE, Row, lines_of, products_of
from tests.grocery import Imported, Stored, imported, stored

DAY = 24 * 3600 * 1_000_000
NOW = datetime(2017, 10, 1, 9, tzinfo=STORE)
NOT_TOLD = ("grocery", "fuel", "spirits")
MOST_BYTES = 1024


@pytest.fixture(scope="module")
def plan() -> Plan:
    return load_plan(Path(source.__file__).parent)


@pytest.fixture(scope="module")
def imports(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Imported:
    return imported(tmp_path_factory)


@pytest.fixture(scope="module")
def customers(imports: Imported, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Stored]:
    return stored(imports.copy_to(tmp_path_factory.mktemp("grocery")))


def test_everything_is_stored(imports: Imported, customers: Mapping[str, Stored]) -> None:
    assert imports.said == [
        "2469 customers stored, 0 rows left out",
        "campaigns.parquet: 4168 events stored, 0 rows left out",
    ]
    assert len(customers) == 2469


def test_a_household_takes_less_than_a_kilobyte_of_redis(customers: Mapping[str, Stored]) -> None:
    """With its key, on average; nobody has contacts yet."""
    assert not any(each.customer.log for each in customers.values())
    taken = mean(each.bytes for each in customers.values())
    print(f"{taken:.0f} bytes on average, {max(each.bytes for each in customers.values())} at most")
    assert taken <= MOST_BYTES


@pytest.mark.parametrize("household", SAMPLE)
def test_aggregates_agree_with_a_direct_count(
    raw: Path, plan: Plan, customers: Mapping[str, Stored], household: int
) -> None:
    found = values_at(plan.aggregates, customers[f"hh-{household}"].customer.series, micros(NOW)).by_name
    counted = {**of_purchases(lines_of(raw, household), products_of(raw)), **of_coupons(raw, household)}
    assert set(found) | {"days_since_redemption"} == set(plan.aggregates.types)
    assert found == {name: pytest.approx(value) if type(value) is float else value for name, value in counted.items()}


def within(lines: list[Row], tile: int, window: int, offset: int = 0) -> list[Row]:
    """Of the window, in days: what lies in tiles after the one in which it begins."""
    length, end = tile * DAY, micros(NOW) - offset * DAY
    return [line for line in lines if (end - window * DAY) // length < micros(line["at"]) // length <= end // length]


def of_purchases(lines: list[Row], products: Mapping[int, Row]) -> dict[str, Any]:
    for line in lines:
        product = products.get(line["product_id"], {})
        line["department"] = product.get("department") and department(product["department"])
        line["shelf"] = SHELVES.get(product.get("product_category") or "")
        line["private"] = int(product["brand"] == "Private") if product else None

    def spent(*span: int) -> float:
        return float(sum(line["sales_value"] for line in within(lines, *span)))

    private = [line["private"] for line in within(lines, 15, 90) if line["private"] is not None]
    last = max(line["at"] for line in lines if line["department"] not in (None, *NOT_TOLD))
    return {
        "visits_30d": len({line["basket_id"] for line in within(lines, 3, 30)}),
        "visits_90d": len({line["basket_id"] for line in within(lines, 3, 90)}),
        "spend_30d": spent(3, 30),
        "spend_30d_before": spent(3, 30, 30),
        "spend_90d": spent(3, 90),
        "spend_year": spent(28, 364),
        "days_since_visit": (NOW - max(line["at"] for line in lines)).days,
        "departments": sorted({line["department"] for line in within(lines, 15, 90)} - {None}),
        "last_department": max(
            line["department"] for line in lines if line["at"] == last and line["department"] not in (None, *NOT_TOLD)
        ),
        "shelves": sorted({line["shelf"] for line in within(lines, 7, 42)} - {None}),
        "private_label_share": sum(private) / len(private),
    }


def of_coupons(raw: Path, household: int) -> dict[str, Any]:
    rows = pq.read_table(raw / "coupon_redemptions.parquet", filters=[("household_id", "=", household)]).to_pylist()
    days = [row["redemption_date"].date() for row in rows if row["redemption_date"].date() < NOW.date()]
    described = pq.read_table(raw / "campaign_descriptions.parquet").to_pylist()
    begun = {row["campaign_id"] for row in described if row["start_date"].date() < NOW.date()}
    received = pq.read_table(raw / "campaigns.parquet", filters=[("household_id", "=", household)])
    of_all = {
        "coupons_redeemed": len(days),
        "campaigns_received": sum(number in begun for number in received["campaign_id"].to_pylist()),
    }
    if not days:
        return of_all
    end_of_day = datetime.combine(max(days), time(23, 59, 59), STORE)
    return {**of_all, "days_since_redemption": (NOW.astimezone(UTC) - end_of_day.astimezone(UTC)).days}

"""What happened to the households, as events that `tino import events` takes: one table for each type.

purchase    a line of a receipt, when it was rung up; `line` counts the lines of a basket from 1
redemption  a coupon redeemed. Only the day is known: it is told as that day's last second, in the store's zone, as
            nobody can say which side of an earlier moment it falls on
campaign    a household was sent a campaign; at the first moment of the campaign's first day
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from examples.grocery.products import read_products
from examples.grocery.source import Ints, days, instant, midnights, read, seconds

LINE_COLUMNS = ["household_id", "basket_id", "product_id", "sales_value", "transaction_timestamp"]
STAMP = pa.timestamp("us", tz="UTC")


def purchases(source: Path) -> Any:
    """All lines in the order they were rung up; `amount` is what the retailer took in, in dollars."""
    lines = read(source, "transactions", LINE_COLUMNS)
    moments = seconds(lines["transaction_timestamp"])
    basket = lines["basket_id"].to_numpy()
    return pa.table(
        {
            **of_all("purchase", lines["household_id"], moments),
            "basket": lines["basket_id"],
            "line": pa.array(counted_from_one(basket)),
            "product": lines["product_id"],
            "amount": lines["sales_value"],
            **read_products(source).columns(lines["product_id"]),
        }
    )


def redemptions(source: Path) -> Any:
    table = read(source, "coupon_redemptions")
    on = days(table["redemption_date"])
    columns = {
        **of_all("redemption", table["household_id"], midnight_of(on + 1) - 1),
        "coupon": table["coupon_upc"],
        "campaign": table["campaign_id"],
    }
    return pa.table(columns).sort_by("at")


def campaigns(source: Path) -> Any:
    table = read(source, "campaigns")
    described = read(source, "campaign_descriptions", ["campaign_id", "start_date"])
    row = pc.index_in(table["campaign_id"], described["campaign_id"].combine_chunks()).to_numpy()
    columns = {
        **of_all("campaign", table["household_id"], midnight_of(days(described["start_date"])[row])),
        "campaign": table["campaign_id"],
    }
    return pa.table(columns).sort_by("at")


TABLES: dict[str, Callable[[Path], Any]] = {
    "purchases": purchases,
    "redemptions": redemptions,
    "campaigns": campaigns,
}


def before(table: Any, moment: datetime) -> Any:
    """Only what happened before the moment; without a zone it is the store's local time."""
    return table.filter(pc.less(table["at"], pa.scalar(instant(moment) * 1_000_000, pa.int64()).cast(STAMP)))


def of_all(kind: str, households: Any, moments: Ints) -> dict[str, Any]:
    """What every event has. `moments` are seconds since 1970."""
    customer_id = pc.binary_join_element_wise("hh", pc.cast(households, pa.string()), "-")
    return {
        "customer_id": customer_id,
        "type": pa.array(np.full(len(moments), kind)),
        "at": pa.array(moments * 1_000_000).cast(STAMP),
    }


def counted_from_one(groups: Ints) -> Ints:
    """The place of each element among those of its group, in their order."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    places = np.arange(len(groups)) - np.repeat(starts, np.diff(np.r_[starts, len(groups)]))
    counted = np.empty(len(groups), dtype=np.int64)
    counted[order] = places + 1
    return counted


def midnight_of(on_days: Ints) -> Ints:
    """When each of the store's days begins, in seconds since 1970; days are counted from 1970 too."""
    first, last = int(on_days.min()), int(on_days.max())
    return midnights(first, last)[on_days - first]

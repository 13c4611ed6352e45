"""One row per household, holding only what the retailer knew before a given moment.

Dates without a time (a redemption, a campaign's start) count once their day is over: on the day itself nobody can say
which side of the moment they fall on.
"""

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from examples.grocery.invented import invented_columns
from examples.grocery.purchases import NEVER, Progress, Purchases, read_purchases
from examples.grocery.source import DEFAULT_AS_OF, Ints, days, instant, local_day, midnights, read


def build_profiles(source: Path, as_of: datetime = DEFAULT_AS_OF, progress: Progress = lambda done, total: None) -> Any:
    """A pyarrow Table of every household in the data, sorted by household number, as known before `as_of`.

    A moment without a zone is the store's local time. Amounts are dollars, timestamps UTC; what is unknown is null.
    `progress` is told the purchase lines read and their total after each batch.
    """
    purchases = read_purchases(source, instant(as_of), progress)
    households = purchases.households
    columns = {
        "customer_id": pa.array([f"hh-{number}" for number in households]),
        **purchase_columns(purchases),
        **coupon_columns(source, households, local_day(as_of)),
        **demographic_columns(source, households),
        **invented_columns(households),
    }
    return pa.table(columns)


def purchase_columns(purchases: Purchases) -> dict[str, Any]:
    visits = {window: purchases.visits(window) for window in (30, 90, 365)}
    cents, products = purchases.cents, purchases.products
    return {
        "first_purchase": timestamps(purchases.first, purchases.first < NEVER),
        "last_purchase": timestamps(purchases.last, purchases.last > -NEVER),
        "visits_30d": pa.array(visits[30]),
        "visits_90d": pa.array(visits[90]),
        "spend_30d": pa.array(cents[30] / 100),
        "spend_90d": pa.array(cents[90] / 100),
        "spend_365d": pa.array(cents[365] / 100),
        "basket_mean": ratio(cents[365] / 100, visits[365], 2),
        "departments": pa.array(products.top_departments(purchases.department_cents)),
        "favourite_department": pa.array(products.favourites(purchases.department_cents)),
        "categories": pa.array(products.top_categories(purchases.category_cents)),
        "buys_baby_care": pa.array(products.bought_baby_care(purchases.category_cents)),
        "private_label_share": ratio(purchases.private_cents, cents[90], 4),
    }


def coupon_columns(source: Path, households: Ints, today: int) -> dict[str, Any]:
    redemptions = read(source, "coupon_redemptions", ["household_id", "redemption_date"])
    redeemed_on = days(redemptions["redemption_date"])
    over = redeemed_on < today
    who = np.searchsorted(households, redemptions["household_id"].to_numpy()[over])
    last = np.full(len(households), -1, dtype=np.int64)
    np.maximum.at(last, who, redeemed_on[over])
    begin = midnights(0, today)

    described = read(source, "campaign_descriptions", ["campaign_id", "start_date"])
    begun = described["campaign_id"].to_numpy()[days(described["start_date"]) < today]
    contacts = read(source, "campaigns", ["campaign_id", "household_id"])
    contacted = contacts["household_id"].to_numpy()[np.isin(contacts["campaign_id"].to_numpy(), begun)]
    contacted = contacted[np.isin(contacted, households)]
    size = len(households)
    return {
        "coupons_redeemed": pa.array(np.bincount(who, minlength=size)),
        "campaigns_received": pa.array(np.bincount(np.searchsorted(households, contacted), minlength=size)),
        "last_redemption": timestamps(begin[np.maximum(last, 0)], last >= 0),
    }


def demographic_columns(source: Path, households: Ints) -> dict[str, Any]:
    """Known for 801 households. `household_size` 5 means five or more, `kids_count` 3 means three or more."""
    table = read(source, "demographics")
    rows = pc.index_in(pa.array(households), table["household_id"].combine_chunks())
    of_all = table.take(rows)
    return {
        "age": of_all["age"].cast(pa.string()),
        "income": of_all["income"].cast(pa.string()),
        "household_size": at_least(of_all["household_size"]),
        "kids_count": at_least(of_all["kids_count"]),
    }


def at_least(column: Any) -> Any:
    """'5+' as 5."""
    return pc.cast(pc.replace_substring(column.cast(pa.string()), "+", ""), pa.int64())


def timestamps(moments: Ints, known: Any) -> Any:
    return pa.array(moments, mask=~known).cast(pa.timestamp("s")).cast(pa.timestamp("us", tz="UTC"))


def ratio(part: Any, whole: Any, digits: int) -> Any:
    """Part over whole, rounded; null where the whole is zero."""
    none = whole == 0
    return pa.array(np.round(part / np.where(none, 1, whole), digits), mask=none)

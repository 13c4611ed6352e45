"""What the catalog's values and propensities are measured from, before a given moment.

value       what a redeeming household spent on the campaign's own products on the days it redeemed one of its coupons,
            averaged over the redeeming households. A campaign with fewer than five of them by then (or none, as it is
            still to come) takes the average over all redeeming households of its type.
propensity  of a type: households that redeemed over households contacted, over its campaigns that had run to their
            end. Campaigns that began before the first purchase are left out, as the data shows only a part of them.

The campaigns were not randomised: both are what was seen, not what the coupons caused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from examples.grocery.source import Ints, days, instant, local_day, local_days, read, seconds

FEWEST_REDEEMERS = 5
VISIT_DAYS = 100_000
LINE_COLUMNS = ["household_id", "product_id", "sales_value", "transaction_timestamp"]

Dollars = NDArray[np.float64]


@dataclass(frozen=True)
class Measure:
    """One campaign's numbers: value in dollars, propensity in 0..1."""

    campaign_type: str
    first_day: int
    value: float
    propensity: float


@dataclass(frozen=True)
class Campaign:
    """A campaign as known so far: days since 1970; what each redeeming household spent, in dollars."""

    campaign_type: str
    first_day: int
    last_day: int
    contacted: int
    spent: Sequence[float]


def measure(source: Path, as_of: datetime) -> dict[int, Measure]:
    """Every campaign that began after the first purchase, by number, measured on what was known before `as_of`.

    Raises ValueError where a type has no ended campaign or no redemption by then.
    """
    campaigns = observe(source, as_of)
    rates = {kind: redemption_rate(campaigns, kind, local_day(as_of)) for kind in kinds(campaigns)}
    typical = {kind: mean([s for c in of_kind(campaigns, kind) for s in c.spent]) for kind in rates}
    return {
        number: Measure(
            c.campaign_type,
            c.first_day,
            round(mean(c.spent) if len(c.spent) >= FEWEST_REDEEMERS else typical[c.campaign_type], 2),
            round(rates[c.campaign_type], 4),
        )
        for number, c in campaigns.items()
    }


def kinds(campaigns: Mapping[int, Campaign]) -> list[str]:
    return sorted({c.campaign_type for c in campaigns.values()})


def of_kind(campaigns: Mapping[int, Campaign], kind: str) -> list[Campaign]:
    return [c for c in campaigns.values() if c.campaign_type == kind]


def redemption_rate(campaigns: Mapping[int, Campaign], kind: str, today: int) -> float:
    over = [c for c in of_kind(campaigns, kind) if c.last_day < today]
    if not over:
        raise ValueError(f"too early to measure: no campaign of type {kind} has ended")
    return sum(len(c.spent) for c in over) / sum(c.contacted for c in over)


def mean(amounts: Sequence[float]) -> float:
    if not amounts:
        raise ValueError("too early to measure: nothing was redeemed")
    return sum(amounts) / len(amounts)


@dataclass(frozen=True)
class Redemptions:
    """What happened before the moment: coupons redeemed, and the purchase lines of such household-days."""

    campaign: Ints
    visit: Ints
    line_visit: Ints
    line_product: Ints
    line_sales: Dollars

    def spent(self, campaign: int, covered: Ints) -> list[float]:
        """Dollars on the covered products, per household that redeemed; zero where no line is of such a product."""
        visits = np.unique(self.visit[self.campaign == campaign])
        counted = np.isin(self.line_visit, visits) & np.isin(self.line_product, covered)
        households, row = np.unique(visits // VISIT_DAYS, return_inverse=True)
        by_visit = row[np.searchsorted(visits, self.line_visit[counted])]
        dollars = np.bincount(by_visit, weights=self.line_sales[counted], minlength=len(households))
        return [float(amount) for amount in dollars]


def observe(source: Path, as_of: datetime) -> dict[int, Campaign]:
    lines = read(source, "transactions", LINE_COLUMNS)
    opening = int(local_days(seconds(lines["transaction_timestamp"].slice(0, 1)))[0])
    redemptions = redeemed_before(source, lines, as_of)
    coupons = read(source, "coupons", ["campaign_id", "product_id"])
    coupon_campaign, coupon_product = coupons["campaign_id"].to_numpy(), coupons["product_id"].to_numpy()
    contacts = read(source, "campaigns", ["campaign_id"])["campaign_id"].to_numpy()
    described = read(source, "campaign_descriptions")
    rows = zip(
        described["campaign_id"].to_pylist(),
        described["campaign_type"].to_pylist(),
        days(described["start_date"]).tolist(),
        days(described["end_date"]).tolist(),
        strict=True,
    )
    return {
        number: Campaign(
            kind.removeprefix("Type "),
            begins,
            ends,
            int((contacts == number).sum()),
            redemptions.spent(number, coupon_product[coupon_campaign == number]),
        )
        for number, kind, begins, ends in rows
        if begins >= opening
    }


def redeemed_before(source: Path, lines: Any, as_of: datetime) -> Redemptions:
    table = read(source, "coupon_redemptions")
    redeemed_on = days(table["redemption_date"])
    known = redeemed_on < local_day(as_of)
    visit = visits(table["household_id"].to_numpy(), redeemed_on)[known]

    moment = seconds(lines["transaction_timestamp"])
    line_visit = visits(lines["household_id"].to_numpy(), local_days(moment))
    # Few lines lie on a redemption day; the campaigns look only at these.
    kept = (moment < instant(as_of)) & np.isin(line_visit, visit)
    return Redemptions(
        table["campaign_id"].to_numpy()[known],
        visit,
        line_visit[kept],
        lines["product_id"].to_numpy()[kept],
        lines["sales_value"].to_numpy()[kept],
    )


def visits(households: Ints, on_days: Ints) -> Ints:
    """One number for a household's day: the day takes the low digits."""
    return households * VISIT_DAYS + on_days

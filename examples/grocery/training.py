"""Writes the rows that the example's model learns from: one per contact of a household by a campaign.

python -m examples.grocery.training [--out .data/grocery/training/redemption.parquet]

A contact is made as its campaign begins, at midnight in the store's zone, and everything said of the household is its
profile at that moment, built by the same code as the profiles that are imported (profiles.py). The label says whether
the household redeemed a coupon of that campaign; it is known once the campaign's last day is over. Campaigns that began
before the first purchase are left out: nothing was known of anybody then.
"""

import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import typer

from examples.grocery.prepare import write_whole
from examples.grocery.profiles import build_profiles
from examples.grocery.source import STORE_ZONE, DataMissingError, days, find_source, local_day, read

DEFAULT_OUT = Path(".data/grocery/training/redemption.parquet")
INVENTED = ("email", "push_token", "consent:marketing", "consent:service")

command = typer.Typer(add_completion=False)


@command.command()
def training(
    out: Annotated[Path, typer.Option(help="The Parquet file to write; an existing one is replaced.")] = DEFAULT_OUT,
) -> None:
    """One row per past contact: who, when, by which campaign, what was known then, and what came of it."""
    try:
        source = find_source()
    except DataMissingError as missing:
        print(missing, file=sys.stderr)
        raise typer.Exit(1) from None
    rows = build_rows(source)
    write_whole(rows, out)
    print(f"{rows.num_rows:,} contacts, {pc.sum(rows['redeemed']).as_py():,} redeemed, in {out}")


def build_rows(source: Path) -> Any:
    """A pyarrow Table of every contact since the first purchase, in the order made, as `tino train` takes it."""
    campaigns = begun_since_the_first_purchase(source)
    starts = sorted({begins for _, begins, _ in campaigns.values()})
    return pa.concat_tables([rows_of_a_day(source, campaigns, day) for day in starts])


def begun_since_the_first_purchase(source: Path) -> dict[int, tuple[str, int, int]]:
    """Type ("a"), first and last day (since 1970) by the campaign's number."""
    first = pc.min(read(source, "transactions", ["transaction_timestamp"])["transaction_timestamp"]).as_py()
    opening = local_day(first.replace(tzinfo=UTC))
    described = read(source, "campaign_descriptions")
    rows = zip(
        described["campaign_id"].to_pylist(),
        described["campaign_type"].to_pylist(),
        days(described["start_date"]).tolist(),
        days(described["end_date"]).tolist(),
        strict=True,
    )
    return {
        number: (kind.removeprefix("Type ").lower(), begins, ends)
        for number, kind, begins, ends in rows
        if begins >= opening
    }


def rows_of_a_day(source: Path, campaigns: dict[int, tuple[str, int, int]], day: int) -> Any:
    """The contacts of the campaigns that began on `day`, by campaign and household."""
    at = midnight(day)
    profiles = build_profiles(source, at).drop_columns(list(INVENTED))
    parts = []
    for number, (kind, begins, ends) in sorted(campaigns.items()):
        if begins == day:
            contacted = households(source, "campaigns", number)
            of_them = profiles.filter(pc.is_in(profiles["customer_id"], pa.array(contacted)))
            redeemed = pc.is_in(of_them["customer_id"], pa.array(households(source, "coupon_redemptions", number)))
            parts.append(labelled(of_them, f"campaign-{number}", kind, at, midnight(ends + 1), redeemed))
    return pa.concat_tables(parts)


def labelled(profiles: Any, action: str, kind: str, at: datetime, known_at: datetime, redeemed: Any) -> Any:
    size = profiles.num_rows
    stamp = pa.timestamp("us", tz="UTC")
    columns = {
        "customer_id": profiles["customer_id"],
        "at": pa.array(np.full(size, at.astimezone(UTC)), stamp),
        "known_at": pa.array(np.full(size, known_at.astimezone(UTC)), stamp),
        "action": pa.array([action] * size, pa.string()),
        "group": pa.array([f"campaign-type-{kind}"] * size, pa.string()),
        "redeemed": redeemed,
    }
    attributes = {f"customer.{name}": profiles[name] for name in profiles.column_names if name != "customer_id"}
    return pa.table(columns | attributes)


def households(source: Path, table: str, campaign: int) -> list[str]:
    """Customer ids of the households that `table` names for the campaign."""
    rows = read(source, table, ["campaign_id", "household_id"])
    named = pc.unique(rows.filter(pc.equal(rows["campaign_id"], campaign))["household_id"])
    return [f"hh-{number}" for number in named.to_pylist()]


def midnight(day: int) -> datetime:
    """The instant at which the store's day, in days since 1970, begins."""
    return datetime.combine(date(1970, 1, 1) + timedelta(days=day), datetime.min.time(), STORE_ZONE)


if __name__ == "__main__":
    command()

"""Writes the rows that the example's model learns from: one per contact of a household by a campaign.

python -m examples.grocery.training [--out .data/grocery/training/redemption.parquet]

A contact is made as its campaign begins, at midnight in the store's zone. What is said of the household are the
catalog's aggregates at that moment, kept from what had happened before (history.py), and what is known of it for ever.
The label says whether the household redeemed a coupon of that campaign; it is known once the campaign's last day is
over. Campaigns that began before the first purchase are left out: nothing was known of anybody then.
"""

import sys
from collections.abc import Mapping
from datetime import UTC
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
import typer

from catalog.building import build_plan
from catalog.loading import load_catalog
from catalog.series import Aggregates
from examples.grocery.events import STAMP, midnight_of
from examples.grocery.history import all_events, at_moments
from examples.grocery.households import households
from examples.grocery.prepare import write_whole
from examples.grocery.source import DataMissingError, days, find_source, local_day, read
from rules.types import AttributeType

CATALOG = Path(__file__).parent
DEFAULT_OUT = Path(".data/grocery/training/redemption.parquet")
INVENTED = ("email", "push_token", "consent:marketing", "consent:service")
ARROW = {
    AttributeType.STRING: pa.string(),
    AttributeType.INT: pa.int64(),
    AttributeType.DOUBLE: pa.float64(),
    AttributeType.STRING_LIST: pa.list_(pa.string()),
}

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
    aggregates = build_plan(load_catalog(CATALOG, trained=False)).aggregates
    rows = build_rows(source, aggregates, all_events(source))
    write_whole(rows, out)
    print(f"{rows.num_rows:,} contacts, {pc.sum(rows['redeemed']).as_py():,} redeemed, in {out}")


def build_rows(source: Path, aggregates: Aggregates, events: Any) -> Any:
    """A pyarrow Table of every contact since the first purchase, in the order made, as `tino train` takes it."""
    made = contacts(source)
    of_all = households(source).drop_columns(list(INVENTED))
    known = of_all.take(pc.index_in(made["customer_id"], of_all["customer_id"].combine_chunks())).drop_columns(
        "customer_id"
    )
    then = figures(aggregates, events, made)
    return pa.table(
        dict(zip(made.column_names, made.columns, strict=True))
        | {f"customer.{name}": known[name] for name in known.column_names}
        | {f"customer.{name}": column for name, column in then.items()}
    )


def contacts(source: Path) -> Any:
    """Who was contacted when by which campaign, when it was known what came of it, and what did."""
    rows: list[dict[str, Any]] = []
    for number, (kind, begins, ends) in sorted(begun_since_the_first_purchase(source).items()):
        redeemed = set(named(source, "coupon_redemptions", number))
        rows += (
            {
                "customer_id": f"hh-{household}",
                "at": begins,
                "known_at": ends,
                "action": f"campaign-{number}",
                "group": f"campaign-type-{kind}",
                "redeemed": household in redeemed,
            }
            for household in sorted(named(source, "campaigns", number))
        )
    moments = {name: pa.array([row[name] for row in rows], pa.int64()).cast(STAMP) for name in ("at", "known_at")}
    return pa.table({name: moments.get(name, [row[name] for row in rows]) for name in rows[0]}).sort_by(
        [("at", "ascending"), ("action", "ascending")]
    )


def begun_since_the_first_purchase(source: Path) -> Mapping[int, tuple[str, int, int]]:
    """Type ("a"), first moment and the one that follows the last (microseconds since 1970) by the campaign's number."""
    first = pc.min(read(source, "transactions", ["transaction_timestamp"])["transaction_timestamp"]).as_py()
    opening = local_day(first.replace(tzinfo=UTC))
    described = read(source, "campaign_descriptions")
    begins, ends = days(described["start_date"]), days(described["end_date"])
    rows = zip(
        described["campaign_id"].to_pylist(),
        described["campaign_type"].to_pylist(),
        begins.tolist(),
        (midnight_of(begins) * 1_000_000).tolist(),
        (midnight_of(ends + 1) * 1_000_000).tolist(),
        strict=True,
    )
    return {
        number: (kind.removeprefix("Type ").lower(), start, end)
        for number, kind, day, start, end in rows
        if day >= opening
    }


def named(source: Path, table: str, campaign: int) -> list[int]:
    """The households that `table` names for the campaign."""
    rows = read(source, table, ["campaign_id", "household_id"])
    found: list[int] = pc.unique(rows.filter(pc.equal(rows["campaign_id"], campaign))["household_id"]).to_pylist()
    return found


def figures(aggregates: Aggregates, events: Any, made: Any) -> dict[str, Any]:
    """A column for each aggregate, of the moments at which the contacts were made."""
    asked = list(zip(made["customer_id"].to_pylist(), made["at"].cast(pa.int64()).to_pylist(), strict=True))
    moments: dict[str, list[int]] = {}
    for customer_id, at in asked:
        moments.setdefault(customer_id, []).append(at)
    known = {(customer_id, at): values for customer_id, at, values in at_moments(aggregates, events, moments)}
    return {
        name: pa.array([known[contact].get(name) for contact in asked], ARROW[kind])
        for name, kind in aggregates.types.items()
    }


if __name__ == "__main__":
    command()

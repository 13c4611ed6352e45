"""Invented customers of a software company and what they did, as JSON Lines that `tino import` takes.

    python examples/customer-success/generate.py --customers 1000 --seed 7 --out made

writes `made/customers.jsonl` and `made/events.jsonl`. The same seed gives the same, and more customers begin with those
of fewer. All times lie around `--as-of` (default 2026-06-01T09:00Z): days since, trends and terms are those of that
moment.

How much a customer makes of the product is one number from 0 to 1; logins, features, projects, tickets and survey
answers all follow from it with some noise, so that the groups the catalog looks for are there and overlap.
"""

import argparse
import json
import random
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

AS_OF = datetime(2026, 6, 1, 9, tzinfo=UTC)
YEAR = 365
PAST_THE_HOUR = 30  # so that nobody gets a day older within minutes of a run that starts on the hour


class Market(NamedTuple):
    """Where customers are; some of them say so only by their time zone."""

    locale: str
    timezone: str
    names: tuple[str, ...]


MARKETS = (
    Market("es-MX", "America/Mexico_City", ("María", "José", "Guadalupe", "Luis", "Fernanda")),
    Market("es-ES", "Europe/Madrid", ("Lucía", "Hugo", "Carmen", "Álvaro", "Nerea")),
    Market("en-US", "America/Chicago", ("Emma", "Noah", "Olivia", "James", "Ava")),
    Market("en-GB", "Europe/London", ("Amelia", "George", "Isla", "Arthur", "Freya")),
)
PLANS = ("free", "team", "business")
Row = dict[str, Any]
Done = tuple[int, str, Row]  # how many days ago, the type of the event, its properties
FEATURES = ("reports", "automations", "integrations")
COMPANIES = ("Norte", "Faro", "Lumen", "Harbour", "Cobalt", "Alameda", "Finch", "Roble")
TRADES = ("Studio", "Logistics", "Foods", "Clinic", "Legal", "Books")


class Made(NamedTuple):
    """A row of the catalog's attributes and consents, where a key that is not there is not known; and events."""

    row: Row
    events: list[Row]


def customers(count: int, seed: int, as_of: datetime = AS_OF) -> Iterator[Made]:
    for number in range(1, count + 1):
        # A source of its own for each, so that a change in one customer changes no other.
        yield _customer(number, random.Random(f"{seed}/{number}"), as_of)


def _customer(number: int, draw: random.Random, as_of: datetime) -> Made:
    days = int(draw.expovariate(1 / 400)) % 2000
    engaged = draw.betavariate(2.2, 1.3)
    row: Row = {"customer_id": f"cs-{number}"}
    row |= _person(number, draw)
    row |= _account(number, days, draw, as_of)
    row |= _consents(draw)
    done = [*_logins(days, engaged, draw), *_use(min(days, 1000), engaged, draw), *_talk(days, engaged, draw)]
    return Made(row, list(_events(number, done, draw, as_of)))


def _person(number: int, draw: random.Random) -> Row:
    market = draw.choices(MARKETS, (4, 2, 3, 1))[0]
    person: Row = {
        "first_name": draw.choice(market.names),
        "email": f"customer-{number}@example.com",
        "timezone": market.timezone,
        "account_manager": f"manager-{draw.randint(1, 9)}@example.com",
    }
    if draw.random() < 0.9:
        person["locale"] = market.locale
    if draw.random() < 0.5:
        person["phone"] = f"+1555{number:07d}"
    return person


def _account(number: int, days: int, draw: random.Random, as_of: datetime) -> Row:
    signed_up = as_of - timedelta(days=days, hours=draw.randint(0, 23), minutes=PAST_THE_HOUR)
    plan = draw.choices(PLANS, (3, 5, 2))[0]
    account: Row = {
        "company": f"{draw.choice(COMPANIES)} {draw.choice(TRADES)}",
        "plan": plan,
        "signed_up": _text(signed_up),
        "seats": {"free": 3, "team": 10, "business": 50}[plan],
    }
    account["seats_used"] = draw.randint(1, account["seats"])
    if plan != "free":
        term = days // YEAR + 1
        account["contract_id"] = f"cs-{number}-{term}"
        account["renewal_date"] = _text(signed_up + timedelta(days=term * YEAR))
    return account


def _logins(days: int, engaged: float, draw: random.Random) -> Iterator[Done]:
    """Of the last sixty days: at most one a day, more of them the more engaged, none in the days idle."""
    idle = min(days, int(draw.expovariate(1 / (1 + 40 * (1 - engaged) ** 3))))
    before = 0.9 * max(0.1, engaged - 0.2)
    lately = max(0.05, before * (1 + draw.gauss(0.4 * engaged - 0.2, 0.25)))
    for ago in range(idle, min(days, 60)):
        if ago == idle or draw.random() < (lately if ago < 30 else before):
            yield ago, "login", {}


def _use(days: int, engaged: float, draw: random.Random) -> Iterator[Done]:
    for name in FEATURES:
        if draw.random() < engaged * min(1.0, days / 120):
            yield draw.randrange(days), "feature", {"name": name}
    for _ in range(int(days * engaged * draw.uniform(0.02, 0.12))):
        yield draw.randrange(days), "project", {"hours_saved": round(10 * engaged * draw.random(), 1)}


def _talk(days: int, engaged: float, draw: random.Random) -> Iterator[Done]:
    """Tickets of the last six days, and answers to the survey."""
    for ago in range(min(days, 6)):
        if draw.random() < 0.25 * (1 - engaged):
            yield ago, "ticket", {"urgent": draw.random() < 0.5}
    if days > 60 and draw.random() < 0.4:
        yield draw.randint(0, 60), "nps", {"score": max(0, min(10, round(draw.gauss(3 + 7 * engaged, 1.5))))}


def _events(number: int, done: Iterable[Done], draw: random.Random, as_of: datetime) -> Iterator[Row]:
    """As `POST /events` takes them, oldest first."""
    told = [
        (as_of - timedelta(days=ago, hours=draw.randint(0, 23), minutes=PAST_THE_HOUR), kind, properties)
        for ago, kind, properties in done
    ]
    for count, (at, kind, properties) in enumerate(sorted(told, key=lambda each: each[0]), 1):
        event = {"id": f"cs-{number}-{count}", "customer_id": f"cs-{number}", "type": kind, "at": _text(at)}
        yield {**event, "properties": properties} if properties else event


def _consents(draw: random.Random) -> dict[str, bool]:
    """Absent means never asked."""
    asked = {"consent:service": (0.97, 0.99), "consent:marketing": (0.85, 0.8)}
    return {name: draw.random() < yes for name, (share, yes) in asked.items() if draw.random() < share}


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def main() -> None:
    parser = argparse.ArgumentParser(description="Invented customers for the customer-success example.")
    parser.add_argument("--customers", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, required=True, help="a folder, made where it is not there")
    parser.add_argument("--as-of", type=datetime.fromisoformat, default=AS_OF, help="UTC, where it names no zone")
    given = parser.parse_args()
    as_of = given.as_of if given.as_of.tzinfo else given.as_of.replace(tzinfo=UTC)
    made = list(customers(given.customers, given.seed, as_of))
    given.out.mkdir(parents=True, exist_ok=True)
    write(given.out / "customers.jsonl", (each.row for each in made))
    write(given.out / "events.jsonl", (event for each in made for event in each.events))


def write(path: Path, rows: Iterable[Row]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


if __name__ == "__main__":
    main()

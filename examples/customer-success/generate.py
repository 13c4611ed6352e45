"""Invented customers of a software company, as JSON Lines that `tino import customers` takes.

    python examples/customer-success/generate.py --customers 1000 --seed 7 --out customers.jsonl

The same seed gives the same customers, and more of them begin with those of fewer. All times lie around `--as-of`
(default 2026-06-01T09:00Z): days since, trends and terms are those of that moment.

How much a customer makes of the product is one number from 0 to 1; health, idle days, usage, features, projects and
survey answers all follow from it with some noise, so that the groups the catalog looks for are there and overlap.
"""

import argparse
import json
import random
from collections.abc import Iterator
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
FEATURES = ("reports", "automations", "integrations")
COMPANIES = ("Norte", "Faro", "Lumen", "Harbour", "Cobalt", "Alameda", "Finch", "Roble")
TRADES = ("Studio", "Logistics", "Foods", "Clinic", "Legal", "Books")


def customers(count: int, seed: int, as_of: datetime = AS_OF) -> Iterator[dict[str, Any]]:
    """Rows of the catalog's attributes and consents; a key that is not there is not known."""
    for number in range(1, count + 1):
        # A source of its own for each, so that a change in one customer changes no other.
        yield _customer(number, random.Random(f"{seed}/{number}"), as_of)


def _customer(number: int, draw: random.Random, as_of: datetime) -> dict[str, Any]:
    days = int(draw.expovariate(1 / 400)) % 2000
    engaged = draw.betavariate(2.2, 1.3)
    row: dict[str, Any] = {"customer_id": f"cs-{number}"}
    row |= _person(number, draw)
    row |= _account(number, days, draw, as_of)
    row |= _use(min(days, 1000), engaged, draw)
    row |= _survey(engaged, draw, as_of) if days > 60 and draw.random() < 0.4 else {}
    row |= _consents(draw)
    return row


def _person(number: int, draw: random.Random) -> dict[str, Any]:
    market = draw.choices(MARKETS, (4, 2, 3, 1))[0]
    person: dict[str, Any] = {
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


def _account(number: int, days: int, draw: random.Random, as_of: datetime) -> dict[str, Any]:
    signed_up = as_of - timedelta(days=days, hours=draw.randint(0, 23), minutes=PAST_THE_HOUR)
    plan = draw.choices(PLANS, (3, 5, 2))[0]
    account: dict[str, Any] = {
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


def _use(days: int, engaged: float, draw: random.Random) -> dict[str, Any]:
    idle = min(days, int(draw.expovariate(1 / (1 + 40 * (1 - engaged) ** 3))))
    return {
        "health_score": round(max(0.0, min(100.0, draw.gauss(25 + 70 * engaged, 8))), 1),
        "features_tried": [name for name in FEATURES if draw.random() < engaged * min(1.0, days / 120)],
        "projects_done": int(days * engaged * draw.uniform(0.02, 0.12)),
        "hours_saved": round(30 * engaged * draw.random() * min(1.0, days / 30), 1),
        "idle_days": idle,
        "usage_change": round(max(-100.0, draw.gauss(20 * engaged - 10, 25) - 2 * idle), 1),
    }


def _survey(engaged: float, draw: random.Random, as_of: datetime) -> dict[str, Any]:
    answered = as_of - timedelta(days=draw.randint(0, 60), hours=draw.randint(0, 23), minutes=PAST_THE_HOUR)
    return {"nps": max(0, min(10, round(draw.gauss(3 + 7 * engaged, 1.5)))), "nps_at": _text(answered)}


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
    parser.add_argument("--out", type=Path, required=True, help="a file that ends in .jsonl")
    parser.add_argument("--as-of", type=datetime.fromisoformat, default=AS_OF, help="UTC, where it names no zone")
    given = parser.parse_args()
    as_of = given.as_of if given.as_of.tzinfo else given.as_of.replace(tzinfo=UTC)
    with given.out.open("w", encoding="utf-8") as file:
        for row in customers(given.customers, given.seed, as_of):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()

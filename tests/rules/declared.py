"""The attributes that the random rules of these tests may name, and random customers that have some of them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from rules.checking import Environment
from rules.types import AttributeType

STRING, INT, DOUBLE = AttributeType.STRING, AttributeType.INT, AttributeType.DOUBLE
BOOL, TIMESTAMP, STRING_LIST = AttributeType.BOOL, AttributeType.TIMESTAMP, AttributeType.STRING_LIST

CUSTOMER = {
    "level": INT,
    "plan": INT,  # tested for equality only
    "visits": INT,
    "points": INT,
    "score": DOUBLE,
    "spent": DOUBLE,
    "budget": DOUBLE,
    "tier": STRING,
    "name": STRING,
    "vip": BOOL,
    "since": TIMESTAMP,
    "renewal": TIMESTAMP,
    "segments": STRING_LIST,
}
CONTEXT = {"page": STRING, "cart": INT, "ratio": DOUBLE}
DERIVED = {
    "days_left": "days_until(customer.renewal)",
    "ratio": "customer.spent / customer.budget",
    "gained": "customer.visits - customer.points",
    "remaining": "customer.renewal - now",
    "loyal": 'customer.visits > 3 && customer.segments.exists(s, s == "gold")',
}
DERIVED_READS = {
    "days_left": {"renewal"},
    "ratio": {"spent", "budget"},
    "gained": {"visits", "points"},
    "remaining": {"renewal"},
    "loyal": {"visits", "segments"},
}

NOW = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)  # half an hour before Madrid's clocks go forward
EDGES = [2**63 - 1, -(2**63), 2**62, 3037000500]
INTS = [-7, -1, 0, 1, 2, 3, 4, 7, 10, 11]
DOUBLES = [-2.0, -0.0, 0.0, 0.5, 1.0, 2.0, 2.5, 3.0, 10.0]
TIERS = ["free", "gold", "silver", "", "Ünï😀"]
NAMES = ["", "Ana", "Ana María", "ana", "日本😀", "a.b", "Ann\u0061\u0301"]
SEGMENTS = ["gold", "new", "vip", "ñu"]
PAGES = ["home", "pricing", "feed"]
MOMENTS = [NOW + timedelta(seconds=each) for each in (-3e7, -90000, -86400, -1, 0, 1, 3600, 86399, 86400, 172800, 3e6)]
ZONES = ["UTC", "Europe/Madrid", "America/Mexico_City", "Asia/Kathmandu", "Pacific/Kiritimati"]

# Only of attributes that rules compare directly: see rules/tables.py on values of another type than declared.
FOREIGN: dict[str, list[Any]] = {
    "level": [True, False, "1"],
    "plan": [True, False],
    "score": [True, "0.5"],
    "tier": [True, 1],
    "since": ["2026-01-01T00:00:00Z", 1],
    "page": [1.0, False],
}


@dataclass(frozen=True)
class Case:
    """One customer in one request. `zone` None means that the customer's zone is unknown."""

    customer: dict[str, Any]
    context: dict[str, Any]
    now: datetime
    zone: tzinfo | None


def environment() -> Environment:
    made = Environment(CUSTOMER, CONTEXT)
    for name, source in DERIVED.items():
        made.derive(name, source)
    return made


def random_case(random: Random, missing: float = 0.12, foreign: float = 0.2) -> Case:
    """Each attribute is missing, or of another type than declared, with the given probabilities."""
    values: dict[str, Any] = {
        "level": random.choice(INTS),
        "plan": random.choice([0, 1, 2]),
        "visits": random.choice(INTS * 2 + EDGES),
        "points": random.choice(INTS * 2 + EDGES),
        "score": random.choice([*DOUBLES, 1e300]),
        "spent": random.choice([*DOUBLES, 0.0, 0.0, 1e300]),
        "budget": random.choice([*DOUBLES, 0.0, 0.0, 1e-300]),
        "tier": random.choice(TIERS),
        "name": random.choice(NAMES),
        "vip": random.random() < 0.5,
        "since": random.choice(MOMENTS),
        "renewal": random.choice(MOMENTS) + timedelta(microseconds=random.choice([0, 0, 1, -1])),
        "segments": random.sample(SEGMENTS, random.randrange(4)),
        "page": random.choice(PAGES),
        "cart": random.choice(INTS),
        "context.ratio": random.choice(DOUBLES),
    }
    for name in list(values):
        if random.random() < missing:
            del values[name]
        elif name in FOREIGN and random.random() < foreign:
            values[name] = random.choice(FOREIGN[name])
    context: dict[str, Any] = {name: values.pop(name) for name in ("page", "cart") if name in values}
    if "context.ratio" in values:
        context["ratio"] = values.pop("context.ratio")
    moment = NOW + timedelta(microseconds=random.choice([0, 0, 1, 3_600_000_000, 86_399_999_999]))
    zone = None if random.random() < missing else ZoneInfo(random.choice(ZONES))
    return Case(values, context, moment, zone)

"""Generated catalogs of any size, the same for the same seed: what a large retailer's might look like."""

import random
from collections.abc import Callable
from pathlib import Path

import orjson

CHANNELS = ("in_app", "email", "push")
TIERS = ("free", "basic", "plus", "gold", "partner")
PAGES = ("home", "pricing", "cart", "search", "account", "help")
REGIONS = tuple(f"r{number}" for number in range(20))
SEGMENTS = tuple(f"s{number}" for number in range(12))


def rule(rng: random.Random) -> str:
    """Two to four conditions over seven terms; roughly one in six such rules holds for a given customer."""
    conditions: tuple[Callable[[], str], ...] = (
        lambda: f'customer.tier in ["{rng.choice(TIERS)}", "{rng.choice(TIERS)}", "{rng.choice(TIERS)}"]',
        lambda: f"customer.health_score >= {rng.randrange(5, 75, 5)}",
        lambda: f"customer.orders_90d < {rng.randrange(3, 60)}",
        lambda: f'customer.region != "{rng.choice(REGIONS)}"',
        lambda: f'"{rng.choice(SEGMENTS)}" in customer.segments || customer.spend_90d > {rng.randrange(20, 300)}.5',
        lambda: _band(rng),
        lambda: f'context.page == "{rng.choice(PAGES)}" || !(customer.opted_out_of_tips)',
    )
    return " && ".join(f"({make()})" for make in rng.sample(conditions, rng.randint(2, 4)))


def _band(rng: random.Random) -> str:
    low = rng.randrange(0, 60)
    return f"in_band(customer.days_to_renewal, {low}, {low + rng.randrange(10, 90)})"


def catalog(actions: int, seed: int = 7) -> dict[str, object]:
    """A catalog of that many actions, each on one to three channels, with consent, contact policies and weights."""
    rng = random.Random(seed)
    return {
        "catalog": 1,
        "name": f"generated-{actions}",
        "customer": {
            "first_name": "string",
            "email": "string",
            "push_token": "string",
            "tier": "string",
            "region": "string",
            "health_score": "double",
            "orders_90d": "int",
            "spend_90d": "double",
            "opted_out_of_tips": "bool",
            "renewal_date": "timestamp",
            "segments": "list<string>",
        },
        "derived": {"days_to_renewal": "days_until(customer.renewal_date)"},
        "context": {"page": "string", "device": "string"},
        "purposes": ["marketing"],
        "channels": {
            "in_app": {"direction": "inbound", "placements": ["home-banner", "feed"]},
            "email": {"direction": "outbound", "purpose": "marketing", "address": "customer.email"},
            "push": {"direction": "outbound", "purpose": "marketing", "address": "customer.push_token"},
        },
        "actions": {f"action-{number}": _action(rng, number) for number in range(actions)},
        "contact_policies": {
            "daily": {"limit": 100_000, "rolling": "1d", "scope": {"direction": "inbound"}},
            "weekly-email": {"limit": 3, "rolling": "7d", "scope": {"channel": "email"}},
            "monthly-group": {"limit": 50_000, "rolling": "30d", "scope": {"group": "g1"}},
        },
    }


def _action(rng: random.Random, number: int) -> dict[str, object]:
    channels = ["in_app", *rng.sample(CHANNELS[1:], rng.randint(0, 2))]
    action: dict[str, object] = {
        "group": f"g{number % 10}",
        "eligible": rule(rng),
        "value": rng.randrange(1, 500),
        "lever": rng.randrange(-20, 40),
        "propensity": round(rng.uniform(0.005, 0.4), 4),
        "treatments": {
            channel: {"title": f"Offer {number}", "body": "Hello {{ customer.first_name }}, take a look."}
            for channel in channels
        },
    }
    if number % 3 == 0:
        action["suitable"] = f"customer.health_score < {rng.randrange(60, 100)}"
    if number % 5 == 0:
        action["context_weights"] = {"page": {"when": f'context.page == "{rng.choice(PAGES)}"', "percent": 15}}
    return action


def customer(rng: random.Random) -> dict[str, object]:
    """The attributes of one customer, as JSON."""
    return {
        "first_name": f"Name{rng.randrange(1000)}",
        "email": f"c{rng.randrange(10**6)}@example.com",
        "push_token": f"token-{rng.randrange(10**6)}",
        "tier": rng.choice(TIERS),
        "region": rng.choice(REGIONS),
        "health_score": rng.uniform(0, 100),
        "orders_90d": rng.randrange(80),
        "spend_90d": rng.uniform(0, 400),
        "opted_out_of_tips": rng.random() < 0.2,
        "renewal_date": f"2027-{rng.randrange(1, 13):02}-{rng.randrange(1, 28):02}T00:00:00Z",
        "segments": rng.sample(SEGMENTS, 3),
    }


def write(path: Path, actions: int, customers: int, seed: int = 7) -> None:
    """`path`/catalog.yaml (JSON is YAML 1.2) and `path`/customers.jsonl."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "catalog.yaml").write_bytes(orjson.dumps(catalog(actions, seed), option=orjson.OPT_INDENT_2))
    rng = random.Random(seed)
    with (path / "customers.jsonl").open("wb") as file:
        for number in range(customers):
            row = {"customer_id": f"c{number}", "consent:marketing": rng.random() < 0.7, **customer(rng)}
            file.write(orjson.dumps(row) + b"\n")

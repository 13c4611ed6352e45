"""How matching grows with the number of rules: run as a module, prints JSON with microseconds per match."""

import json
import random
import statistics
import sys
import time
from datetime import UTC, datetime

from bench.catalogs import catalog, customer, rule
from rules.checking import Environment
from rules.index import Index
from rules.programs import Frame
from rules.types import AttributeType, coerce

NOW = datetime(2026, 11, 1, tzinfo=UTC)
CUSTOMERS = 500
ROUNDS = 7


def microseconds_per_match(index: Index, customers: list[dict[str, object]]) -> float:
    """The median over rounds; every match starts from a frame of its own, as a decision does."""
    rounds = []
    for _ in range(ROUNDS):
        frames = [Frame(attributes, {"page": "home"}, NOW) for attributes in customers]
        started = time.perf_counter()
        for frame in frames:
            index.match(frame)
        rounds.append((time.perf_counter() - started) / len(frames) * 1e6)
    return statistics.median(rounds)


def main() -> None:
    declared = catalog(1)["customer"]
    assert isinstance(declared, dict)
    kinds = {name: AttributeType(kind) for name, kind in declared.items()}
    environment = Environment(kinds, {"page": AttributeType.STRING})
    environment.derive("days_to_renewal", "days_until(customer.renewal_date)")
    rng = random.Random(3)
    rows = [customer(rng) for _ in range(CUSTOMERS)]
    customers: list[dict[str, object]] = [{name: coerce(kinds[name], row[name]) for name in row} for row in rows]
    indexes = {count: Index([environment.check(rule(rng)) for _ in range(count)]) for count in map(int, sys.argv[1:])}
    print(json.dumps({count: microseconds_per_match(index, customers) for count, index in indexes.items()}))


if __name__ == "__main__":
    main()

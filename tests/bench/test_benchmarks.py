"""What is measured is run here once: every case of tests/cases, and matching at two sizes.

`make bench` runs these with timing on; here they only have to work.
"""

from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.catalogs import catalog, customer, rule
from rules.checking import Environment
from rules.index import Index
from rules.programs import Frame
from rules.types import AttributeType, coerce
from tests.decision.cases import FOLDERS, read_case

NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_decide(benchmark: BenchmarkFixture, folder: Path) -> None:
    case = read_case(folder)
    assert benchmark(case.decide) == case.decide()


@pytest.mark.parametrize("count", [100, 1_000])
def test_match(benchmark: BenchmarkFixture, count: int) -> None:
    declared = catalog(1)["customer"]
    assert isinstance(declared, dict)
    kinds = {name: AttributeType(kind) for name, kind in declared.items()}
    environment = Environment(kinds, {"page": AttributeType.STRING})
    environment.derive("days_to_renewal", "days_until(customer.renewal_date)")
    rng = Random(5)
    row = customer(rng)
    attributes = {name: coerce(kinds[name], row[name]) for name in row}
    rules = [environment.check(rule(rng)) for _ in range(count)]
    index = Index(rules)
    matched = benchmark(lambda: index.match(Frame(attributes, {"page": "home"}, NOW)))
    alone = [Index([one]).match(Frame(attributes, {"page": "home"}, NOW)) for one in rules]
    assert matched == sum(bit << place for place, bit in enumerate(alone))
    assert 0 < matched.bit_count() < count

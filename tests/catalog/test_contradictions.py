"""Gates that nobody can pass together."""

import pytest

from catalog.contradictions import contradictory
from rules.checking import Environment
from rules.types import AttributeType

TYPES = {
    "score": AttributeType.DOUBLE,
    "seats": AttributeType.INT,
    "tier": AttributeType.STRING,
    "ends": AttributeType.TIMESTAMP,
}


def _trees(gates: list[str]) -> bool:
    environment = Environment(TYPES, {})
    environment.derive("days_left", "days_until(customer.ends)")
    return contradictory(environment.check(gate).tree for gate in gates)


@pytest.mark.parametrize(
    "gates",
    [
        ["customer.score > 5", "customer.score < 3"],
        ["customer.score > 3 && customer.score <= 3"],
        ["customer.tier == 'a' && customer.tier in ['b', 'c']"],
        ["customer.tier == 'a'", "'b' == customer.tier"],
        ["in_band(customer.days_left, 14, 30)", "customer.days_left > 30"],
        ["days_until(customer.ends) <= 14", "in_band(customer.days_left, 14, 30)"],
        ["3 < customer.seats", "customer.seats == 3"],
        ['contacted("a", duration("24h")) && !contacted("a", duration("72h"))'],
        ['contacted("a", duration("24h"))', '!contacted("a", duration("24h"))'],
        ['contacted("a", duration("24h")) && since_contact("a") > duration("24h")'],
        ['!contacted("a", duration("24h")) && since_contact("a") < duration("24h")'],
    ],
)
def test_impossible(gates: list[str]) -> None:
    assert _trees(gates)


@pytest.mark.parametrize(
    "gates",
    [
        ["customer.score > 5", "customer.score < 6"],
        ["customer.score >= 3 && customer.score <= 3"],
        ["customer.tier in ['a', 'c']", "customer.tier in ['c']"],
        ["in_band(customer.days_left, 14, 30)", "customer.days_left >= 30"],
        ["customer.score > 5 || customer.score < 3"],
        ["customer.seats > 5", "customer.score < 3"],
        ['contacted("a", duration("72h")) && !contacted("a", duration("24h"))'],
        ['contacted("a", duration("24h")) && !contacted("b", duration("72h"))'],
        ['!contacted("a", duration("24h")) && since_contact("a") <= duration("24h")'],
        ['contacted("a", duration("72h")) && since_contact("a") > duration("24h")'],
        ["customer.tier != 'a'", "customer.tier == 'a' || customer.seats == 1"],
    ],
)
def test_possible(gates: list[str]) -> None:
    assert not _trees(gates)

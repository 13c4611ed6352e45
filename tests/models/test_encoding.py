"""What each type becomes: numbers kept in range, categories with columns for the unknown and the missing."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models.encoding import LARGEST, Encoding, Feature, encoder_of
from rules.types import AttributeType

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def number(kind: AttributeType = AttributeType.DOUBLE, **options: Any) -> Feature:
    return Feature("customer", "x", kind, Encoding.NUMBER, **options)


def encoded(feature: Feature, value: Any) -> tuple[float, ...]:
    columns = encoder_of(feature)(value, NOW)
    assert len(columns) == len(feature.columns)
    return columns


@pytest.mark.parametrize(
    ("feature", "value", "columns"),
    [
        (number(), 2.5, (2.5,)),
        (number(AttributeType.INT), -3, (-3.0,)),
        (number(AttributeType.BOOL), True, (1.0,)),
        (number(fill=7.0), None, (7.0,)),
        (number(fill=7.0), math.nan, (7.0,)),
        (number(fill=7.0, flag=True), None, (7.0, 1.0)),
        (number(fill=7.0, flag=True), 1.0, (1.0, 0.0)),
        (number(log=True), math.e - 1, (1.0,)),
        (number(log=True), 1 - math.e, (-1.0,)),
        (number(log=True, fill=math.e - 1), None, (1.0,)),
        (number(least=1.0, most=5.0), -9.0, (1.0,)),
        (number(least=1.0, most=5.0), math.inf, (5.0,)),
        (number(least=1.0, most=5.0, fill=6.0), None, (5.0,)),
        (number(AttributeType.INT), 2**62, (LARGEST,)),
        (number(), -1e300, (-LARGEST,)),
    ],
)
def test_numbers(feature: Feature, value: Any, columns: tuple[float, ...]) -> None:
    assert encoded(feature, value) == pytest.approx(columns)


def test_a_missing_number_without_a_fill_is_nan() -> None:
    (value,) = encoded(number(), None)
    assert math.isnan(value)


def test_a_moment_is_days_ago() -> None:
    since = Feature("customer", "since", AttributeType.TIMESTAMP, Encoding.DAYS_AGO, fill=30.0, flag=True)
    assert encoded(since, NOW - timedelta(hours=36)) == (1.5, 0.0)
    assert encoded(since, NOW + timedelta(days=2)) == (-2.0, 0.0)
    assert encoded(since, None) == (30.0, 1.0)


def test_categories_unseen_and_missing() -> None:
    tier = Feature("customer", "tier", AttributeType.STRING, Encoding.ONE_OF, categories=("free", "pro"))
    assert tier.columns == ("customer.tier free", "customer.tier pro", "customer.tier other", "customer.tier missing")
    assert encoded(tier, "pro") == (0, 1, 0, 0)
    assert encoded(tier, "Pro") == (0, 0, 1, 0)
    assert encoded(tier, None) == (0, 0, 0, 1)


def test_lists_of_categories() -> None:
    segments = Feature("customer", "segments", AttributeType.STRING_LIST, Encoding.SOME_OF, categories=("a", "b"))
    assert encoded(segments, ["b", "a", "b"]) == (1, 1, 0, 0)
    assert encoded(segments, ["c", "b"]) == (0, 1, 1, 0)
    assert encoded(segments, []) == (0, 0, 0, 0)
    assert encoded(segments, None) == (0, 0, 0, 1)

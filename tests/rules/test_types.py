"""Which JSON values become values of a declared type."""

import math
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from catalog.plan import customer_zone
from rules.types import AttributeType, coerce, fitted, valid_zone

MOMENT = datetime(2026, 1, 31, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [
        ("string", "", ""),
        ("int", -(2**63), -(2**63)),
        ("int", 2**63 - 1, 2**63 - 1),
        ("double", 5, 5.0),
        ("double", 2.5, 2.5),
        ("double", -0.0, -0.0),
        ("bool", False, False),
        ("timestamp", "2026-01-31T09:00:00Z", MOMENT),
        ("timestamp", "2026-01-31T03:00:00-06:00", MOMENT),
        ("timestamp", datetime(2026, 1, 31, 11, tzinfo=timezone(timedelta(hours=2))), MOMENT),
        ("timestamp", "2026-01-31T09:00:00.123456Z", MOMENT.replace(microsecond=123456)),
        ("list<string>", [], []),
        ("list<string>", ["a", "b"], ["a", "b"]),
        ("string", "x" * 10_000, "x" * 10_000),
        ("list<string>", ["x"] * 1_000, ["x"] * 1_000),
    ],
)
def test_accepted(kind: str, raw: Any, value: Any) -> None:
    found = coerce(AttributeType(kind), raw)
    assert found == value
    assert fitted(AttributeType(kind), found) is found
    if isinstance(found, datetime):
        assert found.tzinfo is UTC


def test_what_was_stored_under_another_type_fits_where_integers_widen() -> None:
    assert repr(fitted(AttributeType.DOUBLE, 3)) == "3.0"
    for kind, stored in (("int", 3.0), ("double", True), ("int", True), ("string", 3), ("double", "3"), ("bool", 1)):
        assert fitted(AttributeType(kind), stored) is None


@pytest.mark.parametrize(
    ("kind", "raw", "expected"),
    [
        *[(kind, None, "expected") for kind in AttributeType],
        ("string", 1, "a string"),
        *[("int", raw, "a whole number") for raw in (True, 1.0, "1", 2**63, -(2**63) - 1)],
        *[("double", raw, "a finite number") for raw in (True, "1", math.nan, math.inf, -math.inf, 10**400)],
        *[("bool", raw, "true or false") for raw in (1, 0, "true")],
        *[
            ("timestamp", raw, "with a zone")
            for raw in ("2026-01-31T09:00:00", "2026-01-31", datetime(2026, 1, 31), 1767225600, "soon")  # noqa: DTZ001
        ],
        *[
            ("timestamp", raw, "between the years 1 and 9999")
            for raw in ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00")
        ],
        ("string", "x" * 10_001, "at most 10,000 characters, got 10,001"),
        ("list<string>", ["x" * 10_001], "at most 10,000 characters, got 10,001"),
        ("list<string>", ["x"] * 1_001, "at most 1,000 items, got 1,001"),
        *[("list<string>", raw, "a list of strings") for raw in ("ab", ["a", 1], [None], ("a",), {"a": 1})],
    ],
)
def test_refused(kind: str, raw: Any, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        coerce(AttributeType(kind), raw)


def test_a_message_quotes_little_of_what_was_sent() -> None:
    with pytest.raises(ValueError, match=r"\.\.\.") as caught:
        coerce(AttributeType.INT, "x" * 10_000)
    assert len(str(caught.value)) < 150


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[None]:
    """One with names of its own for zones, as most have."""
    for name in ("localtime", "posixrules", "right/Europe/Madrid", "posix/UTC"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(files("tzdata").joinpath("zoneinfo", "Europe", "Madrid").read_bytes())
    zoneinfo.reset_tzpath([tmp_path])
    zoneinfo.ZoneInfo.clear_cache()
    yield
    zoneinfo.reset_tzpath()
    zoneinfo.ZoneInfo.clear_cache()


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("name", ["localtime", "posixrules", "right/Europe/Madrid", "posix/UTC"])
def test_a_name_that_only_a_machine_has_is_no_zone(name: str) -> None:
    """Another would have another zone under it, or none."""
    assert zoneinfo.ZoneInfo(name).key == name
    assert not valid_zone(name)
    assert customer_zone({"timezone": name}, UTC) is None


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "europe/madrid", "../UTC", "/etc/localtime", "UTC\0", "Europe"])
def test_what_is_no_zone(name: str) -> None:
    assert not valid_zone(name)


@pytest.mark.parametrize("name", ["UTC", "Etc/UTC", "Europe/Madrid", "America/Argentina/Buenos_Aires", "US/Eastern"])
def test_what_is_a_zone(name: str) -> None:
    assert valid_zone(name)
    assert zoneinfo.ZoneInfo(name).key == name

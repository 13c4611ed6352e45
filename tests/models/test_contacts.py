"""Rows to learn from: what they may leave to the catalog, what is refused, and that time splits them cleanly."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from catalog.building import build_plan
from catalog.loading import load_catalog
from catalog.plan import Plan
from models.contacts import Contact, read_contacts
from models.errors import TrainingError
from models.split import split
from tests.models.rows import CATALOG, START

ROW = {"customer_id": "c-1", "at": "2025-01-01T00:00:00Z", "action": "keep", "renewed": True, "customer.visits": 3}


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    (tmp_path / "catalog.yaml").write_text(CATALOG)
    return build_plan(load_catalog(tmp_path / "catalog.yaml", trained=False))


def read(plan: Plan, folder: Path, *rows: dict[str, Any]) -> list[Contact]:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return read_contacts(path, plan, "renewed", ["customer.visits", "treatment.group"])


def test_what_the_catalog_knows_of_the_action_is_filled_in(plan: Plan, tmp_path: Path) -> None:
    (found,) = read(plan, tmp_path, ROW | {"channel": "web", "context.page": "home"})
    assert found.labels == {
        "action": "keep", "channel": "web", "group": "retention", "value": 20.0, "direction": "inbound",
    }  # fmt: skip
    assert (found.frame.customer, found.frame.context) == ({"visits": 3}, {"page": "home"})
    assert (found.at, found.known_at, found.succeeded) == (START, START, True)


def test_what_the_row_says_was_so_then(plan: Plan, tmp_path: Path) -> None:
    retired, kept = read(plan, tmp_path, ROW | {"action": "gone", "group": "old"}, ROW | {"group": "old", "value": 5})
    assert retired.group == kept.group == "old"
    assert kept.labels["value"] == 5.0


def test_contacts_come_in_the_order_made(plan: Plan, tmp_path: Path) -> None:
    later = ROW | {"at": "2025-02-01T00:00:00Z", "customer.visits": 9}
    assert [contact.frame.customer["visits"] for contact in read(plan, tmp_path, later, ROW)] == [3, 9]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"action": "gone"}, "`group` is missing, and the catalog doesn't tell it from action 'gone'"),
        ({"renewed": None}, "`renewed` is missing"),
        ({"renewed": "yes"}, "renewed: expected true or false"),
        ({"at": None}, "`at` is missing"),
        ({"at": "2025-01-01"}, "expected an RFC 3339 timestamp"),
        ({"known_at": "2024-12-31T00:00:00Z"}, "`known_at` (2024-12-31T00:00:00+00:00) is before `at`"),
        ({"customer.visits": "3"}, "customer.visits: expected a whole number"),
        ({"customer.visit": 3}, "'customer.visit' is not a declared attribute"),
        ({"visits": 3}, "'visits' is not a declared attribute"),
    ],
)
def test_a_row_that_is_wrong_is_told_with_its_line(
    change: dict[str, Any], said: str, plan: Plan, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError) as refused:
        read(plan, tmp_path, ROW, ROW | change)
    assert "rows.jsonl:2: " in str(refused.value)
    assert said in str(refused.value)


def contacts(plan: Plan, known_after: dict[int, int]) -> list[Contact]:
    """A hundred, an hour apart, every other one a success; the outcome of some known only hours later."""
    hours = [START + timedelta(hours=hour) for hour in range(100)]
    return [
        Contact(plan.frame({}, {}, at), {}, at + timedelta(hours=known_after.get(hour, 0)), hour % 2 == 0)
        for hour, at in enumerate(hours)
    ]


def test_the_last_quarter_is_the_test(plan: Plan) -> None:
    parts = split(contacts(plan, {}), None)
    assert (len(parts.train), len(parts.test), parts.open) == (75, 25, 0)
    assert max(contact.at for contact in parts.train) < parts.cut == min(contact.at for contact in parts.test)


def test_what_was_not_known_yet_is_not_learned_from(plan: Plan) -> None:
    cut = START + timedelta(hours=50)
    parts = split(contacts(plan, {10: 39, 20: 30, 30: 21, 49: 2, 60: 90}), cut)
    assert (len(parts.train), len(parts.test), parts.open) == (48, 50, 2)
    assert all(contact.known_at <= cut for contact in parts.train)


def test_contacts_of_one_moment_are_not_torn_apart(plan: Plan) -> None:
    same = START + timedelta(hours=70)
    many = [
        Contact(plan.frame({}, {}, min(each.at, same)), {}, min(each.at, same), each.succeeded)
        for each in contacts(plan, {})
    ]
    parts = split(many, None)
    assert (parts.cut, len(parts.train), len(parts.test)) == (same, 70, 30)


@pytest.mark.parametrize("test_from", [START, START + timedelta(days=30), datetime(2025, 1, 1, 1, tzinfo=UTC)])
def test_both_outcomes_are_needed_on_both_sides(test_from: datetime, plan: Plan) -> None:
    with pytest.raises(TrainingError, match="both outcomes are needed"):
        split(contacts(plan, {}), test_from)


def test_no_rows(plan: Plan) -> None:
    with pytest.raises(TrainingError, match="no rows"):
        split([], None)

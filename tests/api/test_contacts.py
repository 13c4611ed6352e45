from typing import Any

import pytest

from api.contacts import page
from features.customer import Contact, Response


def contact(at: int, number: int) -> Contact:
    return Contact(at, f"action-{number}", "in_app", "", "inbound", f"decision-{number}")


def test_contacts_of_one_moment_are_told_apart() -> None:
    contacts = tuple(contact(at, number) for number, at in enumerate((1, 5, 5, 5, 5, 9)))
    seen, cursor = [], None
    while True:
        found = page(contacts, 2, cursor, 0)
        seen += [each.decision_id for each in found.contacts]
        cursor = found.next
        if cursor is None:
            break
        contacts = (*contacts, contact(9, 90 + len(contacts)))
    assert seen == [f"decision-{number}" for number in (5, 4, 3, 2, 1, 0)]


def test_old_contacts_that_are_dropped_meanwhile_are_not_missed_by_the_rest() -> None:
    contacts = tuple(contact(at, at) for at in range(1, 7))
    first = page(contacts, 2, None, 0)
    assert [each.decision_id for each in page(contacts[3:], 2, first.next, 0).contacts] == ["decision-4"]


def test_no_contacts() -> None:
    assert page((), 10, None, 0).model_dump() == {"contacts": [], "next": None}


@pytest.mark.parametrize(
    ("told", "now", "became"),
    [
        ([], 14, "open"),
        ([], 15, "expired"),
        (["click"], 15, "seen"),
        (["delivered", "failed"], 15, "delivered"),
        (["bounced"], 14, "failed"),
        (["failed"], 15, "failed"),
        (["bounced", "delivered", "impression"], 15, "seen"),
    ],
)
def test_what_a_contact_became(told: list[str], now: int, became: str) -> None:
    responses = tuple(Response(kind, 6, 6) for kind in told)
    contact = Contact(5, "a", "web", "", "inbound", "d", responses=responses, valid_for=10)
    shown: dict[str, Any] = page((contact,), 1, None, now).contacts[0].model_dump()
    assert (shown["became"], shown["valid_until"]) == (became, "1970-01-01T00:00:00.000015Z")


def test_what_has_no_group_has_none() -> None:
    grouped = Contact(5, "a", "web", "house", "inbound", "d")
    assert [each.group for each in page((contact(4, 1), grouped), 2, None, 9).contacts] == ["house", None]


def test_nothing_ends_what_has_no_end() -> None:
    (shown,) = page((contact(5, 1),), 1, None, 10**15).contacts
    assert (shown.became, shown.valid_until) == ("open", None)


def test_one_that_is_held_comes_in_the_place_of_its_time() -> None:
    """It was granted before the two after it, and is to be sent later."""
    contacts = (contact(1, 1), contact(9, 9), contact(2, 2), contact(3, 3))
    first = page(contacts, 2, None, 0)
    rest = page(contacts, 2, first.next, 0)
    assert [each.decision_id for each in (*first.contacts, *rest.contacts)] == [f"decision-{n}" for n in (9, 3, 2, 1)]

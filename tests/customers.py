"""Customers with contacts, for tests."""

from collections.abc import Iterable, Mapping
from typing import Any

from features.customer import Consent, Contact, Customer, with_contacts

SOME_DECISION = "0" * 31 + "d"


def customer_of(
    attributes: Mapping[str, Any] | None = None,
    consents: Mapping[str, Consent] | None = None,
    contacts: Iterable[Contact] = (),
    test: bool = False,
) -> Customer:
    """`contacts` with the oldest first."""
    return with_contacts(Customer(dict(attributes or {}), dict(consents or {}), test), tuple(contacts))

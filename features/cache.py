"""Decoded customers that a worker keeps in memory.

A cached snapshot may be stale: it is only ever acted on through a commit that compares its version, so staleness costs
a second try, never a wrong decision.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from features.customer import EMPTY, Customer, Span

T = TypeVar("T")


class Snapshot:
    """A customer as of one version. `body` is the encoded customer, b"" where there is none; `view` caches what is
    derived from it under one catalog. `span` is for features.customer.encode_longer.
    """

    __slots__ = ("_view", "_view_of", "body", "customer", "last", "span", "version")

    def __init__(self, version: bytes, last: int, body: bytes, customer: Customer) -> None:
        self.version = version
        self.last = last
        self.body = body
        self.customer = customer
        self.span: Span | None = None
        self._view_of: object | None = None
        self._view: object | None = None

    def view(self, of: object, make: Callable[[Customer], T]) -> T:
        """`make(customer)`, computed once per owner (a catalog's plan) and snapshot."""
        if self._view_of is not of:
            self._view = make(self.customer)
            self._view_of = of
        return self._view  # type: ignore[return-value]


UNKNOWN = Snapshot(b"", 0, b"", EMPTY)


class Cache:
    """The `capacity` customers used last. Counts its hits, misses and evictions."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.hits = 0
        self.misses = 0
        self.evictions = 0
        self._entries: OrderedDict[str, Snapshot] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, customer_id: str) -> Snapshot | None:
        found = self._entries.get(customer_id)
        if found is None:
            self.misses += 1
            return None
        self.hits += 1
        self._entries.move_to_end(customer_id)
        return found

    def put(self, customer_id: str, snapshot: Snapshot) -> None:
        self._entries[customer_id] = snapshot
        self._entries.move_to_end(customer_id)
        if len(self._entries) > self.capacity:
            self._entries.popitem(last=False)
            self.evictions += 1

    def forget(self, customer_id: str) -> None:
        self._entries.pop(customer_id, None)

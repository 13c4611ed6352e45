"""Decoded customers that a worker keeps in memory.

A cached snapshot may be stale: it is only ever acted on through a commit that compares its version, so staleness costs
a second try, never a wrong decision.

What a customer takes of memory can't be asked cheaply, so it is reckoned from what is known: decoded, a body takes six
to ten times its length in small objects.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from features.customer import EMPTY, Customer
from features.encoding import Span

T = TypeVar("T")
ENTRY_BYTES = 700  # what any customer takes
BYTES_A_BYTE = 10  # what each byte of a body takes besides, itself included


class Snapshot:
    """A customer as of one version. `body` is the encoded customer, b"" where there is none; `view` caches what is
    derived from it under one catalog. `span` is for features.encoding.encode_longer.
    """

    __slots__ = ("_view", "_view_before", "_view_of", "body", "customer", "last", "span", "version")

    def __init__(self, version: bytes, last: int, body: bytes, customer: Customer) -> None:
        self.version = version
        self.last = last
        self.body = body
        self.customer = customer
        self.span: Span | None = None
        self._view_of: object | None = None
        self._view: object | None = None
        self._view_before: object | None = None

    def follows(self, before: "Snapshot") -> None:
        """This is `before`, changed: much of what was derived from that may still be true."""
        self._view_of, self._view_before = before._view_of, before._view or before._view_before

    def view(self, of: object, make: Callable[[Customer, T | None], T]) -> T:
        """`make(customer, view before)`, computed once per owner (a catalog's plan) and snapshot."""
        if self._view_of is not of:
            self._view, self._view_of, self._view_before = None, of, None
        if self._view is None:
            self._view = make(self.customer, self._view_before)  # type: ignore[arg-type]
            self._view_before = None
        return self._view  # type: ignore[return-value]


UNKNOWN = Snapshot(b"", 0, b"", EMPTY)


class Cache:
    """The `capacity` customers used last, or as many of them as fit into `room` bytes, None for any number.

    Counts its hits, misses and evictions. `bytes` is about what its customers take.
    """

    def __init__(self, capacity: int, room: int | None = None) -> None:
        self.capacity = capacity
        self.room = room
        self.bytes = 0
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

    def peek(self, customer_id: str) -> Snapshot | None:
        """Like `get`, but it doesn't count as used."""
        return self._entries.get(customer_id)

    def put(self, customer_id: str, snapshot: Snapshot) -> None:
        entries = self._entries
        before = entries.get(customer_id)
        entries[customer_id] = snapshot
        entries.move_to_end(customer_id)
        if before is None:
            self.bytes += bytes_of(snapshot)
        else:
            self.bytes += BYTES_A_BYTE * (len(snapshot.body) - len(before.body))
        while len(entries) > self.capacity or (self.room is not None and self.bytes > self.room):
            _, oldest = entries.popitem(last=False)
            self.bytes -= bytes_of(oldest)
            self.evictions += 1

    def forget(self, customer_id: str) -> None:
        known = self._entries.pop(customer_id, None)
        if known is not None:
            self.bytes -= bytes_of(known)


def bytes_of(snapshot: Snapshot) -> int:
    """About what a customer takes of memory."""
    return ENTRY_BYTES + BYTES_A_BYTE * len(snapshot.body)

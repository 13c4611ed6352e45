"""Storing many events: piece by piece, some commits at a time.

The usual case costs each piece one commit on the state at hand, sent with others in one write. While Redis works on
these, the next are worked out. Whatever comes of a commit but being done (others changed the customer meanwhile, events
of the piece are known) is settled for that piece alone, by trying again on what is true now.
"""

import asyncio
from collections.abc import Callable, Iterator

from features.attempts import Attempts
from features.bulk_pieces import Piece, Pieces
from features.cache import Snapshot
from features.commit import Commit
from features.deadline import Deadline
from features.errors import StoreError
from features.identity import remember, root_of
from features.store import CustomerStore

MOST_PIECES = 16  # in a write
MOST_EVENTS = 5_000  # in a write: the time they are received at must still be now when it arrives
WITHIN = 30.0

Flight = asyncio.Task[None]


async def store_pieces(store: CustomerStore, pieces: Pieces, done: Callable[[int], None]) -> None:
    """Stores all of them, telling `done` how many events were. Raises StoreError: then some of them are stored, and to
    store all again stores the others.
    """
    flight: Flight | None = None
    flying: set[str] = set()
    try:
        for group in _groups(pieces):
            snapshots = await _snapshots(store, group)
            if flight is not None and not flying.isdisjoint(root for root, _ in snapshots):
                await flight
                flight, snapshots = None, await _snapshots(store, group)
            commits = [
                (piece, piece.commit(store, root, snapshot, None))
                for piece, (root, snapshot) in zip(group, snapshots, strict=True)
            ]
            if flight is not None:
                await flight
            flying = {root for root, _ in snapshots}
            flight = asyncio.create_task(_send(store, commits, done))
            await asyncio.sleep(0)  # it is on its way now
        if flight is not None:
            await flight
            flight = None
    finally:
        if flight is not None:
            await asyncio.gather(flight, return_exceptions=True)


def _groups(pieces: Pieces) -> Iterator[list[Piece]]:
    """In each no customer twice."""
    most = min(MOST_EVENTS, pieces.size * MOST_PIECES)
    group: list[Piece] = []
    customers: set[str] = set()
    events = 0
    for piece in pieces:
        if group and (piece.customer_id in customers or len(group) >= MOST_PIECES or events + len(piece) > most):
            yield group
            group, customers, events = [], set(), 0
        group.append(piece)
        customers.add(piece.customer_id)
        events += len(piece)
    if group:
        yield group


async def _snapshots(store: CustomerStore, group: list[Piece]) -> list[tuple[str, Snapshot]]:
    """For each piece whom it counts for, and their state. Raises StoreError."""
    deadline = Deadline(WITHIN)
    return await asyncio.gather(*(_snapshot(store, piece, deadline) for piece in group))


async def _snapshot(store: CustomerStore, piece: Piece, deadline: Deadline) -> tuple[str, Snapshot]:
    known = store.at_hand(piece.customer_id)
    if known is None or known.customer.merged_into:
        return await _root(store, piece, deadline)
    if piece.refuses and known.customer.anonymous:
        return await _root(store, piece, deadline)
    return piece.customer_id, known


async def _root(store: CustomerStore, piece: Piece, deadline: Deadline) -> tuple[str, Snapshot]:
    """With what was kept of the customer if they were erased, where that matters."""
    while True:
        root, snapshot = await root_of(store, piece.customer_id, deadline)
        if not piece.refuses or not await remember(store, root, snapshot, deadline):
            return root, snapshot


async def _send(store: CustomerStore, commits: list[tuple[Piece, Commit | None]], done: Callable[[int], None]) -> None:
    """Raises StoreError."""
    sent = [(piece, commit) for piece, commit in commits if commit is not None]
    outcomes = await store.ledger.commit_many([commit for _, commit in sent], WITHIN)
    errors: list[StoreError] = []
    for (piece, commit), outcome in zip(sent, outcomes, strict=True):
        if isinstance(outcome, StoreError):
            store.cache.forget(commit.customer_id)
            errors.append(outcome)
            continue
        store.learn(commit, piece.customer, outcome)
        if not piece.learn(outcome):
            await _settle(store, piece)
        done(len(piece))
    for error in errors:
        raise error


async def _settle(store: CustomerStore, piece: Piece) -> None:
    """Commits until it counts. Raises StoreError."""
    deadline = Deadline(WITHIN)
    attempts = Attempts()
    while True:
        root, snapshot = await _root(store, piece, deadline)
        commit = piece.commit(store, root, snapshot, attempts.ticket)
        if commit is None:
            return
        outcome, _ = await store.commit(commit, piece.customer, deadline)
        if piece.learn(outcome):
            return
        await attempts.lost(outcome, deadline)

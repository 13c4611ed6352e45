"""`DELETE /customers/{id}` and `GET /customers/{id}/export`: everything kept about a person, erased or told."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable
from typing import Any

import orjson
from fastapi import APIRouter
from pydantic import BaseModel

from api.auth import Permission
from api.contacts import page
from api.exports import Download
from api.paths import CustomerId
from api.permits import permit
from api.persons import done, told
from api.problems import Problem
from api.profile import profile
from api.worker import Worker
from archive.person import NOTHING_TOLD, Task
from archive.running import Place
from features.customer import Customer, moment
from features.forgetting import forget
from features.identity import root_of
from features.merging import merged_ids

_ERASED = ("decisions", "events", "outbox", "archived_decisions", "archived_events", "quarantined", "unreadable")


class ErasedAnswer(BaseModel):
    """How much was erased. `decisions`, `events` and `outbox` are entries of streams, most of which the archive has
    too. What was in the archive is null where it is on another machine: erase there as well. `quarantined` had not been
    readable when it was archived. `unreadable` may be the customer's, and has been left.
    """

    states: int
    decisions: int
    events: int
    outbox: int
    archived_decisions: int | None
    archived_events: int | None
    quarantined: int | None
    unreadable: int


class ForgottenAnswer(BaseModel):
    """`ids` are all that stood for the customer, the one they were kept under first."""

    customer_id: str
    ids: list[str]
    erased: ErasedAnswer


def routes(worker: Worker) -> APIRouter:
    router = APIRouter(tags=["customers"])
    turn = asyncio.Semaphore(1)  # the archive can only be written by one at a time

    def place() -> Place:
        if worker.place is None:
            raise Problem("not_ready", f"starting: {worker.waiting_for}")
        return worker.place

    @router.delete(
        "/customers/{customer_id}",
        dependencies=[permit(worker, Permission.INGEST)],
        summary="Forget a customer: state, streams and archive",
    )
    async def delete_customer(customer_id: CustomerId) -> ForgottenAnswer:
        store, where = worker.ready_engine.store, place()

        async def erase(ids: Collection[str]) -> dict[str, Any]:
            async with turn:
                found: dict[str, Any] = orjson.loads(await done(Task("erase", where, tuple(ids))))
            return found

        forgotten = await forget(store, customer_id, worker.deadline, erase)
        erased: dict[str, Any] = {name: _sum(found[name] for found in forgotten.records) for name in _ERASED}
        if not forgotten.known and not any(erased.values()):
            raise Problem("unknown_customer", "nothing is known about this customer", parameter="customer_id")
        states = len(forgotten.ids) if forgotten.known else 0
        return ForgottenAnswer(
            customer_id=forgotten.ids[0], ids=list(forgotten.ids), erased=ErasedAnswer(states=states, **erased)
        )

    @router.get(
        "/customers/{customer_id}/export",
        dependencies=[permit(worker, Permission.ADMIN)],
        summary="Everything that is kept about a customer",
    )
    async def export_customer(customer_id: CustomerId) -> Download:
        engine, where = worker.ready_engine, place()
        root, snapshot = await root_of(engine.store, customer_id, worker.deadline(), fresh=True)
        now = engine.store.now_for(snapshot)
        ids = (root, *merged_ids(snapshot.customer))
        head = _head(profile(engine.plan, root, snapshot.customer, now), snapshot.customer, now)
        await worker.exports.begin()
        try:
            records = await told(Task("tell", where, ids))
            first = b""
            while len(first) <= len(NOTHING_TOLD) and (chunk := await anext(records, b"")):
                first += chunk
            # Events of which nothing comes are kept, though no state is.
            if first == NOTHING_TOLD and not snapshot.customer.known:
                raise Problem("unknown_customer", "nothing is known about this customer", parameter="customer_id")
        except BaseException:
            worker.exports.end()
            raise

        async def body() -> AsyncIterator[bytes]:
            yield head
            yield first
            async for chunk in records:
                yield chunk
            yield b"}"

        return Download(body(), worker.exports.end)

    return router


def _sum(counts: Iterable[int | None]) -> int | None:
    """None where none is known."""
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _head(known: dict[str, Any], customer: Customer, now: int) -> bytes:
    """An object that is still open: the rest of the state, to be followed by what is recorded."""
    del known["contacts"], known["next"]
    contacts = page(customer.contacts, len(customer.log), None, now).contacts
    told = {
        "exported_at": moment(now),
        "customer": known,
        "erased_before": moment(customer.erased) if customer.erased else None,
        "series": {str(key): stored for key, stored in customer.series.items()},
        "contacts": [contact.model_dump() for contact in contacts],
    }
    return orjson.dumps(told, option=orjson.OPT_UTC_Z, default=bytes.hex)[:-1] + b","

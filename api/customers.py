"""`/customers`: who they are, what they agreed to, when they were contacted.

A write is answered once it is stored; one that fails for want of a reply may have been stored. It may be repeated, but
for a yes that says of no time: the customer may have said no since, and it would be the newer. What a body says no to
is stored even where the rest of it is refused.
"""

from collections.abc import Collection
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Response

from api.auth import Permission
from api.contacts import ContactsAnswer, page
from api.customer_bodies import CustomerBody, CustomerPatch, read, read_consent, stated
from api.customer_changes import Arrival, of_known_purpose, patched, replaced, statement
from api.customer_writes import Write
from api.paths import CustomerId, JsonBody, Purpose
from api.permits import permit
from api.problems import Problem
from api.profile import ConsentAnswer, ProfileAnswer, StatedAnswer, as_stated, consent, profile
from api.worker import Worker
from features.cache import Snapshot
from features.customer import Customer
from features.identity import root_of, update
from features.store import Change


def _told(answer: dict[str, Any]) -> Response:
    """orjson writes attributes: integers of 64 bits as they are, timestamps in UTC."""
    return Response(orjson.dumps(answer, option=orjson.OPT_UTC_Z), media_type="application/json")


def routes(worker: Worker) -> APIRouter:
    router = APIRouter(tags=["customers"], dependencies=[permit(worker, Permission.INGEST)])

    async def known(customer_id: str) -> tuple[str, Snapshot]:
        """Whom the id stands for. Raises Problem."""
        store = worker.ready_engine.store
        root, snapshot = await root_of(store, customer_id, worker.deadline(), fresh=True)
        if not snapshot.customer.known:
            raise Problem("unknown_customer", "nothing is known about this customer", parameter="customer_id")
        return root, snapshot

    async def changed(customer_id: str, change: Change) -> tuple[str, Customer]:
        root, snapshot = await update(worker.ready_engine.store, customer_id, change, worker.deadline())
        return root, snapshot.customer

    async def written(customer_id: str, write: Write) -> Response:
        found = await changed(customer_id, write.change)
        if write.refused is not None:
            raise write.refused
        return _told(as_stated(*found))

    @router.get("/customers/{customer_id}", response_model=ProfileAnswer, summary="What is known of a customer")
    async def get_customer(customer_id: CustomerId) -> Response:
        engine = worker.ready_engine
        root, snapshot = await known(customer_id)
        return _told(profile(engine.plan, root, snapshot.customer, engine.store.now_for(snapshot)))

    @router.put("/customers/{customer_id}", response_model=StatedAnswer, summary="State a customer as a whole")
    async def put_customer(customer_id: CustomerId, sent: JsonBody) -> Response:
        arrival, plan = Arrival(), worker.ready_engine.plan

        def whole(heard: Collection[str]) -> Change:
            body = read(CustomerBody, sent)
            return replaced(stated(plan, body, removing=False, heard=heard), body, arrival)

        return await written(customer_id, Write(plan, sent, arrival, whole))

    @router.patch("/customers/{customer_id}", response_model=StatedAnswer, summary="Change some of a customer")
    async def patch_customer(customer_id: CustomerId, sent: JsonBody) -> Response:
        arrival, plan = Arrival(), worker.ready_engine.plan

        def whole(heard: Collection[str]) -> Change:
            body = read(CustomerPatch, sent)
            return patched(stated(plan, body, removing=True, heard=heard), body, arrival)

        return await written(customer_id, Write(plan, sent, arrival, whole))

    @router.put(
        "/customers/{customer_id}/consents/{purpose}",
        response_model=ConsentAnswer,
        summary="State a customer's yes or no for a purpose",
    )
    async def put_consent(customer_id: CustomerId, purpose: Purpose, sent: JsonBody) -> dict[str, Any]:
        arrival, body = Arrival(), read_consent(sent)
        change = of_known_purpose(worker.ready_engine.plan, purpose, body, statement(purpose, body, arrival))
        _, customer = await changed(customer_id, change)
        return consent(customer.consents[purpose])

    @router.get("/customers/{customer_id}/contacts", summary="When a customer was contacted, newest first")
    async def get_contacts(
        customer_id: CustomerId,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
        cursor: Annotated[str | None, Query(max_length=100)] = None,
    ) -> ContactsAnswer:
        _, snapshot = await known(customer_id)
        return page(snapshot.customer.contacts, limit, cursor, worker.ready_engine.store.now_for(snapshot))

    return router

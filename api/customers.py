"""`/customers`: who they are, what they agreed to, when they were contacted.

A write is answered once it is stored; one that fails for want of a reply may have been stored, and may be repeated.
"""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from api.auth import Permission
from api.contacts import ContactsAnswer, page, timestamp
from api.customer_bodies import ConsentBody, CustomerBody, CustomerPatch, must_be_declared, read, stated
from api.customer_changes import patched, replaced, statement
from api.paths import CustomerId, JsonBody, Purpose
from api.permits import permit
from api.problems import Problem
from api.worker import Worker
from features.customer import Consent, Customer
from features.store import Change


class ConsentAnswer(BaseModel):
    """The statement in force. `at` is when it was made."""

    granted: bool
    at: str
    source: str


class CustomerAnswer(BaseModel):
    """All that callers stated about a customer."""

    customer_id: str
    attributes: dict[str, Any]
    consents: dict[str, ConsentAnswer]
    test: bool


def _told(customer_id: str, customer: Customer) -> Response:
    """orjson writes attributes: integers of 64 bits as they are, timestamps in UTC."""
    answer = {
        "customer_id": customer_id,
        "attributes": customer.attributes,
        "consents": {purpose: _consent(consent) for purpose, consent in customer.consents.items()},
        "test": customer.test,
    }
    return Response(orjson.dumps(answer, option=orjson.OPT_UTC_Z), media_type="application/json")


def _consent(consent: Consent) -> dict[str, Any]:
    return {"granted": consent.granted, "at": timestamp(consent.at), "source": consent.source}


def routes(worker: Worker) -> APIRouter:
    router = APIRouter(tags=["customers"], dependencies=[permit(worker, Permission.INGEST)])

    async def known(customer_id: str) -> Customer:
        snapshot = await worker.ready_engine.store.snapshot(customer_id, worker.deadline(), fresh=True)
        if not snapshot.customer.known:
            raise Problem("unknown_customer", "nothing is known about this customer", parameter="customer_id")
        return snapshot.customer

    async def update(customer_id: str, change: Change) -> Customer:
        snapshot = await worker.ready_engine.store.update(customer_id, change, worker.deadline())
        return snapshot.customer

    @router.get("/customers/{customer_id}", response_model=CustomerAnswer, summary="What is known of a customer")
    async def get_customer(customer_id: CustomerId) -> Response:
        return _told(customer_id, await known(customer_id))

    @router.put("/customers/{customer_id}", response_model=CustomerAnswer, summary="State a customer as a whole")
    async def put_customer(customer_id: CustomerId, sent: JsonBody) -> Response:
        body = read(CustomerBody, sent)
        change = replaced(stated(worker.ready_engine.plan, body, removing=False), body)
        return _told(customer_id, await update(customer_id, change))

    @router.patch("/customers/{customer_id}", response_model=CustomerAnswer, summary="Change some of a customer")
    async def patch_customer(customer_id: CustomerId, sent: JsonBody) -> Response:
        body = read(CustomerPatch, sent)
        change = patched(stated(worker.ready_engine.plan, body, removing=True), body)
        return _told(customer_id, await update(customer_id, change))

    @router.delete("/customers/{customer_id}", status_code=204, summary="Forget a customer")
    async def delete_customer(customer_id: CustomerId) -> None:
        if not await worker.ready_engine.store.erase(customer_id, worker.deadline()):
            raise Problem("unknown_customer", "nothing is known about this customer", parameter="customer_id")

    @router.put(
        "/customers/{customer_id}/consents/{purpose}",
        response_model=ConsentAnswer,
        summary="State a customer's yes or no for a purpose",
    )
    async def put_consent(customer_id: CustomerId, purpose: Purpose, sent: JsonBody) -> dict[str, Any]:
        body = read(ConsentBody, sent)
        must_be_declared(worker.ready_engine.plan, purpose)
        customer = await update(customer_id, statement(purpose, body))
        return _consent(customer.consents[purpose])

    @router.get("/customers/{customer_id}/contacts", summary="When a customer was contacted, newest first")
    async def get_contacts(
        customer_id: CustomerId,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
        cursor: Annotated[str | None, Query(max_length=100)] = None,
    ) -> ContactsAnswer:
        return page((await known(customer_id)).contacts, limit, cursor)

    return router

"""`/customers`: who they are, what they agreed to, when they were contacted.

A write is answered once it is stored; one that fails for want of a reply may have been stored, and may be repeated.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, cast
from urllib.parse import unquote_to_bytes

import msgspec
import orjson
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel

from api.auth import Permission
from api.bodies import require_json
from api.contacts import ContactsAnswer, page, timestamp
from api.customer_bodies import (
    ConsentBody,
    CustomerBody,
    CustomerPatch,
    must_be_declared,
    read,
    stated,
)
from api.permits import permit
from api.problems import Problem
from api.worker import Worker
from features.customer import EMPTY, Consent, Customer, micros, with_attributes, with_consent
from rules.types import AttributeType, coerce

LONGEST_ID = 256
FUTURE_TOLERANCE = 5 * 60 * 1_000_000  # of clocks that go ahead, microseconds
SOURCE = "api"
_CONTROLS = dict.fromkeys((*range(0x20), 0x7F))


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


def decoded(name: str, text: str) -> str:
    """A step of the path, which is still percent-encoded. Raises Problem."""
    try:
        value = unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise Problem("invalid_id", "percent-encoded bytes must be UTF-8", parameter=name) from None
    if not 1 <= len(value) <= LONGEST_ID or value.translate(_CONTROLS) != value:
        raise Problem("invalid_id", f"expected 1 to {LONGEST_ID} characters, none of control", parameter=name)
    return value


def _customer_id(
    customer_id: Annotated[str, Path(description="1 to 256 characters, percent-encoded; a slash is %2F.")],
) -> str:
    return decoded("customer_id", customer_id)


def _purpose(purpose: Annotated[str, Path(description="A purpose the catalog declares.")]) -> str:
    return decoded("purpose", purpose)


CustomerId = Annotated[str, Depends(_customer_id)]
Purpose = Annotated[str, Depends(_purpose)]


async def _json(request: Request) -> bytes:
    require_json(dict(request.scope["headers"]))
    return await request.body()


JsonBody = Annotated[bytes, Depends(_json)]


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


def _with_statements(customer: Customer, consents: dict[str, bool], now: int) -> Customer:
    for purpose, granted in consents.items():
        customer = with_consent(customer, purpose, Consent(granted, now, SOURCE))
    return customer


def _replaced(attributes: dict[str, Any], body: CustomerBody) -> Callable[[Customer, int], Customer]:
    def change(customer: Customer, now: int) -> Customer:
        whole = msgspec.structs.replace(customer, attributes=attributes, test=body.test)
        return _with_statements(whole, body.consents, now)

    return change


def _patched(attributes: dict[str, Any], body: CustomerPatch) -> Callable[[Customer, int], Customer]:
    def change(customer: Customer, now: int) -> Customer:
        merged = with_attributes(customer, attributes)
        if "test" in body.model_fields_set:
            merged = msgspec.structs.replace(merged, test=body.test)
        return _with_statements(merged, body.consents, now)

    return change


def _statement(purpose: str, body: ConsentBody) -> Callable[[Customer, int], Customer]:
    at = _stated_at(body)

    def change(customer: Customer, now: int) -> Customer:
        made = now if at is None else at
        if made > now + FUTURE_TOLERANCE:
            raise Problem("statement_in_future", f"it is {timestamp(now)} here", pointer="/at")
        # Kept as made now: a statement ahead of time would silence those that follow it, an opt-out among them.
        return with_consent(customer, purpose, Consent(body.granted, min(made, now), body.source))

    return change


def _stated_at(body: ConsentBody) -> int | None:
    if body.at is None:
        return None
    try:
        at = coerce(AttributeType.TIMESTAMP, body.at)
    except ValueError as error:
        raise Problem("invalid_value", str(error), pointer="/at") from None
    return micros(cast(datetime, at))


def routes(worker: Worker) -> APIRouter:
    router = APIRouter(tags=["customers"], dependencies=[permit(worker, Permission.INGEST)])

    async def known(customer_id: str) -> Customer:
        snapshot = await worker.ready_engine.store.snapshot(customer_id, worker.deadline(), fresh=True)
        if snapshot.customer == EMPTY:
            raise Problem("unknown_customer", "nothing is known about this customer", parameter="customer_id")
        return snapshot.customer

    async def update(customer_id: str, change: Callable[[Customer, int], Customer]) -> Customer:
        snapshot = await worker.ready_engine.store.update(customer_id, change, worker.deadline())
        return snapshot.customer

    @router.get("/customers/{customer_id}", response_model=CustomerAnswer, summary="What is known of a customer")
    async def get_customer(customer_id: CustomerId) -> Response:
        return _told(customer_id, await known(customer_id))

    @router.put("/customers/{customer_id}", response_model=CustomerAnswer, summary="State a customer as a whole")
    async def put_customer(customer_id: CustomerId, sent: JsonBody) -> Response:
        body = read(CustomerBody, sent)
        change = _replaced(stated(worker.ready_engine.plan, body, removing=False), body)
        return _told(customer_id, await update(customer_id, change))

    @router.patch("/customers/{customer_id}", response_model=CustomerAnswer, summary="Change some of a customer")
    async def patch_customer(customer_id: CustomerId, sent: JsonBody) -> Response:
        body = read(CustomerPatch, sent)
        change = _patched(stated(worker.ready_engine.plan, body, removing=True), body)
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
        customer = await update(customer_id, _statement(purpose, body))
        return _consent(customer.consents[purpose])

    @router.get("/customers/{customer_id}/contacts", summary="When a customer was contacted, newest first")
    async def get_contacts(
        customer_id: CustomerId,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
        cursor: Annotated[str | None, Query(max_length=100)] = None,
    ) -> ContactsAnswer:
        return page((await known(customer_id)).contacts, limit, cursor)

    return router

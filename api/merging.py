"""`POST /customers/{id}/merge`: two ids turn out to be one person's."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.auth import Permission
from api.customer_bodies import Body, read
from api.paths import CustomerId, JsonBody
from api.permits import permit
from api.problems import Problem
from api.worker import Worker
from decision.request import has_controls
from features.identity import TooManyIdsError, merge
from features.keys import LONGEST_ID
from features.merging import merged_ids


class MergeBody(Body):
    """Whom the customer of the path is one with."""

    into: Annotated[str, Field(min_length=1, max_length=LONGEST_ID)] = Field(
        description="The id under which both are kept from now on. Neither need have been heard of before."
    )


class MergeAnswer(BaseModel):
    """`customer_id` is whom both ids stand for now; `merged` are all ids that stand for them besides; `changed` is
    false where both did before.
    """

    customer_id: str
    merged: list[str]
    changed: bool


def routes(worker: Worker) -> APIRouter:
    router = APIRouter(tags=["customers"], dependencies=[permit(worker, Permission.INGEST)])

    @router.post("/customers/{customer_id}/merge", summary="Make two customers one")
    async def merge_customer(customer_id: CustomerId, sent: JsonBody) -> MergeAnswer:
        body = read(MergeBody, sent)
        if has_controls(body.into):
            raise Problem("invalid_value", "an id has no control characters", pointer="/into")
        try:
            done = await merge(worker.ready_engine.store, customer_id, body.into, worker.deadline())
        except TooManyIdsError as error:
            raise Problem("too_many_merged", str(error)) from None
        merged = merged_ids(done.snapshot.customer)
        return MergeAnswer(customer_id=done.customer_id, merged=list(merged), changed=done.changed)

    return router

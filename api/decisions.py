"""`/decisions/{id}`: what a decision was made from, and whether it comes out the same when it is made again.

It is made again in a process of its own, one at a time: loading the catalog of that time takes seconds in which this
worker would answer nobody.
"""

import asyncio
import sys
from typing import Annotated, Any

import msgspec
import orjson
import structlog
from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel

from api.auth import Permission
from api.permits import permit
from api.problems import Problem, internal, unavailable
from api.worker import Worker
from archive.records import Records
from archive.replaying import STORE_AWAY, Wanted
from archive.running import Place
from decision.record import RecordError, as_data, read_record

WITHIN = 120.0

_log = structlog.get_logger("tino.decisions")


class DifferenceAnswer(BaseModel):
    """One field that came out otherwise."""

    field: str
    recorded: Any
    replayed: Any


class ReplayAnswer(BaseModel):
    """`trouble` says why the decision could not be made again, null where it could."""

    identical: bool
    differences: list[DifferenceAnswer]
    trouble: str | None


class DecisionAnswer(BaseModel):
    """A decision's record, spelled out; `replay` is null where it was not asked for."""

    decision: dict[str, Any] | None
    replay: ReplayAnswer | None


class Again:
    """Makes one decision at a time again, each in a fresh process."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(1)

    async def __call__(self, place: Place, decision_id: str) -> bytes:
        """JSON as DecisionAnswer, null where there is no record. Raises Problem."""
        wanted = msgspec.json.encode(Wanted(place, decision_id), enc_hook=str)
        async with self._turn:
            # -P: a folder named like one of ours, where the service happens to be started, must not be taken for it.
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "archive.replaying",
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            try:
                async with asyncio.timeout(WITHIN):
                    told, complaint = await process.communicate(wanted)
            except TimeoutError:
                raise Problem("replay_timeout", f"making it again took longer than {WITHIN:.0f} s") from None
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        if process.returncode == 0:
            return told
        _log.error("a replay failed", decision_id=decision_id, error=complaint.decode(errors="replace")[-2000:])
        raise unavailable("try again") if process.returncode == STORE_AWAY else internal()


def routes(worker: Worker) -> APIRouter:
    router = APIRouter(tags=["decisions"], dependencies=[permit(worker, Permission.ADMIN)])
    again = Again()

    @router.get("/decisions/{decision_id}", response_model=DecisionAnswer, summary="What a decision was made from")
    async def get_decision(
        decision_id: Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="As the answer said.")],
        replay: Annotated[bool, Query(description="Make it again as well, which may take seconds.")] = True,
    ) -> Response:
        engine = worker.ready_engine
        if worker.place is None:
            raise Problem("not_ready", "starting")
        if replay:
            told = await again(worker.place, decision_id)
        else:
            found = await Records(engine.store.ledger, worker.place.data).find(decision_id, worker.seconds)
            told = b"null" if found is None else _told(found)
        if told == b"null":
            raise Problem("unknown_decision", "no record is kept of this decision", parameter="decision_id")
        return Response(told, media_type="application/json")

    return router


def _told(body: bytes) -> bytes:
    try:
        record = as_data(read_record(body))
    except RecordError as error:
        _log.error("a record can't be read", error=str(error))
        raise internal() from None
    return orjson.dumps({"decision": record, "replay": None}, option=orjson.OPT_UTC_Z)

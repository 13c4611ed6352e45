"""Whether a worker lives, whether it should be sent requests, and what it has counted."""

import asyncio

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from api.auth import Permission
from api.front import REQUEST_ID
from api.permits import permit
from api.problems import MEDIA_TYPE, Problem
from api.worker import Worker
from features.errors import StoreError
from features.opening import problems
from features.store import CustomerStore

PING_WITHIN = 1.0
INSPECTED_FOR = 1.0


class Readiness:
    """Why requests had better go elsewhere. Redis is pinged each time, what it says of itself read once a second."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._inspected: tuple[float, list[str]] | None = None

    async def reasons(self) -> list[str]:
        """A sentence each; empty if the worker is ready."""
        engine = self._worker.engine
        if engine is None:
            return [f"starting: {self._worker.waiting_for}"]
        try:
            await engine.store.ledger.link.ask("PING", within=PING_WITHIN)
            following = self._worker.following
            trouble = [following.trouble] if following is not None and following.trouble else []
            return [*await self._inspect(engine.store), *trouble]
        except StoreError as error:
            return [f"Redis does not answer: {error}"]

    async def _inspect(self, store: CustomerStore) -> list[str]:
        now = asyncio.get_running_loop().time()
        if self._inspected is None or now - self._inspected[0] > INSPECTED_FOR:
            self._inspected = (now, await problems(store))
        return self._inspected[1]


def routes(worker: Worker) -> APIRouter:
    router = APIRouter(tags=["operation"])
    readiness = Readiness(worker)

    @router.get("/livez", summary="Whether the process is up")
    async def livez() -> dict[str, str]:
        return {"status": "alive"}

    @router.get("/readyz", summary="Whether requests should be sent here", response_model=dict[str, str])
    async def readyz(request: Request) -> Response | dict[str, str]:
        reasons = await readiness.reasons()
        if not reasons:
            return {"status": "ready"}
        # Not counted as a problem: nobody was refused.
        problem = Problem("not_ready", " ".join(reasons))
        headers = {name.decode(): value.decode() for name, value in problem.all_headers()}
        return Response(problem.body(request.scope[REQUEST_ID]), problem.status, headers, MEDIA_TYPE)

    @router.get(
        "/metrics",
        summary="Counters for Prometheus",
        dependencies=[permit(worker, Permission.ADMIN)],
        response_class=PlainTextResponse,
    )
    async def metrics() -> Response:
        return Response(worker.metrics.text(), headers={"content-type": CONTENT_TYPE_LATEST})

    return router

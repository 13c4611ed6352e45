"""Before FastAPI: the request id, the rule for callers without keys, bounded bodies, ids as they were written.

Bare ASGI, because a middleware made of coroutines per request costs more than these routes themselves.
"""

import asyncio
from time import monotonic

import structlog

from api.asgi import NO_STORE, Application, Message, Receive, Scope, Send, answer_problem
from api.auth import require_loopback
from api.bodies import Disconnected, refuse_announced, too_large, too_late
from api.headers import refuse_repeats, request_id_for
from api.problems import Problem, internal
from api.worker import Worker

REQUEST_ID = "tino.request_id"
# Whether a worker is alive is asked by machinery that has no key, from wherever it runs.
OPEN_PATHS = frozenset({"/livez", "/readyz"})
_IDS_BELOW = "/customers/"

_log = structlog.get_logger("tino.api")


class Front:
    def __init__(self, worker: Worker, inner: Application) -> None:
        self._worker = worker
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        request_id = request_id_for(headers)
        scope = {**scope, REQUEST_ID: request_id}
        if scope["path"].startswith(_IDS_BELOW):
            # Still percent-encoded, so that an id may hold a slash; the routes decode it.
            scope["path"] = scope["raw_path"].decode("latin-1")
        begun = False

        async def send_marked(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] = [*message.get("headers", ()), NO_STORE, (b"request-id", request_id)]
            await send(message)

        try:
            refuse_repeats(scope["headers"], headers)
            if not self._worker.door.keyed and scope["path"] not in OPEN_PATHS:
                require_loopback(scope, headers)
            refuse_announced(headers, self._worker.body_limit)
            await self._inner(scope, _bounded(receive, self._worker.body_limit, self._worker.body_seconds), send_marked)
        except Disconnected:
            return
        except Problem as problem:
            self._worker.metrics.refused(problem.code)
            await answer_problem(send, problem, request_id)
        except Exception:  # noqa: BLE001 - the edge of the service
            # FastAPI has answered already where it could: this is where what it raises again is logged.
            _log.exception("unexpected error", request_id=request_id.decode(), path=scope["path"][:300])
            if not begun:
                await answer_problem(send, internal(), request_id)


def _bounded(receive: Receive, limit: int, within: float) -> Receive:
    """`receive` that raises Problem as soon as more than `limit` bytes of body have come, or they take too long."""
    length, more = 0, True
    end = monotonic() + within

    async def counted() -> Message:
        nonlocal length, more
        try:
            # Once the body is there, what is waited for is the client's leaving.
            async with asyncio.timeout(max(0.0, end - monotonic()) if more else None):
                message = await receive()
        except TimeoutError:
            raise too_late(within) from None
        if message["type"] == "http.request":
            more = message.get("more_body", False)
            length += len(message.get("body", b""))
            if length > limit:
                raise too_large(limit)
        return message

    return counted

"""What the bare paths have in common: `/next-action` and `/events`, ASGI applications without layers in between, as
each layer would cost as much as the work itself; see also api.express.

The order of refusal: method, door, length, media type, room, body, room, catalog. There is room for so many requests at
a time: more could not be answered in time, and who is told so at once can go elsewhere. A request takes its place when
its body is there, or senders who send nothing would fill the room.

What an answer is, is settled before its first byte is sent; a client that leaves is noticed by the server below, and
what it asked for stands like any other.
"""

from abc import ABC, abstractmethod
from time import perf_counter
from typing import Generic, Protocol, TypeVar

import structlog

from api.asgi import NO_STORE, Receive, Scope, Send
from api.auth import Permission
from api.bodies import Disconnected, read_body, refuse_announced
from api.headers import RequestHeaders, refuse_repeats, request_id_for
from api.problems import Headers, Problem, internal
from api.worker import Worker
from decision.request import RequestError

ANSWER_HEADERS = ((b"content-type", b"application/json"), NO_STORE)

_log = structlog.get_logger("tino.api")
A = TypeVar("A")


class Reply(Protocol):
    """Where an answer goes. One of the two is called, once."""

    def answered(self, request_id: bytes, body: bytes) -> None: ...

    def refused(self, status: int, headers: Headers, body: bytes) -> None: ...


class Posted(ABC, Generic[A]):
    """What answers at a path that takes POST alone: as an ASGI application, or for a server that has the whole body in
    hand. `A` is what the head of a request comes to, `body_limit` the longest body in bytes. Of `most_waiting` requests
    that may wait at a time, `waiting` do.
    """

    def __init__(self, worker: Worker, path: str, body_limit: int, most_waiting: int) -> None:
        self.worker = worker
        self.path = path
        self.body_limit = body_limit
        self.most_waiting = most_waiting
        self.waiting = 0

    @abstractmethod
    def admit(self, scope: Scope) -> A:
        """What the head of a request comes to. The same head means the same on one connection. Raises Problem."""

    @abstractmethod
    def at_once(self, admitted: A, body: bytes, reply: Reply) -> bool:
        """Answers through `reply`, now or as soon as Redis has spoken.

        False, and nothing has happened, where it takes a task: then `respond` is the way.
        """

    @abstractmethod
    async def serve(self, admitted: A, body: bytes, started: float) -> bytes:
        """The body of the answer. `started` is when the request's body was there, by perf_counter.

        Raises Problem, RequestError, StoreError.
        """

    def find_room(self, admitted: A) -> None:
        """Raises Problem if a request, which has no place yet, is one too many."""
        if self.waiting >= self.most_waiting:
            raise self.one_too_many()

    def one_too_many(self) -> Problem:
        """The problem told to a request that is sent away."""
        self.worker.metrics.shed(self.path)
        return Problem("overloaded", f"{self.most_waiting} requests wait for an answer here already")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            status, headers, body = await self.respond(scope, receive)
        except Disconnected:
            return
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def respond(self, scope: Scope, source: bytes | Receive) -> tuple[int, Headers, bytes]:
        """Status, headers and body of the answer. `scope` needs method, client and headers; `source` is the body, or
        where it comes from. Raises Disconnected.
        """
        request_id = request_id_for(dict(scope["headers"]))
        metrics = self.worker.metrics
        metrics.in_flight += 1
        try:
            admitted = self.admit(scope)
            self.find_room(admitted)
            if isinstance(source, bytes):
                body = source
            else:
                body = await read_body(source, self.body_limit, self.worker.body_seconds)
                self.find_room(admitted)
            self.waiting += 1
            try:
                answer = await self.serve(admitted, body, perf_counter())
            finally:
                self.waiting -= 1
        except Disconnected:
            raise
        except Exception as error:  # noqa: BLE001 - the edge of the service
            return self.refusal(error, request_id)
        finally:
            metrics.in_flight -= 1
        told = [*ANSWER_HEADERS, (b"request-id", request_id), (b"content-length", b"%d" % len(answer))]
        return 200, told, answer

    def refuse(self, problem: Problem, headers: RequestHeaders) -> tuple[int, Headers, bytes]:
        """Status, headers and body of the answer to a request that is refused before it was read."""
        return self.refusal(problem, request_id_for(headers))

    def refusal(self, error: Exception, request_id: bytes) -> tuple[int, Headers, bytes]:
        """Status, headers and body of what is told of an error."""
        problem = self.problem(error, request_id)
        self.worker.metrics.refused(problem.code)
        body = problem.body(request_id)
        told = [NO_STORE, (b"request-id", request_id), (b"content-length", b"%d" % len(body))]
        return problem.status, [*problem.all_headers(), *told], body

    def problem(self, error: Exception, request_id: bytes) -> Problem:
        if isinstance(error, Problem):
            return error
        if isinstance(error, RequestError):
            return Problem(error.code, error.message, pointer=error.pointer)
        _log.error("unexpected error", request_id=request_id.decode(), exc_info=error)
        return internal()

    def let_in(self, scope: Scope, needed: Permission) -> tuple[str, RequestHeaders]:
        """The caller and the headers of a request that may be read on. Raises Problem."""
        if scope["method"] != "POST":
            raise Problem("method_not_allowed", "use POST", headers=[(b"allow", b"POST")])
        headers: RequestHeaders = dict(scope["headers"])
        refuse_repeats(scope["headers"], headers)
        caller = self.worker.door.admit(scope, headers, needed)
        refuse_announced(headers, self.body_limit)
        return caller, headers

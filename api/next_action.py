"""`POST /next-action`: bare ASGI, as every layer in between would cost as much as the decision; see also api.express.

The order of refusal: method, door, length, media type, body, catalog. What an answer is, is settled before its first
byte is sent; a client that leaves is noticed by the server below, and its decision stands like any other.
"""

from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

import msgspec
import structlog

from api.asgi import NO_STORE, Receive, Scope, Send
from api.auth import Permission
from api.bodies import Disconnected, decode_strictly, read_body, refuse_announced, require_json
from api.headers import RequestHeaders, echoed_request_id, new_request_id, refuse_repeats, request_id_for, visible
from api.problems import Headers, Problem, internal
from api.worker import Worker
from decision.deciding import Answer
from decision.reasons import Degradation
from decision.request import NextActionRequest, RequestError, has_controls

PATH = "/next-action"
LONGEST_KEY = 256
SECONDS_BETWEEN_WARNINGS = 10.0

ANSWER_HEADERS = ((b"content-type", b"application/json"), NO_STORE)
_decoder = msgspec.json.Decoder(NextActionRequest)
_log = structlog.get_logger("tino.next_action")


@dataclass(frozen=True, slots=True)
class Admitted:
    """What the head of a request comes to, once it was let in. The same head means the same on one connection.

    `request_id` is the caller's Request-Id, None where it can't be echoed.
    """

    caller: str
    request_id: bytes | None
    key: bytes | None


class Reply(Protocol):
    """Where an answer goes. One of the two is called, once."""

    def answered(self, request_id: bytes, body: bytes) -> None: ...

    def refused(self, status: int, headers: Headers, body: bytes) -> None: ...


class NextAction:
    """What answers at this path: as an ASGI application, or for a server that has the whole body in hand."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self._warned: dict[Degradation, float] = {}

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
        started = perf_counter()
        request_id = request_id_for(dict(scope["headers"]))
        metrics = self.worker.metrics
        metrics.in_flight += 1
        try:
            admitted = self.admit(scope)
            limit, seconds = self.worker.body_limit, self.worker.body_seconds
            body = source if isinstance(source, bytes) else await read_body(source, limit, seconds)
            request = read_request(admitted, body)
            answer = await self.worker.ready_engine.next_action(request, admitted.caller, self._patience(request))
        except Disconnected:
            raise
        except Exception as error:  # noqa: BLE001 - the edge of the service
            return self._refusal(self._problem(error, request_id), request_id)
        finally:
            metrics.in_flight -= 1
        self._count(request, answer, started)
        return (
            200,
            [*ANSWER_HEADERS, (b"request-id", request_id), (b"content-length", b"%d" % len(answer.body))],
            answer.body,
        )

    def at_once(self, admitted: Admitted, body: bytes, reply: Reply) -> bool:
        """Answers through `reply`, now or as soon as Redis has spoken, without a task.

        False, and nothing has happened, where it takes one: then `respond` is the way.
        """
        started = perf_counter()
        request_id = admitted.request_id or new_request_id()
        metrics = self.worker.metrics
        try:
            request = read_request(admitted, body)

            def answered(answer: Answer | Exception) -> None:
                metrics.in_flight -= 1
                if isinstance(answer, Exception):
                    reply.refused(*self._refusal(self._problem(answer, request_id), request_id))
                    return
                self._count(request, answer, started)
                reply.answered(request_id, answer.body)

            engine = self.worker.ready_engine
            if not engine.at_once(request, admitted.caller, self._patience(request), answered):
                return False
        except Exception as error:  # noqa: BLE001 - the edge of the service
            reply.refused(*self._refusal(self._problem(error, request_id), request_id))
            return True
        metrics.in_flight += 1
        return True

    def admit(self, scope: Scope) -> Admitted:
        """What the head of a request comes to. Raises Problem."""
        if scope["method"] != "POST":
            raise Problem("method_not_allowed", "use POST", headers=[(b"allow", b"POST")])
        headers: RequestHeaders = dict(scope["headers"])
        refuse_repeats(scope["headers"], headers)
        caller = self.worker.door.admit(scope, headers, Permission.DECIDE)
        refuse_announced(headers, self.worker.body_limit)
        require_json(headers)
        return Admitted(caller, echoed_request_id(headers), headers.get(b"idempotency-key"))

    def refuse(self, problem: Problem, headers: RequestHeaders) -> tuple[int, Headers, bytes]:
        """Status, headers and body of the answer to a request that is refused before it was read."""
        return self._refusal(problem, request_id_for(headers))

    def _patience(self, request: NextActionRequest) -> float:
        waits = request.deadline_ms
        return self.worker.seconds if waits is msgspec.UNSET else waits / 1000

    def _count(self, request: NextActionRequest, answer: Answer, started: float) -> None:
        self.worker.metrics.answered(answer, request.dry_run, perf_counter() - started)
        if answer.degraded:
            self._warn(answer.degraded[0], started)

    def _warn(self, why: Degradation, now: float) -> None:
        """Says in the log that answers are degraded, at most every ten seconds a kind; metrics have the count."""
        if now - self._warned.get(why, -SECONDS_BETWEEN_WARNINGS) >= SECONDS_BETWEEN_WARNINGS:
            self._warned[why] = now
            _log.warning("answers are degraded", kind=why.value)

    def _problem(self, error: Exception, request_id: bytes) -> Problem:
        if isinstance(error, Problem):
            return error
        if isinstance(error, RequestError):
            return Problem(error.code, error.message, pointer=error.pointer)
        _log.error("unexpected error", request_id=request_id.decode(), exc_info=error)
        return internal()

    def _refusal(self, problem: Problem, request_id: bytes) -> tuple[int, Headers, bytes]:
        self.worker.metrics.refused(problem.code)
        body = problem.body(request_id)
        told = [NO_STORE, (b"request-id", request_id), (b"content-length", b"%d" % len(body))]
        return problem.status, [*problem.all_headers(), *told], body


def read_request(admitted: Admitted, body: bytes) -> NextActionRequest:
    """Raises Problem."""
    request: NextActionRequest = decode_strictly(_decoder, body, _keys_in)
    if has_controls(request.customer_id):
        raise Problem("invalid_value", "an id has no control characters", pointer="/customer_id")
    return request if admitted.key is None else _identified(request, admitted.key)


def _keys_in(request: NextActionRequest) -> int:
    """How many keys, at least, the document has that this was read from."""
    unset = msgspec.UNSET
    keys = 1 + (request.channels is not unset) + (request.request_id is not unset) + (request.deadline_ms is not unset)
    return keys + 1 + len(request.context) if request.context else keys


def _identified(request: NextActionRequest, key: bytes) -> NextActionRequest:
    """The request with its Idempotency-Key as request id."""
    if len(key) > LONGEST_KEY or not visible(key):
        raise Problem("invalid_idempotency_key", f"Idempotency-Key takes 1 to {LONGEST_KEY} visible ASCII characters")
    name = key.decode("ascii")
    if request.request_id is msgspec.UNSET:
        return msgspec.structs.replace(request, request_id=name)
    if request.request_id != name:
        raise Problem("request_id_conflict", "Idempotency-Key and request_id differ: send one", pointer="/request_id")
    return request

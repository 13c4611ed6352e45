"""`POST /next-action`: bare ASGI, as every layer in between would cost as much as the decision; see also api.express.

The order of refusal: method, door, length, media type, body, catalog. What an answer is, is settled before its first
byte is sent; a client that leaves is noticed by the server below, and its decision stands like any other.
"""

from time import perf_counter

import msgspec
import structlog

from api.asgi import NO_STORE, Receive, Scope, Send
from api.auth import Permission
from api.bodies import Disconnected, decode_strictly, read_body, refuse_announced, require_json
from api.headers import RequestHeaders, refuse_repeats, request_id_for, visible
from api.problems import Headers, Problem, internal
from api.worker import Worker
from decision.engine import Answer
from decision.reasons import Degradation
from decision.request import NextActionRequest, RequestError

PATH = "/next-action"
LONGEST_KEY = 256
SECONDS_BETWEEN_WARNINGS = 10.0

_JSON = (b"content-type", b"application/json")
_decoder = msgspec.json.Decoder(NextActionRequest)
_log = structlog.get_logger("tino.next_action")


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
        headers: RequestHeaders = dict(scope["headers"])
        request_id = request_id_for(headers)
        metrics = self.worker.metrics
        metrics.in_flight += 1
        try:
            request, answer = await self._answer(scope, headers, source)
        except Disconnected:
            raise
        except Problem as problem:
            return self._refusal(problem, request_id)
        except Exception:  # noqa: BLE001 - the edge of the service
            _log.exception("unexpected error", request_id=request_id.decode())
            return self._refusal(internal(), request_id)
        finally:
            metrics.in_flight -= 1
        metrics.answered(answer, request.dry_run, perf_counter() - started)
        if answer.degraded:
            self._warn(answer.degraded[0], started)
        body = answer.body
        return 200, [_JSON, NO_STORE, (b"request-id", request_id), (b"content-length", b"%d" % len(body))], body

    def _warn(self, why: Degradation, now: float) -> None:
        """Says in the log that answers are degraded, at most every ten seconds a kind; metrics have the count."""
        if now - self._warned.get(why, -SECONDS_BETWEEN_WARNINGS) >= SECONDS_BETWEEN_WARNINGS:
            self._warned[why] = now
            _log.warning("answers are degraded", kind=why.value)

    def refuse(self, problem: Problem, headers: RequestHeaders) -> tuple[int, Headers, bytes]:
        """Status, headers and body of the answer to a request that is refused before it was read."""
        return self._refusal(problem, request_id_for(headers))

    def _refusal(self, problem: Problem, request_id: bytes) -> tuple[int, Headers, bytes]:
        self.worker.metrics.refused(problem.code)
        body = problem.body(request_id)
        told = [NO_STORE, (b"request-id", request_id), (b"content-length", b"%d" % len(body))]
        return problem.status, [*problem.all_headers(), *told], body

    async def _answer(
        self, scope: Scope, headers: RequestHeaders, source: bytes | Receive
    ) -> tuple[NextActionRequest, Answer]:
        worker = self.worker
        if scope["method"] != "POST":
            raise Problem("method_not_allowed", "use POST", headers=[(b"allow", b"POST")])
        refuse_repeats(scope["headers"], headers)
        caller = worker.door.admit(scope, headers, Permission.DECIDE)
        refuse_announced(headers, worker.body_limit)
        require_json(headers)
        body = source if isinstance(source, bytes) else await read_body(source, worker.body_limit, worker.body_seconds)
        request: NextActionRequest = decode_strictly(_decoder, body, _keys_in)
        if b"idempotency-key" in headers:
            request = _identified(request, headers[b"idempotency-key"])
        waits = request.deadline_ms
        seconds = worker.seconds if waits is msgspec.UNSET else waits / 1000
        try:
            return request, await worker.ready_engine.next_action(request, caller, seconds)
        except RequestError as error:
            raise Problem(error.code, error.message, pointer=error.pointer) from None


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

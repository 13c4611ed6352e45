"""`POST /next-action`: the next best action for a customer; api.posted has the way of the request, api.express a
shorter one.
"""

from dataclasses import dataclass
from time import perf_counter

import msgspec
import structlog

from api.asgi import Scope
from api.auth import Permission
from api.bodies import decode_strictly, require_json
from api.headers import echoed_request_id, new_request_id, visible
from api.posted import Posted, Reply
from api.problems import Problem
from api.worker import Worker
from decision.deciding import Answer
from decision.reasons import Degradation
from decision.request import NextActionRequest, has_controls
from features.keys import LONGEST_ID

PATH = "/next-action"
LONGEST_KEY = LONGEST_ID
SECONDS_BETWEEN_WARNINGS = 10.0

_decoder = msgspec.json.Decoder(NextActionRequest)
_log = structlog.get_logger("tino.next_action")


@dataclass(frozen=True, slots=True)
class Admitted:
    """What the head of a request comes to, once it was let in.

    `request_id` is the caller's Request-Id, None where it can't be echoed.
    """

    caller: str
    request_id: bytes | None
    key: bytes | None


class NextAction(Posted[Admitted]):
    """What answers at this path."""

    def __init__(self, worker: Worker) -> None:
        super().__init__(worker, PATH, worker.body_limit, worker.most_waiting)
        self._warned: dict[Degradation, float] = {}

    def admit(self, scope: Scope) -> Admitted:
        """What the head of a request comes to. Raises Problem."""
        caller, headers = self.let_in(scope, Permission.DECIDE)
        require_json(headers)
        return Admitted(caller, echoed_request_id(headers), headers.get(b"idempotency-key"))

    async def serve(self, admitted: Admitted, body: bytes, started: float) -> bytes:
        request = read_request(admitted, body)
        answer = await self.worker.ready_engine.next_action(request, admitted.caller, self._patience(request))
        self._count(request, answer, started)
        return answer.body

    def at_once(self, admitted: Admitted, body: bytes, reply: Reply) -> bool:
        started = perf_counter()
        request_id = admitted.request_id or new_request_id()
        metrics = self.worker.metrics
        try:
            if self.waiting >= self.most_waiting:
                raise self.one_too_many()
            request = read_request(admitted, body)

            def answered(answer: Answer | Exception) -> None:
                metrics.in_flight -= 1
                self.waiting -= 1
                if isinstance(answer, Exception):
                    reply.refused(*self.refusal(answer, request_id))
                    return
                self._count(request, answer, started)
                reply.answered(request_id, answer.body)

            engine = self.worker.ready_engine
            if not engine.at_once(request, admitted.caller, self._patience(request), answered):
                return False
        except Exception as error:  # noqa: BLE001 - the edge of the service
            reply.refused(*self.refusal(error, request_id))
            return True
        metrics.in_flight += 1
        self.waiting += 1
        return True

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

"""`POST /events`: what customers did, stored before it is acknowledged, and in force for the next decision; see
docs/events.md for those who send them.

One event or a batch. Each has a result of its own; where the store fails none has one, and all are to be sent again
under the same ids.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import structlog

from api.asgi import Scope
from api.auth import Permission
from api.bodies import media_type
from api.cloud_events import BATCH, ONE, attributes_in, in_headers
from api.event_answers import REFUSED, EventAnswer, answers, encode, summary
from api.event_bodies import Reading, Shape, read, types_in
from api.event_shapes import Item
from api.headers import echoed_request_id, new_request_id
from api.posted import Posted, Reply
from api.problems import Problem, unavailable
from api.segment import WITHDRAWING
from api.worker import Worker
from features.applying import Result
from features.customer import Customer, with_attributes
from features.deadline import Deadline
from features.errors import StoreError
from features.events import NO_MORE
from features.identity import update

PATH = "/events"
BODY_LIMIT = 512_000  # bytes, whatever others may send
SECONDS_BETWEEN_WARNINGS = 10.0
ROOM_FOR_EVENTS = 2  # requests that may wait here, for each that may wait for a decision
TAKEN = "application/json, application/cloudevents+json or application/cloudevents-batch+json"

_log = structlog.get_logger("tino.events")


@dataclass(frozen=True, slots=True)
class Head:
    """What the head of a request comes to, once it was let in. `attributes` are a CloudEvent's, in binary mode."""

    request_id: bytes | None
    shape: Shape
    attributes: dict[str, Any] | None


class Events(Posted[Head]):
    """What answers at this path."""

    def __init__(self, worker: Worker) -> None:
        super().__init__(worker, PATH, BODY_LIMIT, ROOM_FOR_EVENTS * worker.most_waiting)
        self._tasks: set[asyncio.Task[None]] = set()
        self._warned = -SECONDS_BETWEEN_WARNINGS

    def admit(self, scope: Scope) -> Head:
        """What the head of a request comes to. Raises Problem."""
        _, headers = self.let_in(scope, Permission.INGEST)
        given = media_type(headers)
        if given == b"application/json":
            attributes = attributes_in(headers, scope["headers"])
            shape = Shape.JSON if attributes is None else Shape.DATA
        elif given in (ONE, BATCH):
            attributes, shape = None, Shape.CLOUD_EVENT if given == ONE else Shape.CLOUD_EVENTS
        else:
            raise Problem("unsupported_media_type", f"send the body with Content-Type: {TAKEN}")
        return Head(echoed_request_id(headers), shape, attributes)

    def find_room(self, admitted: Head) -> None:
        """Whether it is one too many only its body says."""

    async def serve(self, admitted: Head, body: bytes, started: float) -> bytes:
        self._fit(admitted, body)
        reading = self._read(admitted, body)
        return self._told(admitted, reading, await self._take(reading), started)

    def at_once(self, admitted: Head, body: bytes, reply: Reply) -> bool:
        """Always answers: what takes a task gets one here, as the body was read already."""
        started = perf_counter()
        request_id = admitted.request_id or new_request_id()
        metrics = self.worker.metrics
        metrics.in_flight += 1
        self.waiting += 1

        def answered(results: list[Result] | Exception) -> None:
            metrics.in_flight -= 1
            self.waiting -= 1
            try:
                if isinstance(results, Exception):
                    raise results
                told = self._told(admitted, reading, results, started)
            except Exception as error:  # noqa: BLE001 - the edge of the service
                reply.refused(*self.refusal(error, request_id))
            else:
                reply.answered(request_id, told)

        try:
            self._fit(admitted, body)
            reading = self._read(admitted, body)
            if reading.items is not None or not self.worker.ready_engine.intake.at_once(
                reading.sent, self.worker.seconds, answered
            ):
                self._spawn(reading, answered)
        except Exception as error:  # noqa: BLE001 - the edge of the service
            answered(error)
        return True

    def problem(self, error: Exception, request_id: bytes) -> Problem:
        if not isinstance(error, StoreError):
            return super().problem(error, request_id)
        now = perf_counter()
        if now - self._warned >= SECONDS_BETWEEN_WARNINGS:
            self._warned = now
            _log.warning("events could not be stored", error=str(error), kind=type(error).__name__)
        return unavailable("send all of it again under the same ids: what was stored already counts once")

    def _fit(self, head: Head, body: bytes) -> None:
        """Raises Problem if the request, which waits already, is one too many. Who takes back a consent never is."""
        if self.waiting > self.most_waiting and not may_withdraw(head, body):
            raise self.one_too_many()

    def _read(self, head: Head, body: bytes) -> Reading:
        """Raises Problem."""
        return read(head.shape, head.attributes, body, self.worker.ready_engine.plan)

    def _spawn(self, reading: Reading, answered: Callable[[list[Result] | Exception], None]) -> None:
        async def take() -> None:
            results: list[Result] | Exception
            try:
                results = await self._take(reading)
            except Exception as error:  # noqa: BLE001 - whoever asked is to hear of it
                results = error
            answered(results)

        task = asyncio.get_running_loop().create_task(take())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self, reading: Reading) -> list[Result]:
        """One result for each that is to be stored. Raises StoreError."""
        intake = self.worker.ready_engine.intake
        deadline = Deadline(self.worker.seconds)
        results = await intake.take(reading.sent, deadline.left()) if reading.sent else []
        traits = _traits_in(reading, results)
        if traits:
            # After the event, and after a duplicate too: it may be that the attempt before ended in between.
            done = await asyncio.gather(
                *(self._set(customer_id, stated, deadline) for customer_id, stated in traits.items()),
                return_exceptions=True,
            )
            for error in done:
                if error is not None:
                    raise error
        return results

    async def _set(self, customer_id: str, attributes: dict[str, Any], deadline: Deadline) -> None:
        def change(customer: Customer, now: int) -> Customer:
            return with_attributes(customer, attributes, now)

        await update(self.worker.ready_engine.store, customer_id, change, deadline)

    def _told(self, head: Head, reading: Reading, results: list[Result], started: float) -> bytes:
        """The body of the answer. Raises Problem where there was one event, which is refused."""
        told = answers(reading, results)
        self.worker.metrics.events.answered(told, types_in(reading), perf_counter() - started)
        if not reading.single:
            return encode(summary(told))
        if told[0].status == REFUSED:
            raise _refused(head, told[0])
        return encode(told[0])


def may_withdraw(head: Head, body: bytes) -> bool:
    """Whether an event in there may take back a consent. Looked for in the bytes, as reading them is what there is no
    time for; a name may be written in escapes, so that where there is one it may.
    """
    if head.attributes is not None and head.attributes.get("type") in NO_MORE:
        return True
    return b"\\u" in body or any(name in body for name in _WITHDRAWING)


_WITHDRAWING = [name.encode() for name in (*NO_MORE, *WITHDRAWING)]


def _traits_in(reading: Reading, results: list[Result]) -> dict[str, dict[str, Any]]:
    """What is to be set, by customer: of an attribute stated twice the later."""
    if reading.items is None:
        return {}
    taken = [item for item in reading.items if isinstance(item, Item)]
    traits: dict[str, dict[str, Any]] = {}
    for item, result in zip(taken, results, strict=True):
        if item.traits and result.status != REFUSED:
            traits.setdefault(item.sent.customer_id, {}).update(item.traits)
    return traits


def _refused(head: Head, told: EventAnswer) -> Problem:
    problem = Problem(told.code, told.detail, pointer=told.pointer)
    return in_headers(problem) if head.shape is Shape.DATA else problem

"""The answers of `POST /events`."""

from collections.abc import Sequence

import msgspec

from api.event_bodies import Reading
from api.event_shapes import Names, Refusal
from features.applying import Result

STORED, DUPLICATE, REFUSED = "stored", "duplicate", "refused"


class EventAnswer(msgspec.Struct, omit_defaults=True):
    """What became of one event. `id` is that under which it is known, null where it has none that can be read.

    `status` is stored, duplicate (it was stored before) or refused: then `code`, `pointer` (a JSON pointer from the
    event on) and `detail` say why. `notes` tell what was found about a stored one.
    """

    id: str | None
    status: str
    code: str = ""
    pointer: str = ""
    detail: str = ""
    notes: tuple[str, ...] = ()


class EventsAnswer(msgspec.Struct):
    """What became of a batch: how many of each, and each, in the batch's order."""

    stored: int
    duplicates: int
    refused: int
    results: list[EventAnswer]


encode = msgspec.json.Encoder().encode


def answers(reading: Reading, results: Sequence[Result]) -> list[EventAnswer]:
    """One for each event of the body; `results` are those of `reading.sent`."""
    if reading.items is None:
        return [
            EventAnswer(sent.id, result.status, result.code, result.pointer, result.detail, result.notes)
            for sent, result in zip(reading.sent, results, strict=True)
        ]
    found, told = iter(results), []
    for item in reading.items:
        if isinstance(item, Refusal):
            problem = item.problem
            told.append(EventAnswer(item.id, REFUSED, problem.code, problem.pointer or "", problem.detail))
            continue
        result = next(found)
        notes = result.notes
        if item.undeclared and result.status != REFUSED:
            notes = (*notes, f"undeclared_traits:{item.undeclared}")
        if item.notes:
            notes = (*item.notes, *notes)
        pointer = called(result.pointer, item.names)
        told.append(EventAnswer(item.sent.id, result.status, result.code, pointer, result.detail, notes))
    return told


def called(pointer: str, names: Names) -> str:
    """A pointer into our shape as one into the shape the event came in."""
    for ours, theirs in names.items():
        if pointer == ours or pointer.startswith(ours + "/"):
            return theirs + pointer[len(ours) :]
    return pointer


def summary(told: list[EventAnswer]) -> EventsAnswer:
    statuses = [each.status for each in told]
    return EventsAnswer(statuses.count(STORED), statuses.count(DUPLICATE), statuses.count(REFUSED), told)

"""A customer's contacts, newest first, in pages.

A cursor names the contact that a page ended with, by its time and its place among those of the same time, counted from
the oldest: so a contact that is made meanwhile shifts nothing of the pages to come, and none is shown twice.
"""

import base64
import binascii
from collections import Counter

from pydantic import BaseModel

from api.problems import Problem
from features.customer import Contact, moment
from features.holds import Became, became

Place = tuple[int, int]
MILLION = 1_000_000


class ResponseAnswer(BaseModel):
    """What came of a contact, of one kind: how often, when first and last, what it was worth altogether."""

    kind: str
    count: int
    first: str
    last: str
    value: float


class ContactAnswer(BaseModel):
    """`valid_until` is when the answer with it expired, null where nothing ends it; `became` what it came to: `open`
    (nothing is known yet), `seen`, `delivered`, `failed` or `expired` (nothing was known by then). `group` is null
    where the action had none. Of a message that is held, `at` is when that ends, and lies ahead.
    """

    at: str
    valid_until: str | None
    became: Became
    action: str
    channel: str
    group: str | None
    direction: str
    decision_id: str
    responses: list[ResponseAnswer]


class ContactsAnswer(BaseModel):
    """One page. `next` is the cursor of the page after it, null in the last."""

    contacts: list[ContactAnswer]
    next: str | None


def page(contacts: tuple[Contact, ...], limit: int, cursor: str | None, now: int) -> ContactsAnswer:
    """Up to `limit` contacts after `cursor`, newest first by their times, as they stand at `now`, in microseconds since
    1970. Raises Problem.
    """
    after = None if cursor is None else _read(cursor)
    newest_first = [(place, each) for place, each in reversed(_placed(contacts)) if after is None or place < after]
    shown, rest = newest_first[:limit], newest_first[limit:]
    told = [_told(each, now) for _, each in shown]
    return ContactsAnswer(contacts=told, next=_written(shown[-1][0]) if rest else None)


def _placed(contacts: tuple[Contact, ...]) -> list[tuple[Place, Contact]]:
    at_once: Counter[int] = Counter()
    placed = []
    for contact in sorted(contacts, key=lambda each: each.at):
        placed.append(((contact.at, at_once[contact.at]), contact))
        at_once[contact.at] += 1
    return placed


def _told(contact: Contact, now: int) -> ContactAnswer:
    return ContactAnswer(
        at=timestamp(contact.at),
        valid_until=timestamp(contact.at + contact.valid_for) if contact.valid_for else None,
        became=became(contact, now),
        action=contact.action,
        channel=contact.channel,
        group=contact.group or None,
        direction=contact.direction,
        decision_id=contact.decision,
        responses=[
            ResponseAnswer(
                kind=each.kind,
                count=each.count,
                first=timestamp(each.first),
                last=timestamp(each.last),
                value=each.value / MILLION,
            )
            for each in contact.responses
        ],
    )


def timestamp(micros: int) -> str:
    return moment(micros).isoformat().replace("+00:00", "Z")


def _written(place: Place) -> str:
    return base64.urlsafe_b64encode(f"{place[0]}.{place[1]}".encode()).decode().rstrip("=")


def _read(cursor: str) -> Place:
    try:
        at, index = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).split(b".")
        return int(at), int(index)
    except (ValueError, binascii.Error):
        raise Problem("invalid_cursor", "pass on what the page before gave as `next`", parameter="cursor") from None

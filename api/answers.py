"""The answer of `/next-action`, as the API document shows it. decision/answer.py writes it; a test compares the two."""

from datetime import datetime
from typing import Any

import msgspec

from decision.reasons import Degradation, Gate, Reason, Status


class ActionAnswer(msgspec.Struct, forbid_unknown_fields=True):
    """One action to take. The four numbers are null in a fallback, which was not ranked. `not_before` is there where
    quiet hours hold it: it is sent when they are over.
    """

    action: str
    treatment: str
    channel: str
    placement: str | None
    content: dict[str, Any]
    propensity: float | None
    value: float | None
    priority: float | None
    probability: float | None
    fallback: bool
    not_before: datetime | msgspec.UnsetType = msgspec.UNSET


class HeldBackAnswer(msgspec.Struct, forbid_unknown_fields=True):
    """What took out the last candidates of an answer with nothing in it: the gate, the policies or budgets by name, and
    when something passes it again; null where that is never, or no matter of time.
    """

    gate: Gate
    by: list[str]
    eligible_at: datetime | None


class NextActionAnswer(msgspec.Struct, forbid_unknown_fields=True):
    """A decision. `decision_id` is null where nothing was recorded: in a dry run, and in a degraded answer; in a
    provisional one it is that of the commit under way.
    """

    decision_id: str | None
    customer_id: str
    status: Status
    reason: Reason
    actions: list[ActionAnswer]
    valid_until: datetime | None
    degraded: list[Degradation]
    catalog: str
    held_back: HeldBackAnswer | msgspec.UnsetType = msgspec.UNSET


class Finding(msgspec.Struct):
    """One of several errors in one body."""

    code: str
    pointer: str
    detail: str


class Stored(msgspec.Struct, forbid_unknown_fields=True):
    """What was stored of a body that is refused: the purposes that it says no to."""

    consents: list[str]


class ProblemAnswer(msgspec.Struct, forbid_unknown_fields=True):
    """An error, as RFC 9457 has it. `pointer` is a JSON pointer into the body, `parameter` a name in path or query.

    `stored` is there where the body of a customer was refused, and what it says no to is stored all the same.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    pointer: str | msgspec.UnsetType = msgspec.UNSET
    parameter: str | msgspec.UnsetType = msgspec.UNSET
    errors: list[Finding] | msgspec.UnsetType = msgspec.UNSET
    stored: Stored | msgspec.UnsetType = msgspec.UNSET

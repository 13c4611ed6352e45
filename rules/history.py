"""History: what rules may ask about the contacts with a customer so far.

`contacted("push", duration("24h"))` is true if there was a contact with that action in that time, `responded("push",
"click")` if such a response came of any, and `since_contact("push")` is the time since the last, an error if there was
none. Names and times stand there as constants, so that a misspelt one is found when the catalog loads, and that it is
known how long contacts have to be kept.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from rules.errors import EvaluationError
from rules.syntax import Call, Const, Node, children


class Contacted(NamedTuple):
    """Of one action: when the customer was last contacted with it, and the kinds of all that came of any contact."""

    last: datetime
    responses: frozenset[str]


History = Mapping[str, Contacted]
"""By the name of the action."""

CONTACTED, RESPONDED, SINCE_CONTACT = "contacted", "responded", "since_contact"
WRITTEN = {
    CONTACTED: 'contacted("action", duration("24h"))',
    RESPONDED: 'responded("action", "click")',
    SINCE_CONTACT: 'since_contact("action")',
}
Run = Callable[[Any], Any]  # a program, of rules.programs, which build on this
_NOTHING = timedelta(0)


def asked(tree: Node) -> Iterator[Call]:
    """The calls in `tree` that ask about the history."""
    if isinstance(tree, Call) and tree.function in PROGRAMS:
        yield tree
    for child in children(tree):
        yield from asked(child)


def longest_asked(tree: Node) -> timedelta:
    """How long ago a contact may be that `contacted` in `tree` still counts."""
    spans = (call.args[1] for call in asked(tree) if call.function == CONTACTED)
    return max((span.value for span in spans if isinstance(span, Const)), default=_NOTHING)


def _known(frame: Any) -> History:
    history: History | None = frame.history
    if history is None:
        raise EvaluationError("the contacts so far are not known here")
    return history


def _contacted(action: Run, within: Run) -> Run:
    def contacted(frame: Any) -> bool:
        found = _known(frame).get(action(frame))
        return found is not None and bool(found.last > frame.now - within(frame))

    return contacted


def _responded(action: Run, kind: Run) -> Run:
    def responded(frame: Any) -> bool:
        found = _known(frame).get(action(frame))
        return found is not None and kind(frame) in found.responses

    return responded


def _since_contact(action: Run) -> Run:
    def since_contact(frame: Any) -> timedelta:
        found = _known(frame).get(action(frame))
        if found is None:
            raise EvaluationError("there was no such contact")
        now: datetime = frame.now
        return max(_NOTHING, now - found.last)

    return since_contact


PROGRAMS: dict[str, Callable[..., Run]] = {
    CONTACTED: _contacted,
    RESPONDED: _responded,
    SINCE_CONTACT: _since_contact,
}

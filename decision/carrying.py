"""Carrying on what contacts come to: from what it was, and the contacts that have come, gone or changed since. Pure.

A customer may have thousands of contacts, and each event about one of them changes that one alone. Counting all of them
anew takes microseconds for each, for which all other callers of the worker wait.

What is the same contact is the very same object: a customer's next state shares with the one before what has not
changed. Where it doesn't, as after a read from Redis, nothing is the same, and all is counted anew.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from operator import is_
from typing import Any, NamedTuple, TypeVar

from catalog.limits import Values
from catalog.plan import Plan
from decision.counted import NO_HOLDS, Counted, Holds, counted_more, places_of
from decision.counters import KeyValues, counting, key_values
from decision.pauses import NOBODY_RESPONDED, Counters, Responded, Responses, looked_at
from features.customer import Customer, Labels, Logged

T = TypeVar("T")
_FEW = 4  # of so many contacts one may have changed for the rest to be worth keeping


class Changes(NamedTuple):
    """The contacts that are no longer as they were, as they were, and as they are now, with those that are new."""

    gone: Sequence[Logged]
    come: Sequence[Logged]


def changes(before: Customer, after: Customer) -> Changes | None:
    """None where most contacts are others, or the numbers of labels mean something else."""
    known, log, labels = before.log, after.log, before.labels
    if after.labels is not labels and after.labels[: len(labels)] != labels:
        return None
    if log is known or log[: len(known)] == known:
        return Changes((), log[len(known) :])
    start = _first_other(known, log)
    known, log = known[start:], log[start:]
    end = _first_other(reversed(known), reversed(log))
    known, log = known[: len(known) - end], log[: len(log) - end]
    still, were = set(map(id, log)), set(map(id, known))
    gone = [contact for contact in known if id(contact) not in still]
    come = [contact for contact in log if id(contact) not in were]
    if len(known) - len(gone) + len(come) != len(log) or (len(gone) + len(come)) * _FEW > len(after.log):
        return None
    return Changes(gone, come)


def _first_other(known: Iterable[Logged], now: Iterable[Logged]) -> int:
    """How many are the same before the first that isn't. One by one in Python, this would take longest of all."""
    same = list(map(is_, known, now))
    return same.index(False) if False in same else len(same)


def counted_since(
    plan: Plan, counted: tuple[Counted, ...], holds: Holds, labels: Sequence[Labels], since: Changes
) -> tuple[tuple[Counted, ...], Holds]:
    """What decision.counted.counted_of would find now, from what it found before; neither is changed."""
    if not since.gone:
        more = counted, holds
        for contact in since.come:  # mostly contacts were added, of which nothing can have come yet
            if contact.responses:
                break
            more = counted_more(plan, *more, labels[contact.labels], contact)
        else:
            return more
    less, added = _edits(plan, labels, since.gone), _edits(plan, labels, since.come)
    for number in {number for number, held in (*less, *added) if not held}:
        edited = _edited(counted[number], less.get((number, False), ()), added.get((number, False), ()))
        counted = (*counted[:number], edited, *counted[number + 1 :])
    now_held = dict(holds)
    for number in {number for number, held in (*less, *added) if held}:
        known = holds[number] if number in holds else [] if plan.policies[number].per is None else {}
        now_held[number] = _edited(known, less.get((number, True), ()), added.get((number, True), ()))
    held = {number: each for number, each in now_held.items() if each}
    return counted, held or NO_HOLDS


_Place = tuple[KeyValues, Values, int]
_Edits = dict[tuple[int, bool], list[_Place]]  # by the policy's number and whether it holds a place


def _edits(plan: Plan, labels: Sequence[Labels], contacts: Iterable[Logged]) -> _Edits:
    found: _Edits = {}
    for contact in contacts:
        each = labels[contact.labels]
        for number, values, held, at in places_of(plan, each, contact):
            place = (key_values(plan.policies[number], each), values, at)
            found.setdefault((number, held), []).append(place)
    return found


def _edited(known: Counted, less: Sequence[_Place], more: Sequence[_Place]) -> Counted:
    if isinstance(known, list):
        times = known.copy()
        for _, _, at in less:
            del times[bisect_left(times, at)]
        times += [at for _, _, at in more]
        times.sort()
        return times
    counters = {**known}
    for several, adds in ((less, False), (more, True)):
        for keys, values, at in several:
            by_values = {**counters.get(keys, {})}
            times = by_values.get(values, []).copy()
            if adds:
                insort(times, at)
            else:
                del times[bisect_left(times, at)]
            _put(counters, keys, _put(by_values, values, times))
    return counters


def _put(into: dict[T, Any], key: T, value: Any) -> Any:
    """Nothing is kept that counts nothing."""
    if value:
        into[key] = value
    else:
        into.pop(key, None)
    return into


def responded_since(plan: Plan, known: Responded, labels: Sequence[Labels], since: Changes) -> Responded:
    """What decision.pauses.responded would find now, from what it found before, which is not changed."""
    if not plan.pausing:
        return known
    told = [(contact, False) for contact in since.gone if contact.responses]
    told += [(contact, True) for contact in since.come if contact.responses]
    if not told:
        return known
    found: dict[int, Counters] = {**known}
    for contact, adds in told:
        each = labels[contact.labels]
        for number, values, _ in counting(plan, each):
            policy = plan.policies[number]
            if policy.after is None or not looked_at(policy.after, contact):
                continue
            keys, counters = key_values(policy, each), {**found.get(number, {})}
            by_values = {**counters.get(keys, {})}
            responses = by_values.get(values, Responses()).copy()
            for response in contact.responses:
                (responses.add if adds else responses.remove)(policy.after, response, contact.at)
            _put(found, number, _put(counters, keys, _put(by_values, values, responses)))
    return found or NOBODY_RESPONDED

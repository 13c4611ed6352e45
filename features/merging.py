"""Merging: what two profiles of one person come to once they are known to be one. Pure.

Each part is united in a way that makes no difference to order, grouping or repetition: sets of contacts and statements,
the larger of two figures, sums of what no two profiles share. So whichever profile is merged first, and into whichever
it is merged, the same is known in the end; only under which id it is kept depends on it.

Of an attribute that both have, the value of the profile whose attributes changed last stands. So that this holds
through further merges, the survivor keeps with each value that isn't its own when the profile it came from had last
changed.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from catalog.series import Aggregates, Kept, Series
from features.consents import MOST_STATEMENTS, heard, in_order, weight
from features.customer import Consent, Customer, Identity, Labels, Logged, Response
from features.events import Event
from features.readings import MisfitError, readings
from features.series import has_counted, is_past, joined, without

_MOST_INT = 2**63 - 1
_NOBODY = Identity()
_encode = msgspec.msgpack.Encoder().encode


def is_merged(customer: Customer) -> bool:
    """Their id stands for another customer now."""
    return customer.merged_into != ""


def is_frozen(customer: Customer) -> bool:
    """They are about to be merged, and what is known of them still lies here."""
    return is_merged(customer) and bool(merged_ids(customer))


def merged_ids(customer: Customer) -> tuple[str, ...]:
    """The ids whose content lies with this customer, but for their own unless they are frozen."""
    return () if customer.identity is None else customer.identity.merged


def frozen(customer: Customer, own_id: str, into: str) -> Customer:
    """The customer, about to be merged into `into`: nothing may change but by going there."""
    identity = customer.identity or _NOBODY
    return replace(customer, identity=replace(identity, into=into, merged=_ids(identity.merged, (own_id,))))


def thawed(customer: Customer, own_id: str) -> Customer:
    """The customer as before they were frozen."""
    identity = customer.identity or _NOBODY
    return replace(customer, identity=_identity(set(identity.merged) - {own_id}, identity.origins))


def alias_of(into: str) -> Customer:
    """What stays of a customer who was merged."""
    return Customer(identity=Identity(into))


class Profile(NamedTuple):
    """A customer and the id they are kept under."""

    id: str
    customer: Customer


def united(survivor: Profile, other: Profile, series: Mapping[int, Series]) -> Customer:
    """All that is known of both, kept under the survivor's id. `series` are those of the plan, by their keys."""
    one, two = survivor.customer, other.customer
    erased = max(one.erased, two.erased)
    consents, earlier = _statements(one, two, erased)
    labels, log = _contacts(one, two)
    attributes, origins = _attributes(survivor, other)
    merged = {*merged_ids(one), *merged_ids(two), other.id} - {survivor.id}
    return Customer(
        attributes=attributes,
        consents=consents,
        test=one.test or two.test,
        erased=erased,
        labels=labels,
        log=log,
        series=_series(one.series, two.series, series),
        earlier=earlier,
        changed=one.changed,
        identity=_identity(merged, origins),
    )


def _identity(merged: Iterable[str], origins: dict[str, tuple[int, str]]) -> Identity | None:
    ids = _ids(merged)
    return Identity("", ids, origins) if ids or origins else None


def _ids(*many: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({each for ids in many for each in ids}))


Stamp = tuple[int, str]  # when the profile that an attribute is from had last changed, and the profile's id


def _attributes(survivor: Profile, other: Profile) -> tuple[dict[str, Any], dict[str, Stamp]]:
    found = dict(_stamped(survivor))
    for name, theirs in _stamped(other):
        ours = found.get(name)
        if ours is None or (theirs[0], _encode(theirs[1])) > (ours[0], _encode(ours[1])):
            found[name] = theirs
    own = (survivor.customer.changed, survivor.id)
    origins = {name: stamp for name, (stamp, _) in found.items() if stamp != own}
    return {name: value for name, (_, value) in found.items()}, origins


def _stamped(profile: Profile) -> Iterator[tuple[str, tuple[Stamp, Any]]]:
    customer = profile.customer
    origins = {} if customer.identity is None else customer.identity.origins
    for name, value in customer.attributes.items():
        yield name, (origins.get(name, (customer.changed, profile.id)), value)


Statements = tuple[dict[str, Consent], dict[str, tuple[Consent, ...]]]


def _statements(one: Customer, two: Customer, erased: int) -> Statements:
    """Those in force, and those of before. Of the two in force the heavier stays. What was stated of one profile before
    is not weighed again: what followed it there may have been known to follow it.

    But a yes from before either was erased may have been taken back since by what was erased: it is a no, and weighed.
    """
    consents: dict[str, Consent] = {}
    earlier: dict[str, tuple[Consent, ...]] = {}
    for purpose in dict.fromkeys((*one.consents, *two.consents)):
        in_force = {customer.consents[purpose] for customer in (one, two) if purpose in customer.consents}
        before = {each for customer in (one, two) for each in customer.earlier.get(purpose, ())}
        weighed = {heard(each, erased) for each in in_force | before if each in in_force or each != heard(each, erased)}
        latest = consents[purpose] = max(weighed, key=weight)
        others = in_order({heard(each, erased) for each in in_force | before} - {latest})
        if others:
            earlier[purpose] = others[-MOST_STATEMENTS:]
    return consents, earlier


def _contacts(one: Customer, two: Customer) -> tuple[tuple[Labels, ...], tuple[Logged, ...]]:
    """By time; the same contact of both profiles once, with what came of it in either. Where one of them was put off
    since, it is the later.
    """
    found: dict[tuple[bytes, str, str], tuple[Labels, Logged]] = {}
    for customer in (one, two):
        for contact in customer.log:
            labels = customer.labels[contact.labels]
            key = contact.decision, labels.action, labels.channel
            known = found.get(key, (labels, contact))
            labels, latest = max(known, (labels, contact), key=_place)
            found[key] = labels, replace(latest, responses=_responses(contact.responses, known[1].responses))
    numbers: dict[Labels, int] = {}
    log = []
    for labels, contact in sorted(found.values(), key=_place):
        number = numbers.setdefault(labels, len(numbers))
        log.append(replace(contact, labels=number))
    return tuple(numbers), tuple(log)


def _place(found: tuple[Labels, Logged]) -> tuple[int, bytes, Any]:
    labels, contact = found
    return contact.at, contact.decision, msgspec.structs.astuple(labels)


def _responses(one: tuple[Response, ...], two: tuple[Response, ...]) -> tuple[Response, ...]:
    found = {each.kind: each for each in one}
    for each in two:
        known = found.get(each.kind, each)
        found[each.kind] = Response(
            each.kind,
            min(known.first, each.first),
            max(known.last, each.last),
            max(known.count, each.count),
            max(known.value, each.value),
        )
    return tuple(found[kind] for kind in sorted(found))


def _series(one: Mapping[int, Any], two: Mapping[int, Any], series: Mapping[int, Series]) -> dict[int, Any]:
    """A series that the plan doesn't know can't be joined: of two of them one is kept."""
    found = dict(one)
    for key, stored in two.items():
        known = found.get(key)
        if known is None:
            found[key] = stored
        elif key in series:
            found[key] = joined(series[key], known, stored)
        else:
            found[key] = max(known, stored, key=_encode)
    return found


def without_events(
    customer: Customer, events: Iterable[Event], aggregates: Aggregates, also: Customer | None = None
) -> Customer:
    """The customer less what these events, which were counted in them, added to sums; the rest is joined, not added.

    `also` is who was sent them too: where they have counted nothing in an event's tile, it was counted by neither, as
    its aggregate was declared later.
    """
    left = dict(customer.series)
    for event in events:
        try:
            found = readings(aggregates, event.type, event.properties)
        except MisfitError:
            continue  # it was counted by another catalog
        for series, value in found:
            stored = left.get(series.key)
            if stored is None or series.kept is not Kept.ADDED or is_past(series, event.at, event.received):
                continue
            if also is not None and not has_counted(series, also.series.get(series.key), event.at):
                continue
            less = without(series, stored, event.at, value)
            if less is None:
                del left[series.key]
            else:
                left[series.key] = less
    return replace(customer, series=left)

"""The request: decoded strictly, then resolved against the catalog into masks and typed values."""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from catalog.plan import Plan
from features.keys import LONGEST_ID
from rules.programs import Program
from rules.types import AttributeType, coerce, shown

MOST_PER_ANSWER = 50
MOST_REMEMBERED = 1_000
# The pattern is for readers of the schema: msgspec takes longer to match it than to read the whole request.
Identifier = Annotated[
    str, msgspec.Meta(min_length=1, max_length=LONGEST_ID, extra_json_schema={"pattern": r"^[^\x00-\x1f\x7f]+$"})
]
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
Limit = Annotated[int, msgspec.Meta(ge=1, le=MOST_PER_ANSWER)]


class PlacementRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A spot to fill with at most `limit` treatments."""

    id: str
    limit: Limit = 1


class NextActionRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The body of `POST /next-action`. `deadline_ms` is how long the caller waits, in milliseconds from receipt."""

    customer_id: Identifier
    channels: Annotated[list[str], msgspec.Meta(min_length=1, max_length=50)] | msgspec.UnsetType = msgspec.UNSET
    placements: (
        Annotated[list[str | PlacementRequest], msgspec.Meta(min_length=1, max_length=50)] | msgspec.UnsetType
    ) = msgspec.UNSET
    context: dict[str, Any] = {}
    limit: Limit = 1
    request_id: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_ID)] | msgspec.UnsetType = msgspec.UNSET
    deadline_ms: Annotated[int, msgspec.Meta(ge=1, le=60_000)] | msgspec.UnsetType = msgspec.UNSET
    dry_run: bool = False


def has_controls(identifier: str) -> bool:
    """Whether there are control characters in it, which no identifier has."""
    return not identifier.isprintable() and _CONTROLS.search(identifier) is not None


class RequestError(ValueError):
    """A request the catalog has no answer for. `pointer` is the JSON pointer of the field, `code` is stable."""

    def __init__(self, code: str, pointer: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.pointer = pointer
        self.message = message


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in the answer: up to `limit` of the treatments in `mask`."""

    placement: str | None
    mask: int
    limit: int


@dataclass(frozen=True, slots=True)
class Shape:
    """What requests for the same channels and placements have in common, worked out once per plan.

    `wanted` are the treatments in any slot, `actions` those that have one of them; `addresses`, `consents` and `needs`
    are the plan's, as far as these treatments are concerned.
    """

    channels: tuple[str, ...]
    slots: tuple[Slot, ...]
    wanted: int
    actions: int
    addresses: tuple[tuple[Program, int], ...]
    consents: tuple[tuple[str, int], ...]
    needs: tuple[tuple[str, str, int], ...]


@dataclass(slots=True)
class Ask:
    """A request resolved against one plan."""

    customer_id: str
    shape: Shape
    context: dict[str, Any]
    dry_run: bool = False


def resolve(request: NextActionRequest, plan: Plan, recorded: bool = False) -> Ask:
    """Raises RequestError on channels, placements and context that the catalog doesn't declare, and on placements that
    none of the channels named can fill. The latter stay empty where the request is `recorded`: there was a time when
    such requests were answered.
    """
    channels, placements = request.channels, request.placements
    key = (
        None if channels is msgspec.UNSET else tuple(channels),
        None if placements is msgspec.UNSET else tuple(placements),
        request.limit,
    )
    shape = plan.shapes.get(key)
    if shape is None:
        shape = _shape(request, plan)
        if not recorded:
            _refuse_unreachable(request, plan, shape)
        if len(plan.shapes) < MOST_REMEMBERED and not recorded:
            plan.shapes[key] = shape
    return Ask(request.customer_id, shape, _context(request, plan) if request.context else {}, request.dry_run)


def _shape(request: NextActionRequest, plan: Plan) -> Shape:
    channels = _channels(request, plan)
    slots = _slots(request, plan, channels)
    wanted = 0
    for slot in slots:
        wanted |= slot.mask
    return Shape(
        channels,
        slots,
        wanted,
        plan.actions_of(wanted),
        tuple(
            (channel.address, channel.mask)
            for channel in plan.channels.values()
            if channel.address is not None and channel.mask & wanted
        ),
        tuple((purpose, mask) for purpose, mask in plan.consent_masks.items() if mask & wanted),
        tuple((owner, name, mask) for (owner, name), mask in plan.needs.items() if mask & wanted),
    )


def _channels(request: NextActionRequest, plan: Plan) -> tuple[str, ...]:
    if request.channels is msgspec.UNSET:
        return tuple(name for name, channel in plan.channels.items() if channel.direction == "inbound")
    for position, name in enumerate(request.channels):
        if name not in plan.channels:
            raise _undeclared("channel", name, plan.channels, f"/channels/{position}")
    return tuple(dict.fromkeys(request.channels))


def _slots(request: NextActionRequest, plan: Plan, channels: Iterable[str]) -> tuple[Slot, ...]:
    inbound = outbound = 0
    for name in channels:
        channel = plan.channels[name]
        if channel.direction == "inbound":
            inbound |= channel.mask
        else:
            outbound |= channel.mask
    if request.placements is msgspec.UNSET:
        return (Slot(None, inbound | outbound, request.limit),)
    slots: dict[str, Slot] = {}
    for position, wanted in enumerate(request.placements):
        name, limit = (wanted, 1) if isinstance(wanted, str) else (wanted.id, wanted.limit)
        pointer = f"/placements/{position}"
        if name not in plan.placements:
            raise _undeclared("placement", name, plan.placements, pointer)
        if name in slots:
            raise RequestError("duplicate_placement", pointer, f"placement {shown(name)} is asked for twice")
        slots[name] = Slot(name, plan.placements[name] & inbound, limit)
    if sum(slot.limit for slot in slots.values()) > MOST_PER_ANSWER:
        raise RequestError("too_many", "/placements", f"an answer holds at most {MOST_PER_ANSWER} actions")
    best_outbound = (Slot(None, outbound, 1),) if outbound else ()
    return (*slots.values(), *best_outbound)


def _refuse_unreachable(request: NextActionRequest, plan: Plan, shape: Shape) -> None:
    """A placement that no channel named has could never be filled, not even with its fallback."""
    if request.placements is msgspec.UNSET:
        return
    for position, wanted in enumerate(request.placements):
        name = wanted if isinstance(wanted, str) else wanted.id
        owners = [each for each, channel in plan.channels.items() if name in channel.placements]
        if not set(owners).intersection(shape.channels):
            message = (
                f"placement {shown(name)} belongs to {' and '.join(map(repr, owners))}, which `channels` doesn't name: "
                "name it there too, or leave `channels` out"
            )
            raise RequestError("unreachable_placement", f"/placements/{position}", message)


def _context(request: NextActionRequest, plan: Plan) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, raw in request.context.items():
        kind = plan.context_types.get(name)
        if raw.__class__ is str and kind is AttributeType.STRING:
            values[name] = raw
            continue
        pointer = f"/context/{escaped(name)}"
        if kind is None:
            raise _undeclared("context", name, plan.context_types, pointer)
        try:
            values[name] = coerce(kind, raw)
        except ValueError as error:
            raise RequestError("wrong_type", pointer, f"context {shown(name)}: {error}") from None
    return values


def escaped(name: str) -> str:
    """`name` as a step of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def _undeclared(what: str, name: str, declared: Mapping[str, object], pointer: str) -> RequestError:
    return RequestError(f"unknown_{what}", pointer, undeclared(what, name, declared))


def undeclared(what: str, name: str, declared: Iterable[str]) -> str:
    """What is said of a `name` that is none of those `declared`."""
    names = list(declared)
    close = difflib.get_close_matches(name, names, 1)
    hint = f"; did you mean {close[0]!r}?" if close else f"; declared are {', '.join(names[:20]) or 'none'}"
    return f"{what} {shown(name)} is not declared in the catalog{hint}"

"""Release: whether a message may go out now, decided once more right before it is sent. Pure.

Between decision and sending the customer may have said no, moved, been erased, or be tired of us; the catalog may have
changed. So the message is looked at again, with the customer and the catalog of now. What was decided then and isn't
asked again are the rules (eligible, applicable, suitable), the ranking, and the text. An address that follows from the
customer alone has to be the same still: of another one the decision knew nothing.

Contact policies are asked as if this contact were about to be decided, with the labels that it was made with. Of the
other contacts those count that went out or come first (decision.preceding). A message is one of the contacts that its
decision was allowed, so this only ever says no where something has changed, or where something is late.
"""

from dataclasses import dataclass
from enum import StrEnum

from msgspec.structs import replace

from catalog.plan import Plan, QuietHours, Treatment
from decision.gates import address
from decision.policy import Allowance, limits_of
from decision.preceding import counted_before
from decision.quiet import quiet_until
from decision.view import view_of
from features.customer import Customer, Labels, Logged, moment
from rules.programs import Frame


class Unsent(StrEnum):
    """Why a message is never sent."""

    GONE = "gone"
    TEST = "test"
    EXPIRED = "expired"
    NOT_DECLARED = "not_declared"
    OUT_OF_DATES = "out_of_dates"
    NO_CONSENT = "no_consent"
    NO_CONTACT = "no_contact"
    NO_ADDRESS = "no_address"
    ADDRESS_CHANGED = "address_changed"
    QUIET_HOURS = "quiet_hours"
    CONTACT_POLICY = "contact_policy"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What a release is decided by, of a message: the contact that it is, and until when it may be sent.

    `purpose` is that of the decision; "" where there was none. Times are in microseconds since 1970 UTC.
    """

    decision_id: str
    treatment: str
    purpose: str
    address: str | None
    valid_until: int


@dataclass(frozen=True, slots=True)
class Release:
    """It may go; or never, for the reason in `unsent`; or not before quiet hours are over."""

    unsent: Unsent | None = None
    not_before: int | None = None


SEND = Release()


def released(plan: Plan, customer: Customer, message: Outgoing, now: int) -> Release:
    """What becomes of `message` at `now`, by the plan in force and the customer as they are."""
    if not customer.known:
        return Release(Unsent.GONE)
    if customer.test:
        return Release(Unsent.TEST)
    if message.valid_until <= now:
        return Release(Unsent.EXPIRED)
    treatment = _declared(plan, message.treatment)
    if treatment is None:
        return Release(Unsent.NOT_DECLARED)
    if not plan.in_dates(now) >> treatment.bit & 1:
        return Release(Unsent.OUT_OF_DATES)
    if not _agreed(customer, {message.purpose, treatment.purpose or ""} - {""}):
        return Release(Unsent.NO_CONSENT)
    contact = contact_of(customer, message)
    if contact is None:
        return Release(Unsent.NO_CONTACT)
    return _undisturbed(plan, customer, treatment, contact, message, now)


def _declared(plan: Plan, name: str) -> Treatment | None:
    known = next((each for each in plan.treatments if each is not None and each.id == name), None)
    return known if known is not None and known.direction == "outbound" else None


def _agreed(customer: Customer, purposes: set[str]) -> bool:
    """Whether there is a yes for each, and one at all: what goes out has a purpose."""
    given = [customer.consents.get(purpose) for purpose in purposes]
    return bool(given) and all(consent is not None and consent.granted for consent in given)


def contact_of(customer: Customer, message: Outgoing) -> Logged | None:
    """The contact that `message` is, in the customer's log."""
    decision = bytes.fromhex(message.decision_id)
    for contact in customer.log:
        if contact.decision == decision and customer.labels[contact.labels].treatment == message.treatment:
            return contact
    return None


def _undisturbed(
    plan: Plan, customer: Customer, treatment: Treatment, contact: Logged, message: Outgoing, now: int
) -> Release:
    others = replace(customer, log=tuple(each for each in customer.log if each is not contact))
    view = view_of(plan, others).at(now)
    frame = plan.frame(view.attributes, {}, moment(now), view.history)
    channel = plan.channels[treatment.channel]
    if channel.address is None:
        return Release(Unsent.NO_ADDRESS)
    reached = message.address if channel.asks_context else address(channel.address, frame)
    if reached != message.address:
        return Release(Unsent.NO_ADDRESS if reached is None else Unsent.ADDRESS_CHANGED)
    hours = channel.quiet
    if hours is not None and hours.mask >> treatment.bit & 1:
        waiting = _quiet(plan, hours, frame, message.valid_until, now)
        if waiting is not None:
            return waiting
    labels: Labels = customer.labels[contact.labels]
    keys, limits = dict(labels.keys), limits_of(plan, frame, view.unfit)
    counted, holds = counted_before(plan, customer, contact, now)
    allowance = Allowance(plan, counted, keys, now, frame.zone, view.responded, holds, limits)
    return Release(Unsent.CONTACT_POLICY) if allowance.blocked() >> treatment.bit & 1 else SEND


def _quiet(plan: Plan, hours: QuietHours, frame: Frame, valid_until: int, now: int) -> Release | None:
    clock = plan.clock_of(frame)
    if clock is None:
        return Release(Unsent.QUIET_HOURS)
    over = quiet_until(hours, clock, now)
    if over is None:
        return None
    return Release(not_before=over) if hours.hold and over < valid_until else Release(Unsent.QUIET_HOURS)


def put_off(customer: Customer, message: Outgoing, until: int) -> Customer:
    """`customer` with the contact that `message` is at `until`, as it is held until then; policies count it there. It
    ends when it did: with the answer that granted it.
    """
    contact = contact_of(customer, message)
    if contact is None or contact.at == until:
        return customer
    held = contact.held + until - contact.at if customer.labels[contact.labels].valid_for else 0
    moved = replace(contact, at=until, held=held)
    return replace(customer, log=tuple(moved if each is contact else each for each in customer.log))

"""Consents: which of the statements of a customer's yes and no for a purpose is in force. Pure.

An opt-out that was acknowledged and then not kept is the worst that can happen here, and clocks differ. So a time
orders two statements only where it can, and in doubt the refusal stands:

- The newest statement is in force, whichever comes first. Where two are dated no more than DOUBT apart, nobody knows
  which is the newer, and it is the refusal.
- A statement that says of no other time is made when it comes in. What was stored by then was stated before, so it
  needs no comparison of times to be the last.
- A refusal that is made as it comes in needs none either, though it says when that was: a yes that is dated later was
  dated by a clock that is ahead.
- A yes of which nobody knows when it was said, as a file's, is older than any other statement: UNDATED.

All stay as they were dated, but for one that is known to follow another: it is dated behind that.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from features.customer import Consent, Customer, micros
from rules.types import EARLIEST

UNDATED = micros(EARLIEST)
"""When a yes was made of which that isn't known: before all that any clock may say. It is shown as null."""
MOST_STATEMENTS = 20  # of a purpose, that are kept beside the one in force
CLOCKS_APART = 500_000
"""How far two workers' clocks may differ, in microseconds: the commit refuses one that is more than 250 ms off."""
DOUBT = CLOCKS_APART + 1_000_000
"""Of two statements dated no further apart than this, in microseconds, nobody knows which came first.

A statement is dated by a worker's clock, or by a caller's that is held against one; and many callers, most of those who
send e-mail for others among them, have times in whole seconds, cut.
"""


def with_consent(customer: Customer, purpose: str, statement: Consent) -> Customer:
    """The newest statement wins, whichever comes first; of two that are no more than DOUBT apart, the refusal.

    A yes from before the customer was erased is kept as a no: what it was based on is gone, perhaps a later no with it.
    """
    statement = heard(statement, customer.erased)
    known = customer.consents.get(purpose)
    if statement in customer.earlier.get(purpose, ()):
        return customer  # what followed it may have been known to
    return _stated(customer, purpose, statement, known is None or weight(statement) > weight(known))


def with_consent_now(customer: Customer, purpose: str, statement: Consent) -> Customer:
    """A statement that says of no other time than now: it follows what was stated before, and is in force.

    It is dated behind that, should the clock which dated that have been ahead.
    """
    known = customer.consents.get(purpose)
    if known is not None and known.at >= statement.at:
        statement = Consent(statement.granted, known.at + 1, statement.source)
    return _stated(customer, purpose, heard(statement, customer.erased), True)


def with_consent_by(customer: Customer, purpose: str, statement: Consent, arrived: int) -> Customer:
    """A statement that says of no other time than its own, which is now, and came in at `arrived`, before it was tried.

    A yes that was taken back while it waited came before that.
    """
    if not statement.granted:
        return with_consent_now(customer, purpose, statement)
    known = customer.consents.get(purpose)
    taken_back = customer.erased if known is None or known.granted else max(customer.erased, known.at)
    if taken_back > arrived + CLOCKS_APART:
        return with_consent(customer, purpose, Consent(True, arrived, statement.source))
    return with_consent_now(customer, purpose, Consent(True, max(arrived, customer.erased + 1), statement.source))


def with_refusal(customer: Customer, purpose: str, refusal: Consent, now: int) -> Customer:
    """A refusal that comes in at `now`. Made no more than DOUBT ago, it undoes every yes, however late that is dated:
    what is stored was made before now, whatever the clock said that dated it.
    """
    known = customer.consents.get(purpose)
    just_now = refusal.at >= now - DOUBT and known is not None and known.granted
    return (with_consent_now if just_now else with_consent)(customer, purpose, refusal)


def _stated(customer: Customer, purpose: str, statement: Consent, in_force: bool) -> Customer:
    known = customer.consents.get(purpose)
    if known is None:
        return replace(customer, consents={**customer.consents, purpose: statement})
    if statement == known:
        return customer
    others = {*customer.earlier.get(purpose, ()), known, statement} - {statement if in_force else known}
    earlier = in_order(others)[-MOST_STATEMENTS:]
    return replace(
        customer,
        consents={**customer.consents, purpose: statement} if in_force else customer.consents,
        earlier={**customer.earlier, purpose: earlier},
    )


def heard(statement: Consent, erased: int) -> Consent:
    """What it counts as for a customer who was erased at that time."""
    stale = erased and statement.granted and statement.at <= erased
    return Consent(False, statement.at, statement.source) if stale else statement


def weight(statement: Consent) -> tuple[int, bool, str]:
    """Of statements that were made apart from each other, the one that weighs most is in force."""
    return statement.at if statement.granted else statement.at + DOUBT, not statement.granted, statement.source


def in_order(statements: Iterable[Consent]) -> tuple[Consent, ...]:
    """By their time; of the same time, the refusal last."""
    return tuple(sorted(statements, key=lambda each: (each.at, not each.granted, each.source)))

"""Which statement is in force: the newest, whichever comes first; in doubt the refusal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.consents import DOUBT, MOST_STATEMENTS, with_consent, with_consent_now, with_refusal
from features.customer import EMPTY, Consent, Customer

YES, NO = Consent(True, 10 * DOUBT, "form"), Consent(False, 10 * DOUBT, "call")

times = st.integers(0, 6).map(lambda number: number * DOUBT // 2)
statements = st.builds(Consent, st.booleans(), times, st.sampled_from(["", "form"]))


def told(*statements: Consent) -> Customer:
    customer = EMPTY
    for statement in statements:
        customer = with_consent(customer, "marketing", statement)
    return customer


def standing(customer: Customer) -> Consent:
    return customer.consents["marketing"]


def at(statement: Consent, later: int) -> Consent:
    return Consent(statement.granted, statement.at + later, statement.source)


@given(st.lists(statements, min_size=1, max_size=6))
def test_the_newest_stands_and_in_doubt_the_refusal_in_any_order(many: list[Consent]) -> None:
    """By definition: a yes stands that no refusal was made after, nor so shortly before that this can't be told."""
    given_last = max((each.at for each in many if each.granted), default=-1)
    expected = given_last >= 0 and all(each.granted or each.at + DOUBT < given_last for each in many)
    assert standing(told(*many)).granted is expected
    assert standing(told(*many)) == standing(told(*many[::-1]))


@pytest.mark.parametrize(("later", "granted"), [(-DOUBT - 1, True), (-DOUBT, False), (0, False), (DOUBT, False)])
def test_a_refusal_undoes_a_yes_that_may_have_been_made_before_it(later: int, granted: bool) -> None:
    for order in ((YES, at(NO, later)), (at(NO, later), YES)):
        assert standing(told(*order)).granted is granted


def test_the_others_are_kept_by_their_time_and_one_told_again_is_no_other() -> None:
    customer = told(YES, at(NO, -1), at(YES, -DOUBT), YES, at(NO, -1))
    assert standing(customer) == at(NO, -1)
    assert customer.earlier == {"marketing": (at(YES, -DOUBT), YES)}
    many = told(*(at(YES, number) for number in range(MOST_STATEMENTS + 5)))
    assert len(many.earlier["marketing"]) == MOST_STATEMENTS
    assert many.earlier["marketing"][-1] == at(YES, MOST_STATEMENTS + 3)


def test_purposes_are_apart() -> None:
    customer = with_consent(told(YES), "service", NO)
    assert (standing(customer), customer.consents["service"]) == (YES, NO)


@pytest.mark.parametrize("first", [YES, NO])
@pytest.mark.parametrize("then", [YES, NO])
@pytest.mark.parametrize("later", [-100 * DOUBT, -1, 0, 1])
def test_what_is_said_now_is_in_force_and_dated_behind_what_was(first: Consent, then: Consent, later: int) -> None:
    customer = with_consent_now(told(first), "marketing", at(then, later))
    assert standing(customer) == Consent(then.granted, max(then.at + later, first.at + 1), then.source)
    assert customer.earlier == {"marketing": (first,)}
    again = with_consent(told(NO), "marketing", at(YES, 1))
    again = with_consent_now(again, "marketing", YES)
    assert (standing(again), again.earlier) == (at(YES, 1), {"marketing": (NO,)}), "once more, of the same time"


def test_who_says_yes_right_after_a_no_has_not_said_no_again() -> None:
    """The yes is known to follow this refusal; another that may have been made after it, it doesn't."""
    customer = with_consent_now(told(NO), "marketing", YES)
    assert standing(with_consent(customer, "marketing", NO)).granted is True
    assert standing(with_consent(customer, "marketing", at(NO, -1))).granted is False
    assert standing(with_consent(customer, "marketing", at(NO, -DOUBT))).granted is True


def test_a_refusal_made_as_it_comes_in_undoes_a_yes_of_a_clock_that_is_ahead() -> None:
    ahead = told(at(YES, 100 * DOUBT))
    now = NO.at
    refused = with_refusal(ahead, "marketing", NO, now)
    assert standing(refused) == Consent(False, YES.at + 100 * DOUBT + 1, "call")
    assert standing(with_refusal(refused, "marketing", NO, now)) == standing(refused), "told again it is none the later"
    assert standing(with_refusal(ahead, "marketing", at(NO, -DOUBT), now)).granted is False
    assert standing(with_refusal(ahead, "marketing", at(NO, -DOUBT - 1), now)).granted is True, "it is of before"
    assert standing(with_refusal(EMPTY, "marketing", NO, now)) == NO


def test_a_yes_from_before_an_erasure_is_a_no() -> None:
    erased = Customer(erased=YES.at)
    assert standing(with_consent(erased, "marketing", YES)) == Consent(False, YES.at, "form")
    assert standing(with_consent_now(erased, "marketing", YES)).granted is False
    assert standing(with_consent(erased, "marketing", at(YES, 1))).granted is True

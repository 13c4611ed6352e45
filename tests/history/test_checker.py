"""The checker finds each kind of violation in a history written by hand, and nothing in the same history without it."""

from dataclasses import replace

import pytest

from tests.history.checker import check
from tests.history.limits import BUDGET, BUDGETED, HOUR, SECOND, Limit
from tests.history.log import OWN, Decision, Log, Response, State
from tests.history.operations import Completed, Invoked, Kind, Line, Loss, Operation, Outcome, paired

WHO = "c-1"
WALL = 1_000 * HOUR
LIMITS = (Limit("letter", 1), Limit("news", 2, calendar=True), Limit("note", 2, rolling=2 * SECOND))


def done(kind: Kind, key: str, invoked: int, returned: int | None, told: str = "", unanswered: int = 0) -> Operation:
    """With its first try, or never."""
    outcome = Outcome.INFO if returned is None else Outcome.OK
    unanswered = unanswered or returned is None
    return Operation(kind, WHO, key, invoked, invoked, returned, outcome, told, granted=True, unanswered=unanswered)


def decided(number: int, at: int, granted: tuple[str, ...], contacts: tuple[tuple[str, str], ...] = ()) -> Decision:
    """Of request `r-<number>`, at a time of the histories."""
    seen = State("s-1", True, "a-1", contacts)
    return Decision(f"d-{number}", WHO, f"r-{number}", at + WALL, at + WALL, f"answer {number}", granted, seen)


SAID = [done(Kind.ATTRIBUTE, "a-1", 0, 1000), done(Kind.CONSENT, "s-1", 2000, 3000)]
FIRST = decided(1, 10_000, ("letter", "note"))
ONE = (("d-1", "letter"), ("d-1", "note"))
SECOND_ONE = decided(2, 20_000, ("note",), ONE)
TWO = (*ONE, ("d-2", "note"))
ASKED = [done(Kind.DECIDE, "r-1", 9_000, 11_000, "answer 1"), done(Kind.DECIDE, "r-2", 19_000, 21_000, "answer 2")]
ASKED += [done(Kind.DECIDE, f"r-{number}", 9_000, None) for number in (3, 4, 5)]
SENT = [done(Kind.EVENT, "e-1", 30_000, 31_000)]
LOG = Log(
    [FIRST, SECOND_ONE],
    [(WHO, "e-1")],
    sent=list(TWO),
    states={WHO: State("s-1", True, "a-1", TWO)},
    visits={WHO: 1},
)


def rules(operations: list[Operation], log: Log, losses: tuple[Loss, ...] = ()) -> list[str]:
    return [violation.rule for violation in check(operations, log, LIMITS, losses, WALL)]


def after_all(decision: Decision) -> Log:
    """The log with one more decision, of which its state knows."""
    granted = tuple((decision.id, action) for action in decision.granted)
    states = {WHO: replace(LOG.states[WHO], contacts=(*TWO, *granted))}
    return replace(LOG, decisions=[*LOG.decisions, decision], states=states, sent=[*TWO, *granted])


def test_a_history_as_it_should_be() -> None:
    assert rules([*SAID, *ASKED, *SENT], LOG) == []


def test_what_nobody_knows_the_end_of_may_have_happened_or_not() -> None:
    unknown = [done(Kind.EVENT, "e-2", 1, None), done(Kind.DECIDE, "r-9", 1, None), done(Kind.CONSENT, "s-2", 4, None)]
    assert rules([*SAID, *unknown, *ASKED, *SENT], LOG) == []
    came = replace(LOG, events=[*LOG.events, (WHO, "e-2")], visits={WHO: 2})
    assert rules([*SAID, *unknown, *ASKED, *SENT], came) == []


@pytest.mark.parametrize(
    ("log", "rule"),
    [
        (replace(LOG, decisions=[FIRST, FIRST, SECOND_ONE]), "recorded"),
        (replace(LOG, decisions=[FIRST, SECOND_ONE, replace(SECOND_ONE, id="d-3", granted=())]), "recorded"),
        (replace(LOG, events=[(WHO, "e-1")] * 2), "recorded"),
        (replace(LOG, sent=list(TWO[1:])), "recorded"),
        (replace(LOG, sent=[*TWO, TWO[0]]), "recorded"),
        (replace(LOG, decisions=[FIRST]), "acknowledged"),
        (replace(LOG, decisions=[FIRST, replace(SECOND_ONE, answer="another")]), "acknowledged"),
        (replace(LOG, events=[], visits={WHO: 0}), "acknowledged"),
        (replace(LOG, visits={WHO: 2}), "acknowledged"),
        (replace(LOG, states={WHO: State("", False, "a-1", TWO)}), "acknowledged"),
        (replace(LOG, states={WHO: State("s-1", True, "", TWO)}), "acknowledged"),
        (replace(LOG, states={WHO: State("s-1", True, "a-1", ONE)}), "contacts"),
        (replace(LOG, states={WHO: State("s-1", True, "a-1", (*TWO, ("d-9", "note")))}), "contacts"),
        (replace(LOG, states={WHO: State("s-1", True, "a-1", (TWO[1], TWO[0], TWO[2]))}), "contacts"),
        (replace(LOG, decisions=[FIRST, replace(SECOND_ONE, seen=State("s-1", True, "a-1", ONE[:1]))]), "contacts"),
        (replace(LOG, decisions=[FIRST, replace(SECOND_ONE, seen=State("s-1", False, "a-1", ONE))]), "consent"),
        (replace(LOG, decisions=[FIRST, replace(SECOND_ONE, seen=State("", True, "a-1", ONE))]), "latest"),
        (replace(LOG, decisions=[FIRST, replace(SECOND_ONE, seen=State("s-9", True, "a-1", ONE))]), "latest"),
        (replace(LOG, decisions=[FIRST, replace(SECOND_ONE, seen=State("s-1", True, "", ONE))]), "latest"),
        (replace(LOG, decisions=[FIRST, replace(SECOND_ONE, at=WALL + 272_000)]), "time"),
        (replace(LOG, decisions=[replace(FIRST, at=WALL + 10_000 - 351_000), SECOND_ONE]), "time"),
        (replace(LOG, decisions=[FIRST, replace(SECOND_ONE, at=WALL + 9_000)]), "time"),
        (after_all(decided(3, 40_000, (BUDGETED,) * (BUDGET + 1), TWO)), "budget"),
        (after_all(decided(3, 40_000, ("letter",), TWO)), "limit"),
        (after_all(decided(3, 40_000, ("note",), TWO)), "limit"),
        (after_all(decided(3, 40_000, ("news", "news", "news"), TWO)), "limit"),
    ],
)
def test_each_violation(log: Log, rule: str) -> None:
    assert rule in rules([*SAID, *ASKED, *SENT], log)


def test_who_decides_knows_what_had_been_told_of_contacts_and_nothing_else() -> None:
    """Acknowledged at 16,000, of something at 14,000; another at 18,000 has no end that anybody knows."""
    note = ("d-1", "note")
    sent = [done(Kind.EVENT, "i-1", 15_000, 16_000), done(Kind.EVENT, "i-2", 17_000, None)]
    told = [
        Response(WHO, f"i-{number}", note, "failed", WALL + at, WALL + received)
        for number, at, received in ((1, 14_000, 15_500), (2, 13_000, 18_000))
    ]
    later = Response(WHO, "i-3", note, "click", WALL + 20_500, WALL + 20_500)

    def rules_of(first: dict[str, int], last: dict[str, int]) -> list[str]:
        decisions = [FIRST, replace(SECOND_ONE, seen=replace(SECOND_ONE.seen, responses=known(first)))]
        states = {WHO: replace(LOG.states[WHO], responses=known(last))}
        events = [*LOG.events, *((WHO, f"i-{number}") for number in (1, 2, 3))]
        log = replace(LOG, decisions=decisions, states=states, events=events, responses=[*told, later])
        return rules([*SAID, *ASKED, *SENT, *sent], log)

    def known(told: dict[str, int]) -> dict[tuple[str, str], dict[str, int]]:
        return {note: {kind: WALL + at for kind, at in told.items()}}

    end = {"failed": 13_000, "click": 20_500}
    assert rules_of({"failed": 14_000}, end) == []
    assert rules_of({"failed": 13_000}, end) == []
    assert rules_of({}, end) == ["responses"], "it was acknowledged"
    assert rules_of({"failed": 13_500}, end) == ["responses"], "nobody told that"
    assert rules_of(end, end) == ["responses"], "nobody had told of a click yet"
    assert rules_of({"failed": 14_000}, {"failed": 13_000}) == ["responses"], "in the end all of them are known"
    assert rules_of({"failed": 14_000}, {"failed": 14_000, "click": 20_500}) == ["responses"]


def test_two_ids_are_one_customer_from_the_merge_on() -> None:
    """What was granted by the other id counts, from the acknowledgement at 19,000 on."""
    cookie = f"{WHO}{OWN}1"
    merge = replace(done(Kind.MERGE, WHO, 17_000, 19_000), customer=cookie)
    seen = State("s-9", True)
    note = Decision("d-9", cookie, "r-9", WALL + 5_000, WALL + 5_000, "answer 9", ("note",), seen)
    asked = [replace(done(Kind.DECIDE, "r-9", 4_000, 5_500, "answer 9"), customer=cookie)]
    asked += [replace(done(Kind.CONSENT, "s-9", 1_500, 1_800), customer=cookie)]
    contacts = (("d-9", "note"), *ONE)
    knows = State("s-1", True, "a-1", contacts, merged=(cookie,))

    def rules_of(second: State, first: tuple[Decision, ...] = (note,), losses: tuple[Loss, ...] = ()) -> list[str]:
        decisions = [*first, FIRST, replace(SECOND_ONE, granted=("alert",), seen=second)]
        sent = [(each.id, action) for each in decisions for action in each.granted]
        last = replace(knows, contacts=(*contacts, ("d-2", "alert")))
        states = {WHO: last, cookie: State(into=WHO)}
        log = replace(LOG, decisions=decisions, sent=sent, states=states)
        return rules([*SAID, *ASKED, *SENT, *asked, merge], log, losses)

    assert rules_of(knows) == []
    assert rules_of(replace(knows, contacts=(*ONE, ("d-9", "note")))) == [], "by their times, or not"
    assert rules_of(replace(knows, contacts=ONE)) == ["contacts"], "what the other id had been granted is forgotten"
    assert rules_of(replace(knows, merged=(), contacts=ONE)) == ["merged"]
    assert rules_of(replace(knows, merged=(cookie, "c-2"))) == ["merged"], "nobody merged that"
    late = replace(note, at=WALL + 20_000, stored=WALL + 20_000)
    assert "merged" in rules_of(knows, (late,)), "a decision by an id that is no customer any more"
    lost = Loss(since=18_000, until=19_500)
    assert rules_of(replace(knows, merged=(), contacts=ONE), losses=(lost,)) == []
    assert rules_of(replace(knows, statement="s-9")) == [], "a yes is a yes, whichever of two ids it was said by"
    off = replace(merge, kind=Kind.CONSENT, key="s-8", granted=False, customer=cookie, invoked=1_900, returned=6_000)
    asked.append(off)
    assert rules_of(knows) == []
    assert rules_of(replace(knows, statement="s-8", granted=False)) == ["consent", "latest"]
    twice = (*contacts, ("d-9", "note"))
    assert rules_of(replace(knows, contacts=twice)) == ["contacts"]


def test_what_was_erased_is_gone_and_decides_nothing() -> None:
    """Erased between 30,000 and 40,000; a yes of before, or its attribute, is not to be seen after that."""
    erased = done(Kind.ERASE, "", 30_000, 40_000)
    anew = [done(Kind.CONSENT, "s-2", 41_000, 42_000), done(Kind.DECIDE, "r-3", 43_000, 46_000, "answer 3")]
    decision = decided(3, 45_000, ())

    def rules_of(seen: State, *others: Decision) -> list[str]:
        log = Log([*others, replace(decision, seen=seen)], states={WHO: seen})
        return rules([*SAID, *ASKED, *SENT, erased, *anew], log)

    assert rules_of(State("s-2", True)) == []
    assert rules_of(State("s-2", True), replace(FIRST, granted=(), seen=State())) == ["erased"], "it is still there"
    assert rules_of(State("s-2", True, "a-1")) == ["erased", "erased", "latest", "latest"]
    assert "erased" in rules_of(State("s-1", True))
    assert rules_of(State("erased", False)) == []
    assert rules_of(State("erased", True)) == ["consent"] * 4
    assert rules_of(State("s-2", True, contacts=ONE)) == ["contacts", "contacts"]


def test_clocks_may_be_a_quarter_of_a_second_off() -> None:
    ahead = replace(LOG, decisions=[FIRST, replace(SECOND_ONE, at=WALL + 270_000)])
    behind = replace(LOG, decisions=[replace(FIRST, at=WALL + 10_000 - 250_000), SECOND_ONE])
    assert rules([*SAID, *ASKED, *SENT], ahead) == []
    assert rules([*SAID, *ASKED, *SENT], behind) == []


def test_more_than_a_limit_allows_at_once_by_a_clock_that_goes_back() -> None:
    """Dated two seconds apart they are within every limit: only the server's clock tells that they were one moment."""
    notes = tuple((f"d-{number}", "note") for number in range(1, 5))
    decisions = [
        replace(decided(number, 100 * SECOND, ("note",), notes[: number - 1]), at=WALL + dated * SECOND)
        for number, dated in enumerate((94, 94, 97, 97), 1)
    ]
    log = Log(decisions, sent=list(notes), states={WHO: State("s-1", True, "a-1", notes)})
    assert rules([*SAID, *ASKED], log) == ["time"] * 4


def test_windows_end() -> None:
    """The second contact of the window ends 2 s after it, to the microsecond, a calendar's hour with the hour."""
    assert rules([*SAID, *ASKED, *SENT], after_all(decided(3, 10_000 + 2 * SECOND, ("note",), TWO))) == []
    assert rules([*SAID, *ASKED, *SENT], after_all(decided(3, 10_000 + 2 * SECOND - 1, ("note",), TWO))) == ["limit"]
    fourth = decided(4, HOUR - 1, ("news", "news"), TWO)
    known = tuple((fourth.id, "news") for _ in range(2))
    log = after_all(fourth)
    fifth = replace(decided(5, HOUR, ("news",), (*TWO, *known)))
    log = replace(log, decisions=[*log.decisions, fifth], states={}, sent=[*log.sent, (fifth.id, "news")])
    assert "limit" not in rules([*SAID, *ASKED, *SENT], log)


def test_a_power_loss_excuses_what_came_after_the_copy_and_nothing_else() -> None:
    state = State("s-1", True, "a-1", ONE)
    gone = Log([FIRST], sent=list(ONE), states={WHO: state}, visits={WHO: 0})
    operations = [*SAID, *ASKED, *SENT]
    assert rules(operations, gone, (Loss(since=15_000, until=40_000),)) == []
    assert rules(operations, gone, (Loss(since=22_000, until=40_000),)) == ["acknowledged"], "the second was before"
    assert rules(operations, gone, (Loss(since=15_000, until=25_000),)) == ["acknowledged"], "the event was after"
    assert set(rules(operations, gone)) == {"acknowledged"}


@pytest.mark.parametrize("place", [0, 1, 2], ids=["statement", "decision", "event"])
def test_a_power_loss_excuses_nothing_that_was_sent_again_after_it(place: int) -> None:
    """Nobody knows what became of its first try, before. The acknowledged one met the Redis that had come back."""
    off = done(Kind.CONSENT, "s-2", 12_000, 60_000, unanswered=1)
    asked = done(Kind.DECIDE, "r-3", 12_000, 60_000, "answer 3", unanswered=1)
    sent = done(Kind.EVENT, "e-2", 12_000, 60_000, unanswered=1)
    operation, loss = (off, asked, sent)[place], Loss(since=11_500, until=25_000)
    others = [*SAID, *ASKED, *SENT]
    assert rules([*others, replace(operation, sent=24_999)], LOG, (loss,)) == []
    assert rules([*others, replace(operation, sent=25_000)], LOG, (loss,)) == ["acknowledged"]


def test_a_withdrawal_holds_from_its_acknowledgement_on() -> None:
    """Who decides after it on the statement before has decided on the past, granted or not."""
    off = done(Kind.CONSENT, "s-2", 12_000, 18_000)
    assert rules([*SAID, off, *ASKED, *SENT], replace(LOG, states={})) == ["latest"]
    assert rules([*SAID, replace(off, returned=22_000), *ASKED, *SENT], replace(LOG, states={})) == []
    assert rules([*SAID, replace(off, returned=22_000), *ASKED, *SENT], LOG) == ["acknowledged"]


@pytest.mark.parametrize("stored", [True, False])
def test_a_state_says_what_the_statement_said(stored: bool) -> None:
    state = State("s-1", stored, "a-1")
    log = Log([replace(decided(1, 10_000, ()), seen=state)], states={WHO: state})
    said, otherwise = [[SAID[0], replace(SAID[1], granted=granted), ASKED[0]] for granted in (stored, not stored)]
    assert rules(said, log) == []
    assert rules(otherwise, log) == ["consent"] * 2


def test_an_attribute_that_was_sent_again_may_come_late_but_not_a_statement() -> None:
    later = [done(Kind.ATTRIBUTE, "a-2", 12_000, 13_000), done(Kind.CONSENT, "s-2", 14_000, 15_000)]
    stood = replace(LOG, states={WHO: State("s-1", True, "a-1", TWO)}, decisions=[FIRST, SECOND_ONE])
    twice = [replace(each, unanswered=1) for each in SAID]
    assert rules([*twice, *later, *ASKED, *SENT], stood) == ["latest", "acknowledged"]


def test_nobody_is_told_that_nothing_is_under_way_and_yet_decided_for() -> None:
    """The first decision is written at 10,000: by then every try was denied, or not sent yet."""
    first, *others = ASKED
    others += [*SAID, *SENT]
    denied = replace(first, outcome=Outcome.INFO, returned=11_000, told="", unanswered=3, denied=3)
    assert rules([denied, *others], LOG) == ["recorded"]
    assert rules([replace(denied, denied=2), *others], LOG) == [], "of one nobody knows the end"
    assert rules([denied, replace(first, invoked=8_000), *others], LOG) == [], "somebody else was answered"
    assert rules([replace(denied, key="r-3"), first, *others], LOG) == [], "another request was denied"
    again = replace(first, sent=11_000, returned=12_000, unanswered=1, denied=1)
    assert rules([again, *others], LOG) == ["recorded"], "a try after it found what the denied one had left"
    assert rules([replace(again, sent=10_999), *others], LOG) == [], "the log's times are in whole milliseconds"
    assert rules([replace(again, denied=0), *others], LOG) == []


def test_a_decision_nobody_asked_for() -> None:
    assert rules([*SAID, *ASKED[1:], *SENT], LOG) == ["recorded"]


def test_a_refusal_is_a_violation() -> None:
    refused = replace(ASKED[0], outcome=Outcome.FAIL, told="422: no")
    assert rules([*SAID, refused, *ASKED[1:], *SENT], LOG) == ["refused"]


def test_a_history_that_ends_within_an_operation() -> None:
    lines: list[Line] = [
        Invoked("o-1", Kind.EVENT, WHO, "e-1", 5),
        Completed("o-1", Outcome.OK, 6, 8, "stored", 3, 2, 1),
        Invoked("o-2", Kind.EVENT, WHO, "e-2", 9),
    ]
    first, second = paired(lines)
    assert (first.invoked, first.sent, first.returned) == (5, 6, 8)
    assert (first.outcome, first.unanswered, first.cuts, first.denied) == (Outcome.OK, 3, 2, 1)
    assert (second.sent, second.returned, second.outcome, second.unanswered) == (9, None, Outcome.INFO, 1)

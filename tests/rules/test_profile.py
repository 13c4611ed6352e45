"""Segments and scores: what rules see of them is what their own rules come to, in and out of the index."""

from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from rules.checking import Environment
from rules.errors import RuleError
from rules.index import Index, Terms
from rules.normal import normalize
from rules.profile import band_at, band_tree, score_tree, segments_tree, share_of, weighted
from rules.programs import Frame, compile_program
from rules.types import AttributeType
from tests.rules.declared import Case, environment, random_case
from tests.rules.grammar import Grammar
from tests.rules.oracle import Answer
from tests.rules.property import ORACLE, frame_of, with_defined

NOW = datetime(2026, 1, 1, tzinfo=UTC)
Held = Callable[[set[str]], bool]


def random_formula(random: Random, names: list[str], depth: int) -> tuple[str, Held]:
    """A rule over segments, and the same in Python, given the names of those that hold."""
    if depth == 0:
        name = random.choice(names)
        if random.random() < 0.2:
            return f'customer.groups.exists(g, g == "{name}")', lambda held: name in held
        return f'"{name}" in customer.groups', lambda held: name in held
    (one, first), (other, second) = (random_formula(random, names, depth - 1) for _ in range(2))
    match random.randrange(4):
        case 0:
            return f"({one}) && ({other})", lambda held: first(held) and second(held)
        case 1:
            return f"({one}) || ({other})", lambda held: first(held) or second(held)
        case 2:
            return f"!({one})", lambda held: not first(held)
    third, otherwise = random_formula(random, names, 0)
    return (
        f"(({one}) ? ({other}) : ({third}))",
        lambda held: second(held) if first(held) else otherwise(held),
    )


def held_by_cel(answers: dict[str, Answer], case: Case) -> list[str]:
    seen = with_defined(case)
    return [name for name, ask in answers.items() if ask(seen) is True]


@pytest.mark.parametrize("seed", range(25))
def test_rules_over_segments_agree_with_the_official_evaluator(seed: int) -> None:
    random = Random(f"segments/{seed}")
    grammar, made = Grammar(random), environment()
    written = {f"s{number}": grammar.rule() for number in range(random.choice([1, 3, 6]))}
    answers = {name: ORACLE.compile(rule.oracle) for name, rule in written.items()}
    tree = segments_tree({name: made.check(rule.user).tree for name, rule in written.items()})
    made.define({"groups": tree})
    formulas = [random_formula(random, list(written), random.randrange(4)) for _ in range(12)]
    plain = made.check(next(iter(written.values())).user)  # a rule that shares its terms with a segment
    rules = [*(made.check(source) for source, _ in formulas), plain]
    terms = Terms()
    whole, halves = Index(rules), [Index(rules[:6], terms), Index(rules[6:], terms)]
    segments, programs = compile_program(tree), [compile_program(rule.tree) for rule in rules]
    for _ in range(12):
        case = random_case(random)
        held = held_by_cel(answers, case)
        assert segments(frame_of(case)) == held
        expected = [formula(set(held)) for _, formula in formulas]
        assert [program(frame_of(case)) for program in programs[:-1]] == expected
        mask = sum(1 << place for place, value in enumerate([*expected, "s0" in held]) if value)
        assert whole.match(frame_of(case)) == mask
        shared = frame_of(case)
        assert halves[0].match(shared) | halves[1].match(shared) << 6 == mask


CUSTOMER = {"visits": AttributeType.INT, "spent": AttributeType.DOUBLE, "tier": AttributeType.STRING}


def profiled() -> Environment:
    made = Environment(CUSTOMER, {})
    parts = [("double(customer.visits) / 10.0", 3.0, 0.0), ("customer.spent", 1.0, 0.5)]
    score = score_tree([(made.check(source, "any").tree, weight, missing) for source, weight, missing in parts])
    made.define({"health": score, "health_band": band_tree(score, {"low": 0, "middle": 50, "high": 75})})
    sources = {"often": "customer.visits > 5", "well": 'customer.health_band == "high"'}
    made.define({"segments": segments_tree({name: made.check(source).tree for name, source in sources.items()})})
    return made


def value_of(source: str, customer: dict[str, Any]) -> Any:
    return compile_program(profiled().check(source, "any").tree)(Frame(customer, {}, NOW))


@pytest.mark.parametrize(
    ("customer", "score", "band"),
    [
        ({"visits": 10, "spent": 1.0}, 100.0, "high"),
        ({"visits": 25, "spent": 3e300}, 100.0, "high"),  # each part is held within 0 and 1
        ({"visits": -5, "spent": -1.0}, 0.0, "low"),
        ({}, 12.5, "low"),  # what is missing counts as declared
        ({"visits": 5}, 50.0, "middle"),  # a band begins at its bound
        ({"visits": 10, "spent": 0.0}, 75.0, "high"),
        ({"visits": 10, "spent": float("nan")}, 87.5, "high"),  # no number is no value
        ({"visits": "ten", "spent": 0.0}, 0.0, "low"),
        ({"visits": 6, "spent": True}, 70.0, "middle"),
    ],
)
def test_a_score_is_the_weighted_mean_of_its_parts(customer: dict[str, Any], score: float, band: str) -> None:
    assert value_of("customer.health", customer) == score
    assert value_of("customer.health_band", customer) == band


def test_everybody_has_scores_and_segments() -> None:
    assert value_of("has(customer.health) && has(customer.health_band) && has(customer.segments)", {}) is True
    assert value_of("customer.segments", {}) == []
    assert value_of("customer.segments", {"visits": 10}) == ["often", "well"]
    assert value_of('customer.segments == ["often", "well"] && customer.segments.size() == 2', {"visits": 10}) is True
    assert value_of('!("often" in customer.segments)', {}) is True


def test_a_full_score_is_a_hundred_whatever_the_weights() -> None:
    random = Random("weights")
    for _ in range(2000):
        weights = [random.choice([random.random(), random.random() * 1e9, 0.07]) for _ in range(random.randrange(1, 9))]
        assert weighted([1.0] * len(weights), weights) == 100.0
        assert 0.0 <= weighted([random.random() for _ in weights], weights) <= 100.0


@pytest.mark.parametrize(
    ("value", "share"),
    [(0.25, 0.25), (True, 1.0), (False, 0.0), (3, 1.0), (-1, 0.0), (float("inf"), 1.0), ("1", None), (None, None)],
)
def test_what_a_parts_value_counts(value: Any, share: float | None) -> None:
    assert share_of(value) == share


def test_bands_begin_at_their_bound() -> None:
    assert [band_at(score, [0.0, 40.0, 70.0]) for score in (0.0, 39.9, 40.0, 69.9, 70.0, 100.0)] == [0, 0, 1, 1, 2, 2]


def test_a_segment_that_does_not_exist_is_an_error_at_its_place() -> None:
    with pytest.raises(RuleError) as refused:
        profiled().check('customer.visits > 3 &&\n  "ofen" in customer.segments')
    assert (refused.value.line, refused.value.column) == (2, 3)
    assert refused.value.message == "ofen is not a declared segment; did you mean often?"
    with pytest.raises(RuleError, match="zzz is not a declared segment; known: often, well"):
        profiled().check('customer.segments.exists(s, "zzz" in customer.segments)')


def test_the_index_sees_through_a_segment_to_the_terms_of_its_rule() -> None:
    rule = normalize(profiled().check('"often" in customer.segments && customer.tier == "gold"').tree)
    assert [[atom.operator for atom in row] for row in rule.rows] == [["_>_", "_==_"]]


class Counted(dict[str, Any]):
    asked = 0

    def __getitem__(self, name: str) -> Any:
        self.asked += 1
        return super().__getitem__(name)


def test_a_score_that_many_rules_ask_for_is_computed_once() -> None:
    made = profiled()
    rules = [made.check(f"customer.health > {bound}.0") for bound in range(50)]
    terms = Terms()
    customer = Counted(visits=4, spent=1.0)
    frame = Frame(customer, {}, NOW)
    assert Index(rules[:25], terms).match(frame) | Index(rules[25:], terms).match(frame) << 25 == (1 << 50) - 1
    assert customer.asked == 2


EVENT = Environment.of_event(
    {"amount": AttributeType.DOUBLE, "kind": AttributeType.STRING, "due": AttributeType.TIMESTAMP}
)


def test_a_filter_sees_the_event_and_nothing_else() -> None:
    wanted = compile_program(EVENT.check('event.amount > 5 && in_band(event.amount, 0, 9) && event.kind != "x"').tree)
    assert wanted(Frame({"amount": 1.0}, {"amount": 7.0, "kind": "y"}, NOW)) is True
    assert wanted(Frame({}, {"amount": 5.0, "kind": "y"}, NOW)) is False
    assert compile_program(EVENT.check("has(event.kind)").tree)(Frame({"kind": "y"}, {}, NOW)) is False


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("event.amuont > 5.0", "event.amuont is not declared; did you mean event.amount?"),
        ("customer.amount > 5.0", "customer.amount is not known here; expressions may use event"),
        ("context.amount > 5.0", "context.amount is not known here; expressions may use event"),
        ("event.due < now", "now is not known here; expressions may use event"),
        ("days_until(event.due) < 3", "days_until is not known here; expressions may use event"),
        ("event == event", "rules do not support event as a value: name one of its attributes"),
    ],
)
def test_what_a_filter_may_not_say(source: str, message: str) -> None:
    with pytest.raises(RuleError) as refused:
        EVENT.check(source)
    assert refused.value.message == message


def test_elsewhere_event_is_a_name_like_any_other() -> None:
    made = Environment({"tags": AttributeType.STRING_LIST}, {})
    tree = made.check('customer.tags.exists(event, event == "new")').tree
    assert compile_program(tree)(Frame({"tags": ["new"]}, {}, NOW)) is True

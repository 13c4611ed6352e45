"""Exploration's probabilities are exact: what an answer logs is how often it comes about, so that weighing each answer
by 1 / probability counts every action as if it had always been given.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator

import pytest

from catalog.plan import Plan
from decision.decide import Pick, decide
from decision.request import NextActionRequest, resolve
from decision.view import view_of
from features.customer import EMPTY
from tests.decision.plans import plan_of

NOW = 1_760_000_000_000_000
ROUNDS = 3_000
RATE = 0.5
WRITABLE, UNWRITABLE = "x", "{{ customer.name | upper }}"  # that there is no name only rendering tells


def plan_with(texts: list[str]) -> Plan:
    """Actions a, b, c … with these texts, the first the most valuable."""
    actions = "".join(
        f"  {name}: {{value: {9 - place}, treatments: {{web: {{t: '{text}'}}}}}}\n"
        for place, (name, text) in enumerate(zip("abcdefgh", texts, strict=False))
    )
    return plan_of(
        "customer: {name: string}\nchannels: {web: {direction: inbound}}\n"
        f"actions:\n{actions}exploration: {{rate: {RATE}}}\n"
    )


def answers(plan: Plan, limit: int = 1) -> Iterator[tuple[Pick, ...]]:
    ask = resolve(NextActionRequest("c", limit=limit), plan)
    view = view_of(plan, EMPTY)
    for seed in range(ROUNDS):
        yield decide(plan, ask, view, NOW, seed).picks


def probability(pick: Pick) -> float:
    assert pick.chosen is not None
    return pick.chosen.probability


@pytest.mark.parametrize(
    "texts",
    [
        [UNWRITABLE, WRITABLE, WRITABLE],
        [WRITABLE, UNWRITABLE, WRITABLE],
        [UNWRITABLE, UNWRITABLE, WRITABLE],
        [WRITABLE, WRITABLE, UNWRITABLE, UNWRITABLE],
        [WRITABLE, WRITABLE, WRITABLE],
    ],
    ids=lambda texts: "".join("_x"[text == WRITABLE] for text in texts),
)
def test_each_answer_comes_about_as_often_as_it_says(texts: list[str]) -> None:
    given: Counter[str] = Counter()
    weight: defaultdict[str, float] = defaultdict(float)
    said: dict[str, float] = {}
    for picks in answers(plan_with(texts)):
        for pick in picks:
            action = pick.treatment.action
            assert said.setdefault(action, probability(pick)) == probability(pick)
            given[action] += 1
            weight[action] += 1 / probability(pick)
    assert set(given) == {name for name, text in zip("abcdefgh", texts, strict=False) if text == WRITABLE}
    for action, chance in said.items():
        spread = (ROUNDS * chance * (1 - chance)) ** 0.5
        assert abs(given[action] - ROUNDS * chance) <= 4 * spread
        assert abs(weight[action] - ROUNDS) <= 4 * spread / chance
    empty = RATE * texts.count(UNWRITABLE) / len(texts)
    assert 1 - sum(said.values()) == pytest.approx(empty)


def test_the_picks_of_a_slate_too() -> None:
    """The second pick's probability is among what the first left, whatever that was."""
    second: dict[tuple[str, str], float] = {}
    firsts: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    for picks in answers(plan_with([WRITABLE, UNWRITABLE, WRITABLE, WRITABLE]), limit=2):
        actions = [pick.treatment.action for pick in picks]
        if actions:
            firsts[actions[0]] += 1
        if len(actions) == 2:
            pair = (actions[0], actions[1])
            assert second.setdefault(pair, probability(picks[1])) == probability(picks[1])
            pairs[pair] += 1
    assert len(second) == 6
    for pair, chance in second.items():
        rounds = firsts[pair[0]]
        assert abs(pairs[pair] - rounds * chance) <= 4 * (rounds * chance * (1 - chance)) ** 0.5

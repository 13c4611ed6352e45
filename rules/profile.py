"""Profiles: the segments that a customer is in and the scores they have, as trees that rules can build on.

Both are whole for every customer: a segment whose rule has no answer does not hold, and of a score's part without a
value the declared `missing` counts. To ask for one segment is to ask for its rule: so the index sees through it, and a
rule over segments costs no more than the rules of these written in its place.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rules.errors import EvaluationError
from rules.syntax import Call, Const, ListOf, Node

SEGMENTS, HOLDS, SCORE, BAND = "@segments", "@holds", "@score", "@band"
HIGHEST = 100.0

Run = Callable[[Any], Any]  # a program, of rules.programs, which build on this
Compile = Callable[[Node], Run]
Part = tuple[Node, float, float]
"""What computes it, its weight, and what counts where it has no value."""


def segments_tree(rules: Mapping[str, Node]) -> Node:
    """The names of the `rules` that hold, in their order."""
    return Call("list<string>", 0, SEGMENTS, (_constants("string", list(rules)), *rules.values()), False)


def held_by(segments: Call, name: str, offset: int) -> Node | None:
    """Whether the rule of one segment holds; None where there is no such segment."""
    names, *rules = segments.args
    found = (rule for constant, rule in zip(_values(names), rules, strict=True) if constant == name)
    return next((Call("bool", offset, HOLDS, (rule,), False) for rule in found), None)


def names_of(segments: Call) -> list[str]:
    return _values(segments.args[0])


def score_tree(parts: Sequence[Part]) -> Node:
    """The weighted mean of the parts' values, held within 0 and 1, times 100."""
    weights = _constants("double", [weight for _, weight, _ in parts])
    missing = _constants("double", [otherwise for _, _, otherwise in parts])
    return Call("double", 0, SCORE, (weights, missing, *(tree for tree, _, _ in parts)), False)


def band_tree(score: Node, bands: Mapping[str, float]) -> Node:
    """The name of the last of `bands`, which ascend from 0, that begins at the score or below."""
    bounds = _constants("double", list(bands.values()))
    return Call("string", 0, BAND, (score, bounds, _constants("string", list(bands))), False)


def _constants(kind: str, values: Sequence[Any]) -> ListOf:
    return ListOf(f"list<{kind}>", 0, tuple(Const(kind, 0, value) for value in values))


def _values(node: Node) -> list[Any]:
    return [item.value for item in node.items if isinstance(item, Const)] if isinstance(node, ListOf) else []


def share_of(value: Any) -> float | None:
    """What a part's value counts, from 0 to 1; None where it is none, as NaN is."""
    if type(value) not in (float, int, bool) or value != value:  # noqa: PLR0124
        return None
    return float(min(max(value, 0), 1))


def part_of(run: Run) -> Callable[[Any], float | None]:
    """From a frame to what the part computed by `run` counts, None where it has no value."""

    def part(frame: Any) -> float | None:
        try:
            return share_of(run(frame))
        except EvaluationError:
            return None

    return part


def weighted(shares: Sequence[float], weights: Sequence[float]) -> float:
    """From 0 to 100, both included: numerator and denominator add up in the same order, so the one never outgrows the
    other.
    """
    total = sum(share * weight for share, weight in zip(shares, weights, strict=True))
    return HIGHEST * (total / sum(weights))


def band_at(score: float, bounds: Sequence[float]) -> int:
    return bisect_right(bounds, score) - 1


def holding(run: Run) -> Callable[[Any], bool]:
    """From a frame to whether the rule is true there; a rule that ends in an error is not."""

    def holds(frame: Any) -> bool:
        try:
            return run(frame) is True
        except EvaluationError:
            return False

    return holds


def _segments(node: Call, compiled: Compile) -> Run:
    rules = [(name, holding(compiled(rule))) for name, rule in zip(names_of(node), node.args[1:], strict=True)]
    return lambda frame: [name for name, holds in rules if holds(frame)]


def _holds(node: Call, compiled: Compile) -> Run:
    return holding(compiled(node.args[0]))


def _score(node: Call, compiled: Compile) -> Run:
    weights, missing = _values(node.args[0]), _values(node.args[1])
    parts = [(part_of(compiled(tree)), otherwise) for tree, otherwise in zip(node.args[2:], missing, strict=True)]

    def score(frame: Any) -> float:
        found = ((part(frame), otherwise) for part, otherwise in parts)
        return weighted([otherwise if share is None else share for share, otherwise in found], weights)

    return score


def _band(node: Call, compiled: Compile) -> Run:
    score, bounds, names = compiled(node.args[0]), _values(node.args[1]), _values(node.args[2])
    return lambda frame: names[band_at(score(frame), bounds)]


PROGRAMS: dict[str, Callable[[Call, Compile], Run]] = {
    SEGMENTS: _segments,
    HOLDS: _holds,
    SCORE: _score,
    BAND: _band,
}

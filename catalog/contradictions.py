"""Contradictions: gates that no customer can pass together.

Only what can be seen at once: comparisons with constants that every gate demands (joined by `&&`), per term. What
hides in `||`, `!` or between two terms is not looked for; silence is no proof that somebody passes.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from rules.history import CONTACTED, SINCE_CONTACT
from rules.syntax import Call, Const, ListOf, Node

_MIRRORED = {"_<_": "_>_", "_<=_": "_>=_", "_>_": "_<_", "_>=_": "_<=_", "_==_": "_==_"}


@dataclass(slots=True)
class _Demand:
    """What is demanded of one term: bounds, each with whether it is excluded itself, and the values allowed."""

    above: tuple[Any, bool] | None = None
    below: tuple[Any, bool] | None = None
    allowed: list[frozenset[Any]] = field(default_factory=list)

    def possible(self) -> bool:
        if self.allowed:
            return any(self._within(value) for value in frozenset.intersection(*self.allowed))
        if self.above is None or self.below is None:
            return True
        (low, low_out), (high, high_out) = self.above, self.below
        return bool(low < high or (low == high and not low_out and not high_out))

    def _within(self, value: Any) -> bool:
        if self.above is not None and (value < self.above[0] or (value == self.above[0] and self.above[1])):
            return False
        return self.below is None or not (value > self.below[0] or (value == self.below[0] and self.below[1]))


def contradictory(gates: Iterable[Node]) -> bool:
    """Whether no customer at all can be true of every tree in `gates`."""
    demands: dict[Node, _Demand] = {}
    for gate in gates:
        for atom in _atoms(gate):
            _demand(atom, demands)
    return not all(demand.possible() for demand in demands.values())


def _atoms(node: Node) -> Iterator[Call]:
    if isinstance(node, Call) and node.function == "_&&_":
        for arg in node.args:
            yield from _atoms(arg)
    elif isinstance(node, Call):
        yield node


def _demand(atom: Call, demands: dict[Node, _Demand]) -> None:
    match atom:
        case Call(function="in_band", args=(term, Const(value=low), Const(value=high))):
            _above(demands.setdefault(term, _Demand()), low, True)
            _below(demands.setdefault(term, _Demand()), high, False)
        case Call(function=name, args=(Const() as action, Const(value=span))) if name == CONTACTED:
            _below(demands.setdefault(_since(atom, action), _Demand()), span, True)
        case Call(function="!_", args=(Call(function=name, args=(Const() as action, Const(value=span))),)) if (
            name == CONTACTED
        ):
            _above(demands.setdefault(_since(atom, action), _Demand()), span, False)
        case Call(function="@in", args=(term, ListOf(items=items))):
            values = [item.value for item in items if isinstance(item, Const)]
            if len(values) == len(items):
                demands.setdefault(term, _Demand()).allowed.append(frozenset(values))
        case Call(function=operator, args=(Const(value=value), term)) if operator in _MIRRORED:
            _compare(demands.setdefault(term, _Demand()), _MIRRORED[operator], value)
        case Call(function=operator, args=(term, Const(value=value))) if operator in _MIRRORED:
            _compare(demands.setdefault(term, _Demand()), operator, value)


def _since(atom: Call, action: Node) -> Call:
    """What `contacted` compares: the time since the last contact with `action`."""
    return Call("duration", atom.offset, SINCE_CONTACT, (action,), False)


def _compare(demand: _Demand, operator: str, value: Any) -> None:
    match operator:
        case "_==_":
            demand.allowed.append(frozenset([value]))
        case "_>_" | "_>=_":
            _above(demand, value, operator == "_>_")
        case "_<_" | "_<=_":
            _below(demand, value, operator == "_<_")


def _above(demand: _Demand, value: Any, excluded: bool) -> None:
    if demand.above is None or (value, excluded) > demand.above:
        demand.above = (value, excluded)


def _below(demand: _Demand, value: Any, excluded: bool) -> None:
    if demand.below is None or value < demand.below[0] or (value == demand.below[0] and excluded):
        demand.below = (value, excluded)

"""Normal form: a rule as at most 16 rows, each a conjunction of signed atoms.

An atom is true, false or an error; a *signed* atom asks whether it is true (positive) or whether it is false
(negative), so an error satisfies neither. `!` is pushed down to the atoms by De Morgan, which keeps "the rule is true"
because CEL's `&&` and `||` absorb errors; `!(a < k)` stays the negative of `a < k` and never becomes `a >= k`, which
would differ for NaN. What would need more than 16 rows stays a residual: evaluated as written, for the few rules that
the rest lets through. Whether a customer is in a segment is true where its rule is, so the positive of it is taken
apart like the rule itself; its negative, which an error satisfies, stays an atom.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

from rules.profile import HOLDS
from rules.syntax import Call, Const, ListOf, Node

MOST_ROWS = 16
TABLED_KINDS = {"string", "int", "double", "bool", "timestamp", "duration"}
_MIRRORED = {"_<_": "_>_", "_<=_": "_>=_", "_>_": "_<_", "_>=_": "_<=_", "_==_": "_==_", "_!=_": "_!=_"}


@dataclass(frozen=True, slots=True)
class Atom:
    """`node` is to be true (`positive`) or false.

    Where it compares a term with constants, `term`, `operator` and `constants` say so and `wanted` is the sign for
    that operator; otherwise the term is the node itself and the operator is `is`.
    """

    node: Node
    positive: bool
    term: Node
    operator: str
    constants: tuple[Const, ...]
    wanted: bool


@dataclass(frozen=True, slots=True)
class Every:
    parts: tuple["Formula", ...]


@dataclass(frozen=True, slots=True)
class Either:
    parts: tuple["Formula", ...]


Formula = Atom | Every | Either


@dataclass(frozen=True, slots=True)
class NormalRule:
    """True when all atoms of one row hold and every residual holds. No rows: never true."""

    rows: tuple[tuple[Atom, ...], ...]
    residuals: tuple[Atom, ...]


def normalize(tree: Node) -> NormalRule:
    rows: list[tuple[Atom, ...]] = [()]
    everywhere: list[Atom] = []
    residuals: list[Atom] = []
    for conjunct, positive in _conjuncts(tree, True):
        alternatives = _rows(_formula(conjunct, positive))
        if alternatives is None or len(rows) * len(alternatives) > MOST_ROWS:
            residuals.append(_opaque(conjunct, positive))
        elif len(alternatives) == 1:
            everywhere += alternatives[0]
        else:
            rows = [_merged(pair) for pair in product(rows, alternatives)]
    whole = (_merged((tuple(everywhere), row)) for row in rows)
    return NormalRule(tuple(dict.fromkeys(whole)), tuple(residuals))


def _conjuncts(node: Node, positive: bool) -> Iterable[tuple[Node, bool]]:
    """What all has to hold, each with its sign."""
    match node:
        case Call(function="!_", args=(operand,)):
            yield from _conjuncts(operand, not positive)
        case Call(function="_&&_" | "_||_", args=args) if (node.function == "_&&_") is positive:
            for arg in args:
                yield from _conjuncts(arg, positive)
        case Call(function=name, args=(rule,)) if name == HOLDS and positive:
            yield from _conjuncts(rule, positive)
        case _:
            yield node, positive


def _formula(node: Node, positive: bool) -> Formula:
    match node:
        case Const(kind="bool", value=value):
            return Every(()) if value is positive else Either(())
        case Call(function="!_", args=(operand,)):
            return _formula(operand, not positive)
        case Call(function="_&&_" | "_||_", args=args):
            parts = tuple(_formula(arg, positive) for arg in args)
            return Every(parts) if (node.function == "_&&_") is positive else Either(parts)
        case Call(function=name, args=(rule,)) if name == HOLDS and positive:
            return _formula(rule, positive)
        case Call(function="_?_:_", args=(condition, then, otherwise)):
            return Either(
                (
                    Every((_formula(condition, True), _formula(then, positive))),
                    Every((_formula(condition, False), _formula(otherwise, positive))),
                )
            )
        case Call(function="in_band", args=(value, Const() as low, Const() as high)):
            band = Call(
                "bool",
                node.offset,
                "_&&_",
                (_compared(node, value, "_>_", low), _compared(node, value, "_<=_", high)),
                False,
            )
            return _formula(band, positive)
    return _atom(node, positive)


def _compared(origin: Node, value: Node, operator: str, constant: Const) -> Call:
    return Call("bool", origin.offset, operator, (value, constant), False)


def _atom(node: Node, positive: bool) -> Atom:
    if isinstance(node, Call) and len(node.args) == 2:
        left, right = node.args
        if node.function in _MIRRORED and isinstance(right, Const):
            return _comparison(node, positive, left, node.function, (right,))
        if node.function in _MIRRORED and isinstance(left, Const):
            return _comparison(node, positive, right, _MIRRORED[node.function], (left,))
        if node.function == "@in" and isinstance(right, ListOf):
            constants = tuple(item for item in right.items if isinstance(item, Const))
            if len(constants) == len(right.items):
                return _comparison(node, positive, left, "@in", constants)
    return _opaque(node, positive)


def _comparison(node: Node, positive: bool, term: Node, operator: str, constants: tuple[Const, ...]) -> Atom:
    if term.kind not in TABLED_KINDS or any(constant.kind != term.kind for constant in constants):
        return _opaque(node, positive)
    if any(constant.value != constant.value for constant in constants):  # NaN has no place in an order
        return _opaque(node, positive)
    if operator == "_!=_":  # `a != k` is an error exactly where `a == k` is one
        return Atom(node, positive, term, "_==_", constants, not positive)
    return Atom(node, positive, term, operator, constants, positive)


def _opaque(node: Node, positive: bool) -> Atom:
    return Atom(node, positive, node, "is", (), positive)


def _rows(formula: Formula) -> list[tuple[Atom, ...]] | None:
    """The rows of `formula`, None when there would be more than MOST_ROWS."""
    if isinstance(formula, Atom):
        return [(formula,)]
    if isinstance(formula, Either):
        found: list[tuple[Atom, ...]] = []
        for part in formula.parts:
            rows = _rows(part)
            if rows is None or len(found) + len(rows) > MOST_ROWS:
                return None
            found += rows
        return found
    found = [()]
    for part in formula.parts:
        rows = _rows(part)
        if rows is None or len(found) * len(rows) > MOST_ROWS:
            return None
        found = [_merged(pair) for pair in product(found, rows)]
    return found


def _merged(rows: Iterable[tuple[Atom, ...]]) -> tuple[Atom, ...]:
    return tuple(dict.fromkeys(atom for row in rows for atom in row))

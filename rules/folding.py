"""Constant folding: what needs no customer is computed when the catalog loads, and fails there."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from rules.errors import EvaluationError
from rules.programs import DEFINED, Frame, compile_program
from rules.syntax import Call, Const, Fold, ListOf, Node

_NOT_FOLDED = {"days_until", DEFINED, "@not_strictly_false"}


class ConstantError(Exception):
    def __init__(self, message: str, offset: int) -> None:
        self.message = message
        self.offset = offset


def rebuilt(node: Node, change: Any) -> Node:
    """`node` with `change` applied to each child."""
    match node:
        case Call(args=args):
            return replace(node, args=tuple(map(change, args)))
        case ListOf(items=items):
            return replace(node, items=tuple(map(change, items)))
        case Fold():
            parts = {name: change(getattr(node, name)) for name in ("items", "initial", "condition", "step", "result")}
            return replace(node, **parts)
    return node


def fold_constants(node: Node) -> Node:
    node = rebuilt(node, fold_constants)
    if not isinstance(node, Call) or node.function in _NOT_FOLDED:
        return node
    if not all(_is_constant(arg) for arg in node.args):
        return node
    empty = Frame({}, {}, datetime(1970, 1, 1, tzinfo=UTC))
    try:
        value = compile_program(node)(empty)
    except EvaluationError as error:
        raise ConstantError(f"{node.function.strip('_@')}: {error}", node.offset) from None
    return node if isinstance(value, list) else Const(node.kind, node.offset, value)


def _is_constant(node: Node) -> bool:
    return isinstance(node, Const) or (isinstance(node, ListOf) and all(map(_is_constant, node.items)))

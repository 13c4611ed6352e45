"""Constant folding: what needs no customer is computed when the catalog loads, and fails there."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cel_expr_python import cel

from rules.complaints import no_duration, no_timestamp
from rules.errors import EvaluationError
from rules.history import PROGRAMS
from rules.programs import DEFINED, Frame, compile_program, to_official
from rules.syntax import Call, Const, Fold, ListOf, Node
from rules.types import LONGEST

_TIMES = ("duration", "timestamp")
_EXACTLY = cel.NewEnv(variables={"text": cel.Type.STRING, "value": cel.Type.DYN})
_NOT_FOLDED = {"days_until", DEFINED, "@not_strictly_false", *PROGRAMS}


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
        raise ConstantError(f"{node.function.strip('_@')}: {_misread(node) or error}", node.offset) from None
    _refuse_inexact(node, value)
    return node if isinstance(value, list) else Const(node.kind, node.offset, value)


def _misread(node: Call) -> str | None:
    """What is wrong with the text that a time is written as."""
    match node:
        case Call(function="duration", args=(Const(value=str(text)),)):
            return no_duration(text)
        case Call(function="timestamp", args=(Const(value=str(text)),)):
            return no_timestamp(text)
    return None


def _refuse_inexact(node: Call, value: Any) -> None:
    """Times are kept in microseconds, and durations in what 64 bits of nanoseconds hold."""
    if node.function not in _TIMES or not (isinstance(node.args[0], Const) and node.args[0].kind == "string"):
        return
    text = node.args[0].value
    if isinstance(value, timedelta) and not -LONGEST <= value <= LONGEST:
        raise ConstantError(f"{node.function}: {text!r} is longer than 292 years", node.offset)
    if not _exactly(node.function, text, value):
        raise ConstantError(f"{node.function}: {text!r} is finer than a microsecond", node.offset)


def _exactly(function: str, text: str, value: Any) -> bool:
    """Whether the official evaluator, which counts nanoseconds, finds that `text` says just `value`."""
    expression = _EXACTLY.compile(f"{function}(text) == value")
    return expression.eval(data={"text": text, "value": to_official(value)}).plain_value() is True


def _is_constant(node: Node) -> bool:
    return isinstance(node, Const) or (isinstance(node, ListOf) and all(map(_is_constant, node.items)))

"""From a checked tree to a program: a closure that takes a `Frame` and returns a value or raises EvaluationError.

Everything that can be resolved is resolved here, once, at load; the request path only calls closures. The core of the
language runs in Python (a program costs well under a microsecond, the official evaluator some thirty); any other
function is called through the official evaluator, with its arguments computed here, so that its meaning is CEL's own.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from cel_expr_python import cel
from google.protobuf import duration_pb2, timestamp_pb2

from rules.errors import EvaluationError
from rules.history import PROGRAMS as HISTORY
from rules.history import History
from rules.operators import BINARY, UNARY
from rules.profile import PROGRAMS
from rules.syntax import Call, Const, Fold, Ident, ListOf, Node, Select

Program = Callable[["Frame"], Any]

DEFINED = "@defined"  # has() of a derived attribute
STEPS = 10_000  # of all comprehensions of a decision; some five milliseconds


class Frame:
    """What an expression may ask about: the customer, the request's context, the time and the customer's zone.

    `zone` is None when the customer's zone is unknown; what needs it then has no answer. `shared` keeps the value of
    every term that several rules ask for, so that it is computed once per decision. `steps` is how many more items
    a comprehension, with all those nested in it, may look at: over long lists they would take seconds of everybody's
    time. `history` is None where the contacts so far are unknown; what asks about them then has no answer.
    """

    __slots__ = ("context", "customer", "history", "local", "now", "shared", "steps", "zone")

    def __init__(
        self,
        customer: dict[str, Any],
        context: dict[str, Any],
        now: datetime,
        zone: tzinfo | None = UTC,
        history: History | None = None,
    ) -> None:
        self.history = history
        self.customer = customer
        self.context = context
        self.now = now
        self.zone = zone
        self.local: dict[str, Any] = {}
        self.shared: dict[int, Any] = {}
        self.steps = STEPS


def compile_program(node: Node) -> Program:
    match node:
        case Const(value=value):
            return lambda frame: value
        case Ident(name="now"):
            return lambda frame: frame.now
        case Ident(name=name):
            return _local(name)
        case Select(operand=Ident(name=owner), name=name, test=test):
            return _has(owner, name) if test else _attribute(owner, name)
        case ListOf(items=items):
            programs = [compile_program(item) for item in items]
            return lambda frame: [program(frame) for program in programs]
        case Fold():
            return _fold(node)
        case Call():
            return _call(node)
    raise TypeError(f"no program for {node}")


def _attribute(owner: str, name: str) -> Program:
    def attribute(frame: Frame) -> Any:
        try:
            return (frame.customer if owner == "customer" else frame.context)[name]
        except KeyError:
            raise EvaluationError(f"{owner}.{name} is missing") from None

    return attribute


def _has(owner: str, name: str) -> Program:
    if owner == "customer":
        return lambda frame: name in frame.customer
    return lambda frame: name in frame.context


def _local(name: str) -> Program:
    def local(frame: Frame) -> Any:
        value = frame.local[name]
        if type(value) is EvaluationError:
            raise value
        return value

    return local


def _call(node: Call) -> Program:
    if node.function in PROGRAMS:
        return PROGRAMS[node.function](node, compile_program)
    args = [compile_program(arg) for arg in node.args]
    name = node.function
    if name in _SPECIAL:
        return _SPECIAL[name](*args)
    if len(args) == 2 and name in BINARY:
        operate, left, right = BINARY[name], *args
        return lambda frame: operate(left(frame), right(frame))
    if len(args) == 1 and name in UNARY:
        apply, operand = UNARY[name], args[0]
        return lambda frame: apply(operand(frame))
    return _official(name, args, node.method)


def _joined(decisive: bool) -> Callable[[Program, Program], Program]:
    """`&&` (decided by false) and `||` (by true): the decisive value on either side absorbs the other's error."""

    def build(left: Program, right: Program) -> Program:
        def joined(frame: Frame) -> bool:
            try:
                first = left(frame)
            except EvaluationError:
                if right(frame) is decisive:
                    return bool(decisive)
                raise
            if first is decisive:
                return bool(decisive)
            second = right(frame)
            if second is decisive or (type(first) is bool and type(second) is bool):
                return bool(second)
            raise EvaluationError("&& and || need booleans")

        return joined

    return build


def _not(operand: Program) -> Program:
    def negated(frame: Frame) -> bool:
        value = operand(frame)
        if type(value) is bool:
            return not value
        raise EvaluationError("! needs a boolean")

    return negated


def _choose(condition: Program, then: Program, otherwise: Program) -> Program:
    def chosen(frame: Frame) -> Any:
        value = condition(frame)
        if value is True:
            return then(frame)
        if value is False:
            return otherwise(frame)
        raise EvaluationError("a condition needs a boolean")

    return chosen


def _not_strictly_false(operand: Program) -> Program:
    def open_ended(frame: Frame) -> bool:
        try:
            return operand(frame) is not False
        except EvaluationError:
            return True

    return open_ended


def _defined(operand: Program) -> Program:
    def defined(frame: Frame) -> bool:
        try:
            operand(frame)
        except EvaluationError:
            return False
        return True

    return defined


def _days_until(moment: Program) -> Program:
    """Whole days of the customer's wall clock from now until `moment`, rounded down: negative once it is past."""

    def days_until(frame: Frame) -> int:
        then = moment(frame)
        zone = frame.zone
        if zone is UTC and type(then) is datetime:
            return (then - frame.now).days
        if zone is None or type(then) is not datetime:
            raise EvaluationError("the customer's time zone is unknown")
        # Between two times in the same zone Python subtracts what the clock on the wall says.
        return (then.astimezone(zone) - frame.now.astimezone(zone)).days

    return days_until


def _in_band(value: Program, low: Program, high: Program) -> Program:
    over, within = BINARY["_>_"], BINARY["_<=_"]

    def in_band(frame: Frame) -> bool:
        x, lower, upper = value(frame), low(frame), high(frame)
        return bool(over(x, lower) and within(x, upper))

    return in_band


_SPECIAL: dict[str, Callable[..., Program]] = {
    "_&&_": _joined(decisive=False),
    "_||_": _joined(decisive=True),
    "!_": _not,
    "_?_:_": _choose,
    "@not_strictly_false": _not_strictly_false,
    DEFINED: _defined,
    "days_until": _days_until,
    "in_band": _in_band,
    **HISTORY,
}


def _fold(node: Fold) -> Program:
    """An accumulator may hold CEL's error value, which a later `|| true` or `&& false` absorbs."""
    items, initial, condition = (compile_program(part) for part in (node.items, node.initial, node.condition))
    step, result = compile_program(node.step), compile_program(node.result)
    variable, accumulator = node.variable, node.accumulator

    def fold(frame: Frame) -> Any:
        values = items(frame)
        if type(values) is not list:
            raise EvaluationError("a comprehension needs a list")
        outer = frame.local
        if not outer:
            frame.steps = STEPS  # each comprehension that is in no other has a budget of its own
        local = frame.local = dict(outer)
        try:
            local[accumulator] = initial(frame)
            for value in values:
                # Not inside the try below: running out of steps is no item's error, it ends all folds at once.
                if frame.steps <= 0:
                    raise EvaluationError("too many steps")
                frame.steps -= 1
                local[variable] = value
                if condition(frame) is False:
                    break
                try:
                    local[accumulator] = step(frame)
                except EvaluationError as error:
                    local[accumulator] = error
            return result(frame)
        finally:
            frame.local = outer

    return fold


def _official(name: str, args: list[Program], method: bool) -> Program:
    names = [f"a{position}" for position in range(len(args))]
    env = cel.NewEnv(variables=dict.fromkeys(names, cel.Type.DYN))
    text = f"{names[0]}.{name}({', '.join(names[1:])})" if method else f"{name}({', '.join(names)})"
    expression = env.compile(text)

    def call(frame: Frame) -> Any:
        data = {key: to_official(program(frame)) for key, program in zip(names, args, strict=True)}
        result = expression.eval(data=data)
        if result.type() == cel.Type.ERROR:
            raise EvaluationError(str(result.value()))
        return result.plain_value()

    return call


def to_official(value: Any) -> Any:
    """`value` as the official evaluator takes it."""
    if isinstance(value, datetime):
        stamp = timestamp_pb2.Timestamp()
        stamp.FromDatetime(value)
        return stamp
    if isinstance(value, timedelta):
        span = duration_pb2.Duration()
        span.FromTimedelta(value)
        return span
    return value

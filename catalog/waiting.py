"""Waiting: actions that come only after a contact with themselves, or after each other in a ring, so that none is ever
the first.

Each rule is worked out for a customer who has had no contact with some actions, and of whom nothing else is known: what
it may come to is a set of true, false and an error. An action may begin if, so worked out, its gates may all be true.
Who may begin without the others lets those begin that wait for it, and so on; what is left waits for itself. Only what
is certain is told: whatever isn't seen through here may come to anything.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import product

from rules.history import PROGRAMS, SINCE_CONTACT, asked
from rules.syntax import Call, Const, Node

ERROR = None  # as CEL has it, neither true nor false
Results = frozenset[bool | None]
ANYTHING: Results = frozenset((True, False, ERROR))
_NEVER: Results = frozenset((ERROR,))
# Of these an error among the arguments is the result; whatever else there is may do without one of them.
_STRICT = {"_<_", "_<=_", "_>_", "_>=_", "_==_", "_!=_", "_+_", "_-_", "-_", "in_band", "@in", "!_"}


def waiting_for_themselves(gates: Mapping[str, Sequence[Node]]) -> Iterator[str]:
    """Of actions, by name, with the trees of their gates, those that can't begin before they have."""
    waiting = {name: trees for name, trees in gates.items() if _asks(trees) and _may_pass(trees, ())}
    while begun := [name for name, trees in waiting.items() if _may_pass(trees, waiting)]:
        for name in begun:
            del waiting[name]
    yield from waiting


def _asks(trees: Iterable[Node]) -> bool:
    return any(True for tree in trees for _ in asked(tree))


def _may_pass(trees: Iterable[Node], never: Collection[str]) -> bool:
    """Whether all may be true of who had no contact with any of the actions in `never`."""
    return all(True in results_of(tree, never) for tree in trees)


def results_of(node: Node, never: Collection[str]) -> Results:
    """What `node` may come to, for who had no contact with any of the actions in `never`."""
    match node:
        case Const(kind="bool", value=value):
            return frozenset((value,))
        case Call(function=function, args=(Const(value=name), *_)) if function in PROGRAMS and name in never:
            return _NEVER if function == SINCE_CONTACT else frozenset((False,))
        case Call(function="!_", args=(operand,)):
            return frozenset(result if result is ERROR else not result for result in results_of(operand, never))
        case Call(function="_&&_" | "_||_", args=args):
            decisive = node.function == "_||_"
            sides = (results_of(arg, never) for arg in args)
            return frozenset(_joined(together, decisive) for together in product(*sides))
        case Call(function="_?_:_", args=(condition, then, otherwise)):
            branches = {True: then, False: otherwise}
            found = (
                _NEVER if result is ERROR else results_of(branches[result], never)
                for result in results_of(condition, never)
            )
            return frozenset().union(*found)
        case Call(function=name, args=args) if name in _STRICT:
            return _NEVER if any(results_of(arg, never) == _NEVER for arg in args) else ANYTHING
    return ANYTHING


def _joined(sides: Sequence[bool | None], decisive: bool) -> bool | None:
    """`&&`, or `||`, where `decisive` is True: one side that decides does so beside an error too."""
    if decisive in sides:
        return decisive
    return ERROR if ERROR in sides else not decisive

"""The syntax tree of a checked expression.

Nodes compare by structure, type included (`1`, `1.0` and `true` differ although Python calls them equal), and without
their position: two rules that say the same sub-expression share one term.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Node:
    """A node; `kind` is its CEL type (`int`, `string`, `list`, `dyn` …), `offset` its place in the source text."""

    kind: str
    offset: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Const(Node):
    value: Any

    # By what is written, as 0.0 == -0.0 although dividing by them differs, and NaN is not itself.
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Const) and (self.kind, repr(self.value)) == (other.kind, repr(other.value))

    def __hash__(self) -> int:
        return hash((self.kind, repr(self.value)))


@dataclass(frozen=True, slots=True)
class Ident(Node):
    name: str


@dataclass(frozen=True, slots=True)
class Select(Node):
    operand: Node
    name: str
    test: bool  # has(operand.name)


@dataclass(frozen=True, slots=True)
class Call(Node):
    """A call or operator; a method's receiver is the first argument, `method` keeps the difference."""

    function: str
    args: tuple[Node, ...]
    method: bool


@dataclass(frozen=True, slots=True)
class ListOf(Node):
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Fold(Node):
    """CEL's comprehension, what `exists`, `all`, `exists_one`, `map` and `filter` expand to."""

    variable: str
    items: Node
    accumulator: str
    initial: Node
    condition: Node
    step: Node
    result: Node


def children(node: Node) -> tuple[Node, ...]:
    match node:
        case Select():
            return (node.operand,)
        case Call():
            return node.args
        case ListOf():
            return node.items
        case Fold():
            return (node.items, node.initial, node.condition, node.step, node.result)
    return ()


def attribute_of(node: Node) -> tuple[str, str] | None:
    """("customer", "tier") for `customer.tier`, None for anything else."""
    if isinstance(node, Select) and not node.test and isinstance(node.operand, Ident):
        return node.operand.name, node.name
    return None


def attributes_in(node: Node) -> set[tuple[str, str]]:
    """(owner, name) of every attribute that `node` reads or asks has() of."""
    if isinstance(node, Select) and isinstance(node.operand, Ident):
        return {(node.operand.name, node.name)}
    return {found for child in children(node) for found in attributes_in(child)}

"""Checking: an expression's text against the declared types, by the official CEL parser and checker, and against what
rules support; the result is a tree with its constants folded and derived attributes in place.
"""

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from rules.complaints import plainly
from rules.declarations import DERIVABLE, official_checker
from rules.errors import RuleError
from rules.folding import ConstantError, fold_constants, rebuilt
from rules.profile import SEGMENTS, held_by, names_of
from rules.programs import DEFINED
from rules.protobuf import read_tree
from rules.syntax import Call, Const, Fold, Ident, Node, Select, attribute_of, children
from rules.types import AttributeType
from rules.widening import before_insertions, insert, literals_to_widen, offset_of

_UNSUPPORTED = {"uint": "unsigned numbers", "bytes": "bytes", "map": "maps", "null": "null (test with has())"}
_ERROR = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*?)(?:\n \||$)", re.DOTALL)
_LARGEST_EXACT = 2**53
_CUSTOMER = Ident("message", 0, "customer")
_DEEPEST, _LARGEST = 150, 50_000


@dataclass(frozen=True, slots=True)
class CheckedRule:
    """An expression that fits the declared types.

    `kind` is its CEL type. `always` is True or False when the expression is that constant whatever the customer
    (recognised by folding alone; the index knows more), else None.
    """

    source: str
    tree: Node
    kind: str

    @property
    def always(self) -> bool | None:
        return self.tree.value if isinstance(self.tree, Const) and self.kind == "bool" else None


class Environment:
    """What expressions may name: the declared attributes of customer and context, `now` and Tino's functions.

    Of an event (`of_event`), only its properties, and no function that needs a time.
    """

    def __init__(self, customer: Mapping[str, AttributeType], context: Mapping[str, AttributeType]) -> None:
        self._set_up({"customer": customer, "context": context}, True)

    @classmethod
    def of_event(cls, properties: Mapping[str, AttributeType]) -> "Environment":
        made = cls.__new__(cls)
        made._set_up({"event": properties}, False)
        return made

    def _set_up(self, owners: Mapping[str, Mapping[str, AttributeType]], with_time: bool) -> None:
        self._fields = {
            owner: {name: str(kind) for name, kind in attributes.items()} for owner, attributes in owners.items()
        }
        self._with_time = with_time
        self._derived: dict[str, Node] = {}
        self._checker = official_checker(self._fields, with_time)

    @property
    def derived(self) -> Mapping[str, Node]:
        """What computes each attribute that was added, in order."""
        return self._derived

    def derive(self, name: str, source: str) -> CheckedRule:
        """Adds `customer.<name>`, computed by `source` at decision time; later expressions may use it."""
        rule = self.check(source, "any")
        if rule.kind not in DERIVABLE:
            raise RuleError(f"a derived attribute can't be a {rule.kind}")
        self.define({name: rule.tree})
        return rule

    def define(self, computed: Mapping[str, Node]) -> None:
        """Adds attributes of the customer, by name, that a checked tree each computes."""
        self._derived.update(computed)
        self._fields["customer"].update((name, tree.kind) for name, tree in computed.items())
        self._checker = official_checker(self._fields, self._with_time)

    def check(self, source: str, want: str = "bool") -> CheckedRule:
        """Raises RuleError where `source` doesn't parse, doesn't fit the declared types or isn't of type `want`."""
        tree = self._checked(source)
        self._refuse_unsupported(tree, source)
        self._refuse_inexact(tree, source)
        try:
            tree = fold_constants(_measured(self._inline(tree)))
        except ConstantError as error:
            raise RuleError(error.message, *position(source, error.offset)) from None
        if want not in ("any", tree.kind):
            message = f"this is {_a(tree.kind)}, but {_a(want)} is needed here"
            raise RuleError(message, *position(source, tree.offset))
        return CheckedRule(source, tree, tree.kind)

    def _checked(self, source: str) -> Node:
        """The checked tree, with the offsets of `source` although literals were widened."""
        text = source
        inserted: list[int] = []  # places in `source`, in order
        while True:
            try:
                tree = read_tree(self._checker.compile(text).serialize())
                return _moved_back(tree, inserted) if inserted else tree
            except (RuntimeError, TypeError, ValueError) as error:
                complaint = str(error)
            if "found no matching overload" not in complaint or "Syntax error" in complaint:
                raise self._rule_error(source, text, complaint, inserted)
            tree = read_tree(self._checker.compile(text, disable_check=True).serialize())
            ends = literals_to_widen(text, tree, complaint)
            if not ends:
                raise self._rule_error(source, text, complaint, inserted)
            if not inserted:
                self._refuse_inexact(tree, source)
            text = insert(text, ends)
            inserted = sorted(inserted + [before_insertions(end, inserted) for end in ends])

    def _rule_error(self, source: str, text: str, complaint: str, inserted: list[int]) -> RuleError:
        found = _ERROR.search(complaint)
        if found is None:
            return RuleError(complaint)
        offset = offset_of(text, int(found[1]), int(found[2]))
        message = plainly(found[3].strip(), text, offset, self._fields, self._with_time)
        return RuleError(message, *position(source, before_insertions(offset, inserted)))

    def _refuse_unsupported(self, node: Node, source: str, bound: frozenset[str] = frozenset({"now"})) -> None:
        said = _unsupported(node, bound, self._fields)
        if said is not None:
            raise RuleError(f"rules do not support {said}", *position(source, node.offset))
        if isinstance(node, Fold):
            bound |= {node.variable, node.accumulator}
        for child in () if isinstance(node, Select) else children(node):
            self._refuse_unsupported(child, source, bound)

    def _refuse_inexact(self, node: Node, source: str) -> None:
        if isinstance(node, Const) and node.kind == "int" and int(float(node.value)) != node.value:
            message = f"{node.value} is not exact as a double; the largest safe whole number is {_LARGEST_EXACT}"
            raise RuleError(message, *position(source, node.offset))
        for child in children(node):
            self._refuse_inexact(child, source)

    def _inline(self, node: Node) -> Node:
        """`node` with every derived attribute replaced by the tree that computes it."""
        named = attribute_of(node)
        if named is not None:
            return self._derived.get(named[1], node) if named[0] == "customer" else node
        if isinstance(node, Select) and node.operand == _CUSTOMER and node.name in self._derived:
            return Call("bool", node.offset, DEFINED, (self._derived[node.name],), False)
        match node:
            case Call(function="@in", args=(Const(value=str(name)), Select() as items)) if attribute_of(items):
                segments = self._inline(items)
                if isinstance(segments, Call) and segments.function == SEGMENTS:
                    return _member(name, segments, node)
        return rebuilt(node, self._inline)


def _member(name: str, segments: Call, asking: Call) -> Node:
    """Whether the customer is in the segment `name`, in the place of `asking`."""
    held = held_by(segments, name, asking.offset)
    if held is None:
        known = names_of(segments)
        close = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
        raise ConstantError(f"{name} is not a declared segment; {hint}", asking.args[0].offset)
    return held


def _unsupported(node: Node, bound: frozenset[str], owners: Collection[str]) -> str | None:
    """What in `node` itself rules do not support, where `bound` are the names of plain values."""
    match node:
        case Select(operand=Ident(name=owner)) if owner in owners:
            return _UNSUPPORTED.get(node.kind)
        case Select():
            return f"fields of anything but {' and '.join(owners)}"
        case Ident(name=name) if name in owners:
            return f"{name} as a value: name one of its attributes"
        case Ident(name=name) if name not in bound:
            return f"{name} as a value"
        case Fold(variable=name) if name == "now" or name in owners:
            return f"{name} as the variable of a comprehension: it has a meaning already"
        case Call(function="{}", kind=kind) if kind not in _UNSUPPORTED:
            return "messages"
        case Call(function=name) if name == "type" or name.startswith("comprehension"):
            return name
    return _UNSUPPORTED.get(node.kind)


def _measured(tree: Node) -> Node:
    """`tree`, if it isn't so deep or large that walking it fails: derived attributes multiply when they build on
    each other."""
    level, depth, nodes = [tree], 0, 0
    while level:
        depth, nodes = depth + 1, nodes + len(level)
        if depth > _DEEPEST or nodes > _LARGEST:
            raise ConstantError("too large once the derived attributes it uses are written out", tree.offset)
        level = [child for node in level for child in children(node)]
    return tree


def _moved_back(node: Node, inserted: list[int]) -> Node:
    moved = rebuilt(node, lambda child: _moved_back(child, inserted))
    return replace(moved, offset=before_insertions(node.offset, inserted))


def position(source: str, offset: int) -> tuple[int, int]:
    """Line and column, from 1, of a character of `source`."""
    before = source[: max(0, offset)]
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def _a(kind: str) -> str:
    return f"an {kind}" if kind[:1] in "aeiou" else f"a {kind}"

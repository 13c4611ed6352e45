"""The index: which of thousands of rules hold for one customer, at the cost of a few table lookups.

Evaluating every rule for every request is what makes rule engines slow. The index turns the question round: each rule
becomes rows (rules.normal), each distinct term a table from its value to the mask of rows it allows (rules.tables), and
a match is one AND per term. Bit `layer * width + rule` stands for a rule's row number `layer`, so that rules with one
row, by far the most, share the lowest `width` bits and the layers fold together with shifts.

A term that only one rule asks for would make the others pay for its table; its atoms, like the residuals, are programs
that run only for rows which the masks have let through. The method is that of Whang et al., "Indexing Boolean
Expressions", VLDB 2009, with Python's big integers as posting lists.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rules.checking import CheckedRule
from rules.errors import EvaluationError
from rules.masks import folded, repeated
from rules.normal import Atom, NormalRule, normalize
from rules.programs import Frame, compile_program
from rules.syntax import Node, attribute_of
from rules.tables import MISSING, Lookup, Positions, build_lookup, build_membership_lookup, conjunction, membership_of

_UNSET = object()
Predicate = Callable[[Frame], bool]


class Terms:
    """The terms of several indexes, so that each is computed once per decision (in `Frame.shared`)."""

    def __init__(self) -> None:
        self._numbers: dict[Node, int] = {}

    def getter(self, term: Node) -> Callable[[Frame], Any]:
        """A function from a frame to the value of a computed term, or MISSING where it has none."""
        number = self._numbers.setdefault(term, len(self._numbers))
        program = compile_program(term)

        def value(frame: Frame) -> Any:
            known = frame.shared.get(number, _UNSET)
            if known is _UNSET:
                try:
                    known = program(frame)
                except EvaluationError:
                    known = MISSING
                frame.shared[number] = known
            return known

        return value


class Index:
    """Rules compiled together. `rules[i]` None means no condition; bit i of a match stands for rules[i]."""

    def __init__(self, rules: Sequence[CheckedRule | None], terms: Terms | None = None) -> None:
        terms = terms or Terms()
        self.width = len(rules)
        normals = [NormalRule(((),), ()) if rule is None else normalize(rule.tree) for rule in rules]
        rows = {
            layer * self.width + rule: (rule, atoms)
            for rule, normal in enumerate(normals)
            for layer, atoms in enumerate(filter(_possible, normal.rows))
        }
        self._layers = 1 + max((bit // self.width for bit in rows), default=0)
        self._everything = (1 << self.width) - 1
        self._present = sum(1 << bit for bit in rows)
        lookups, alone = _tabled(rows)
        self._of_customer: list[tuple[str, Lookup]] = []
        self._of_context: list[tuple[str, Lookup]] = []
        self._computed: list[tuple[Callable[[Frame], Any], Lookup]] = []
        for term, lookup in lookups.items():
            owner, name = attribute_of(term) or ("", "")
            if owner == "customer":
                self._of_customer.append((name, lookup))
            elif owner == "context":
                self._of_context.append((name, lookup))
            else:
                self._computed.append((terms.getter(term), lookup))
        self._predicates: dict[int, list[Predicate]] = {}
        for bit, (rule, _) in rows.items():
            atoms = [*alone.get(bit, ()), *normals[rule].residuals]
            if atoms:
                self._predicates[bit] = [_predicate(atom) for atom in atoms]
        self._residual = sum(1 << bit for bit in self._predicates)
        self.unconditional = all(rule is None for rule in rules)  # they hold for everybody

    @property
    def never(self) -> int:
        """The rules no customer can satisfy, as bits."""
        return self._everything & ~folded(self._present, self.width)

    def of_customer(self, attributes: Mapping[str, Any]) -> int:
        """The rows that a customer with these attributes leaves, as far as attributes alone tell."""
        rows = self._present
        for name, lookup in self._of_customer:
            rows &= lookup(attributes.get(name, MISSING))
        return rows

    def match(self, frame: Frame, among: int | None = None, rows: int | None = None) -> int:
        """The rules of `among` (default all) that hold for `frame`, as bits.

        `rows` is what `of_customer` gave for the frame's customer, where that is known.
        """
        if rows is None:
            rows = self.of_customer(frame.customer)
        if among is not None and among != self._everything:
            rows &= among if self._layers == 1 else repeated(among, self.width, self._layers)
        for name, lookup in self._of_context:
            rows &= lookup(frame.context.get(name, MISSING))
        for get, lookup in self._computed:
            if not rows:
                return 0
            rows &= lookup(get(frame))
        left = rows & self._residual
        while left:
            low = left & -left
            left ^= low
            for predicate in self._predicates[low.bit_length() - 1]:
                if not predicate(frame):
                    rows ^= low
                    break
        return rows if self._layers == 1 else folded(rows, self.width)


def _possible(row: tuple[Atom, ...]) -> bool:
    """Whether the atoms of `row` do not contradict each other."""
    for term, atoms in _by_term(row).items():
        if _is_tabled(term, atoms) and not conjunction(Positions(term.kind, atoms), atoms):
            return bool(term.kind == "double" and all(not atom.wanted for atom in atoms))  # NaN may still fit
    return True


def _tabled(rows: dict[int, tuple[int, tuple[Atom, ...]]]) -> tuple[dict[Node, Lookup], dict[int, list[Atom]]]:
    """A lookup per term that several rules share, and the remaining atoms per row."""
    asking: dict[Node, set[int]] = defaultdict(set)
    for rule, atoms in rows.values():
        for atom in atoms:
            asking[membership_of(atom) or atom.term].add(rule)
    tables: dict[Node, dict[int, list[Atom]]] = defaultdict(lambda: defaultdict(list))
    members: dict[Node, dict[int, Atom]] = defaultdict(dict)
    alone: dict[int, list[Atom]] = defaultdict(list)
    for bit, (_, atoms) in rows.items():
        for atom in atoms:
            items = membership_of(atom)
            if len(asking[items or atom.term]) == 1:
                alone[bit].append(atom)
            elif items is not None and bit not in members[items]:
                members[items][bit] = atom
            elif _is_tabled(atom.term, [atom]):
                tables[atom.term][bit].append(atom)
            else:
                alone[bit].append(atom)
    universe = sum(1 << bit for bit in rows)
    lookups = {term: build_lookup(term.kind, by_row, universe) for term, by_row in tables.items()}
    lookups |= {items: build_membership_lookup(by_row, universe) for items, by_row in members.items()}
    return lookups, alone


def _is_tabled(term: Node, atoms: Sequence[Atom]) -> bool:
    return term.kind != "dyn" and all(atom.operator != "is" or term.kind == "bool" for atom in atoms)


def _by_term(row: tuple[Atom, ...]) -> dict[Node, list[Atom]]:
    found: dict[Node, list[Atom]] = defaultdict(list)
    for atom in row:
        found[atom.term].append(atom)
    return found


def _predicate(atom: Atom) -> Predicate:
    program, wanted = compile_program(atom.node), atom.positive

    def holds(frame: Frame) -> bool:
        try:
            return program(frame) is wanted
        except EvaluationError:
            return False

    return holds

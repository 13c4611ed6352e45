"""A term's table: from the term's value to the mask of rows whose atoms on that term all hold.

The constants that rules compare a term with split its values into *positions*: for an ordered term each constant is a
position and so is each gap between two neighbours (2n + 1 in all); for a term only tested for equality there is one
position for every other value; a boolean has two. An atom then is a set of positions, kept as the bits of an int, a
row's atoms on the term are the AND of these sets, and one sweep over the positions turns row sets into masks.

Outside the positions are NaN, which no comparison accepts (so that every negative holds), a value of another type than
declared, which equals no constant and has no order, and a missing value, on which nothing holds.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from rules.normal import Atom
from rules.syntax import Call, Const, Node, attribute_of

_CLASSES: dict[str, type] = {
    "string": str,
    "int": int,
    "double": float,
    "bool": bool,
    "timestamp": datetime,
    "duration": timedelta,
}
_ORDERED = {"_<_", "_<=_", "_>_", "_>=_"}

MISSING = object()
Lookup = Callable[[Any], int]
"""From a term's value, or MISSING, to the rows it allows."""


class Positions:
    """How one term's values fall into numbered positions."""

    def __init__(self, kind: str, atoms: Iterable[Atom]) -> None:
        atoms = list(atoms)
        self.kind = kind
        self.ordered = kind != "bool" and any(atom.operator in _ORDERED for atom in atoms)
        constants = {constant.value for atom in atoms for constant in atom.constants}
        if kind == "bool":
            self.breaks: list[Any] = [False, True]
            self.of: dict[Any, int] = {False: 0, True: 1}
            self.count = 2
        elif self.ordered:
            self.breaks = sorted(constants)
            self.of = {value: 2 * place + 1 for place, value in enumerate(self.breaks)}
            self.count = 2 * len(self.breaks) + 1
        else:
            self.breaks = list(constants)
            self.of = {value: place for place, value in enumerate(self.breaks, start=1)}
            self.count = len(self.breaks) + 1

    def holding(self, atom: Atom) -> int:
        """The positions where the signed atom holds, as bits."""
        everywhere = (1 << self.count) - 1
        true = self._true(atom)
        return true if atom.wanted else everywhere ^ true

    def _true(self, atom: Atom) -> int:
        everywhere = (1 << self.count) - 1
        if atom.operator == "is":
            return 1 << self.of[True]
        places = [self.of[constant.value] for constant in atom.constants]
        match atom.operator:
            case "_<_":
                return (1 << places[0]) - 1
            case "_<=_":
                return (1 << (places[0] + 1)) - 1
            case "_>_":
                return everywhere ^ ((1 << (places[0] + 1)) - 1)
            case "_>=_":
                return everywhere ^ ((1 << places[0]) - 1)
        held = 0
        for place in places:
            held |= 1 << place
        return held


def conjunction(positions: Positions, atoms: Iterable[Atom]) -> int:
    """The positions where all of one row's atoms on the term hold."""
    held = (1 << positions.count) - 1
    for atom in atoms:
        held &= positions.holding(atom)
    return held


def holds_on_nan(atom: Atom) -> bool:
    return not atom.wanted


def holds_on_foreign(atom: Atom) -> bool:
    """Equality with a value of another type is false, order an error; so is a condition that isn't a boolean."""
    return atom.operator in ("_==_", "@in") and not atom.wanted


def build_lookup(kind: str, by_row: dict[int, list[Atom]], universe: int) -> Lookup:
    """The lookup of one term: `by_row` gives each row's atoms on it; `universe` is the mask of all rows."""
    positions = Positions(kind, (atom for atoms in by_row.values() for atom in atoms))
    absent = universe
    for row in by_row:
        absent &= ~(1 << row)
    masks = _sweep(positions, by_row, absent)
    nan = foreign = absent
    for row, atoms in by_row.items():
        if all(map(holds_on_nan, atoms)):
            nan |= 1 << row
        if all(map(holds_on_foreign, atoms)):
            foreign |= 1 << row
    if positions.ordered:
        return _ordered_lookup(_CLASSES[kind], positions, masks, (absent, nan, foreign))
    return _equality_lookup(_CLASSES[kind], positions, masks, (absent, nan, foreign))


def _sweep(positions: Positions, by_row: dict[int, list[Atom]], absent: int) -> list[int]:
    """The mask of each position: rows enter and leave where their set of positions begins and ends."""
    changes: dict[int, int] = {}
    for row, atoms in by_row.items():
        held = conjunction(positions, atoms)
        edges = held ^ (held << 1)
        while edges:
            low = edges & -edges
            place = low.bit_length() - 1
            changes[place] = changes.get(place, 0) ^ (1 << row)
            edges ^= low
    masks = []
    mask = absent
    for place in range(positions.count):
        mask ^= changes.get(place, 0)
        masks.append(mask)
    return masks


def _ordered_lookup(kind: type, positions: Positions, masks: list[int], outside: tuple[int, int, int]) -> Lookup:
    absent, nan, foreign = outside
    breaks = positions.breaks
    at = {value: masks[place] for value, place in positions.of.items()}
    between = masks[0::2]

    def lookup(value: Any) -> int:
        if value.__class__ is kind:
            mask = at.get(value)
            if mask is not None:
                return mask
            return between[bisect_left(breaks, value)] if value == value else nan  # noqa: PLR0124
        return absent if value is MISSING else foreign

    return lookup


def _equality_lookup(kind: type, positions: Positions, masks: list[int], outside: tuple[int, int, int]) -> Lookup:
    absent, nan, foreign = outside
    at = {value: masks[place] for value, place in positions.of.items()}
    other = masks[0]

    def lookup(value: Any) -> int:
        if value.__class__ is kind:
            return at.get(value, other) if value == value else nan  # noqa: PLR0124
        return absent if value is MISSING else foreign

    return lookup


def build_membership_lookup(by_row: dict[int, Atom], universe: int) -> Lookup:
    """The lookup of a list attribute, for rows with one atom `constant in list` each, whatever its sign.

    Its cost is the customer's list, not the number of constants that rules ask for: a row whose constant is wanted
    enters where an item brings it, one whose constant is unwanted leaves.
    """
    wanted: dict[str, int] = {}
    unwanted: dict[str, int] = {}
    for row, atom in by_row.items():
        side, constant = (wanted if atom.wanted else unwanted), membership(atom)
        side[constant] = side.get(constant, 0) | 1 << row
    base = universe & ~sum(wanted.values())
    absent = base & ~sum(unwanted.values())

    def lookup(items: Any) -> int:
        if items.__class__ is not list:
            return absent
        mask = base
        out = 0
        for item in items:
            mask |= wanted.get(item, 0)
            out |= unwanted.get(item, 0)
        return mask & ~out

    return lookup


def membership(atom: Atom) -> str:
    """The constant of an atom `constant in customer.list`."""
    node = atom.node
    if isinstance(node, Call) and isinstance(node.args[0], Const):
        return str(node.args[0].value)
    raise TypeError(f"not a membership: {node}")


def membership_of(atom: Atom) -> Node | None:
    """The list attribute that the atom asks one constant of, None for any other atom."""
    match atom.node:
        case Call(function="@in", args=(Const(kind="string"), items)) if atom.operator == "is":
            return items if attribute_of(items) is not None and items.kind == "list<string>" else None
    return None

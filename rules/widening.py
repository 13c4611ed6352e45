"""Integer literals that stand where a double is needed become doubles before the official checker sees them.

CEL has no operator between a double and an int, so `customer.score >= 60` would be refused. The checker says which
operator found no overload and where; the literals among that operator's operands get `.0`, and the check runs again.
"""

import re
from bisect import bisect_left

from rules.syntax import Call, Const, ListOf, Node, children

_NO_OVERLOAD = re.compile(r"ERROR: <input>:(\d+):(\d+): found no matching overload for '(.+?)' applied to '\((.*)\)'")
_LITERAL = re.compile(r"-?\s*\d+(?![\dxXuU.])")
_ARITHMETIC = {"-_", "_+_", "_-_", "_*_", "_/_", "_?_:_"}


def offset_of(source: str, line: int, column: int) -> int:
    """The offset of a 1-based line and column."""
    return sum(len(text) + 1 for text in source.split("\n")[: line - 1]) + column - 1


def literals_to_widen(source: str, tree: Node, complaint: str) -> list[int]:
    """Where `.0` is to be inserted so that what `complaint` names may pass; empty when that would not help."""
    wanted = {
        (offset_of(source, int(line), int(column)), function)
        for line, column, function, types in _NO_OVERLOAD.findall(complaint)
        if "double" in types
    }
    found: set[int] = set()
    for node in _walk(tree):
        if isinstance(node, Call) and ((node.offset, node.function) in wanted):
            for arg in node.args:
                found |= set(_literals(source, arg))
    return sorted(found)


def insert(source: str, ends: list[int]) -> str:
    for end in reversed(ends):
        source = source[:end] + ".0" + source[end:]
    return source


def before_insertions(offset: int, inserted: list[int]) -> int:
    """`offset` of the text with `.0` inserted at `inserted` (in order), as an offset of the text before."""
    return offset - 2 * bisect_left(range(len(inserted)), offset, key=lambda earlier: inserted[earlier] + 2 * earlier)


def _walk(node: Node) -> list[Node]:
    return [node, *(below for child in children(node) for below in _walk(child))]


def _literals(source: str, node: Node) -> list[int]:
    """The ends of the integer literals in `node`, if it is built of literals alone."""
    match node:
        case Const(kind="int"):
            literal = _LITERAL.match(source, node.offset)
            return [literal.end()] if literal else []
        case ListOf(items=items):
            return [end for item in items for end in _literals(source, item)]
        case Call(function="_?_:_", args=(_, then, otherwise)):
            return _literals(source, then) + _literals(source, otherwise)
        case Call(function=function, args=args) if function in _ARITHMETIC:
            return [end for arg in args for end in _literals(source, arg)]
    return []

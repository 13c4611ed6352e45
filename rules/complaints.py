"""Complaints: what the official parser and checker say of an expression, in words its author can use."""

import difflib
import re
from collections.abc import Collection, Mapping

from rules.history import WRITTEN

_ELSEWHERE = {"and": "&&", "or": "||", "not": "!"}  # how other languages write it, and CEL
_ALMOST = {"=>": ">=", "=": "==", "&": "&&", "|": "||"}
_TYPES = (
    ("google.protobuf.", ""),
    ("list(string)", "list<string>"),
    ("Duration", "duration"),
    ("Timestamp", "timestamp"),
)
_UNITS = {"d": 24, "w": 7 * 24}  # hours


def plainly(message: str, source: str, offset: int, owners: Mapping[str, Collection[str]], with_time: bool) -> str:
    """`message` is what was found at `offset` of `source`, where `owners` have these attributes."""
    if message.startswith("Syntax error: "):
        return _misspelt(source, offset) or _unread(message)
    unknown = re.match(r"undefined field '(.+)' not found in struct 'tino\.(\w+)'", message)
    if unknown:
        owner = unknown[2].lower()
        close = difflib.get_close_matches(unknown[1], owners[owner], 1)
        hint = f"; did you mean {owner}.{close[0]}?" if close else ""
        return f"{owner}.{unknown[1]} is not declared{hint}"
    overload = re.match(r"found no matching overload for '(.+)' applied to '\((.*)\)'", message)
    if overload:
        return _meaningless(overload[1].strip("_@"), overload[2])
    reference = re.match(r"undeclared reference to '(.+)' \(in container ''\)", message)
    if reference and reference[1].lower() in _ELSEWHERE:
        return _written(reference[1])
    if reference and reference[1] in WRITTEN:
        return f"{reference[1]} is written {WRITTEN[reference[1]]}, in the rules of actions alone"
    if reference:
        known = "customer, context and now" if with_time else " and ".join(owners)
        return f"{reference[1]} is not known here; expressions may use {known}"
    return message


def no_duration(text: str) -> str:
    """Why `text` is no duration, and what would be one."""
    counted = re.fullmatch(r"\s*(\d{1,6})\s*([dw])[a-z]*\s*", text, re.IGNORECASE)
    if counted:
        hours = int(counted[1]) * _UNITS[counted[2].lower()]
        return f'{text!r} is not one: days and weeks are written in hours, duration("{hours}h")'
    return f'{text!r} is not one: write a number and a unit, such as "24h", "30m" or "90s"'


def no_timestamp(text: str) -> str:
    return f'{text!r} is not one: write a time with a zone, such as "2026-01-31T09:00:00Z"'


def _misspelt(source: str, offset: int) -> str | None:
    """What other languages write so, at `offset` or right before it."""
    before = re.search(r"(\w+)\s*$", source[:offset])
    at = re.match(r"\w+", source[offset:])
    for word in (at, before):
        if word and word[0].strip().lower() in _ELSEWHERE:
            return _written(word[0].strip())
    if source[:offset].endswith("<") and source[offset : offset + 1] == ">":
        return "`<>` is written `!=`"
    for wrong, right in _ALMOST.items():
        if source.startswith(wrong, offset):
            return f"`{wrong}` is written `{right}`"
    if source[offset : offset + 1] in ("'", '"'):
        return "the text that begins here has no quote at its end"
    return None


def _written(word: str) -> str:
    return f"`{word}` is written `{_ELSEWHERE[word.lower()]}`"


def _unread(message: str) -> str:
    """Without the list of all that could stand there instead."""
    found = re.match(r"Syntax error: (?:mismatched|extraneous) input '(.+?)' expecting", message)
    if found is None:
        return message
    return "the expression isn't complete" if found[1] == "<EOF>" else f"`{found[1]}` can't stand here"


def _meaningless(operator: str, types: str) -> str:
    for theirs, ours in _TYPES:
        types = types.replace(theirs, ours)
    said = f"{operator} has no meaning for ({types})"
    if sorted(types.split(", ")) == ["double", "int"]:
        return f"{said}: make a double of the int, double(…)"
    return said

"""Places: which character of the file a character of a scalar's value came from.

Folding, indentation and escapes change only white space, or replace one character by a sequence; so the n-th visible
character of the value is the n-th visible character of the file after the scalar's start, escapes counted as one.
That holds for plain, quoted and block scalars alike, and needs no second YAML scanner.
"""

from catalog.nodes import Mark, Scalar

_ESCAPE_WIDTHS = {"x": 4, "u": 6, "U": 10}
_BLANK_ESCAPES = frozenset("ntrfv_NLPb \t\n")


def offset_in(text: str, line: int, column: int) -> int:
    """The offset in `text` of a line and column counted from 1, within bounds whatever they say."""
    lines = text.split("\n")
    row = min(max(line, 1), len(lines)) - 1
    start = sum(len(before) + 1 for before in lines[:row])
    return start + min(max(column - 1, 0), len(lines[row]))


def locate(text: str, scalar: Scalar, offset: int) -> Mark:
    """The place in the file's `text` of the character at `offset` in the scalar's value."""
    visible = sum(not character.isspace() for character in scalar.text[:offset])
    start = place = _content_start(text, scalar)
    while place < len(text):
        width, counts = _step(text, place, scalar.style)
        if counts:
            if visible == 0:
                break
            visible -= 1
        place += width
    place = min(place, len(text))
    return _mark(text, scalar.mark, start if place == len(text) else place)


def _content_start(text: str, scalar: Scalar) -> int:
    place = scalar.mark.offset
    while text[place : place + 1] in ("&", "!"):  # an anchor or a tag before the value
        while place < len(text) and not text[place].isspace():
            place += 1
        while place < len(text) and text[place].isspace():
            place += 1
    if scalar.style in ("|", ">"):
        return text.find("\n", place) + 1 or len(text)
    return place + len(scalar.style)


def _step(text: str, place: int, style: str) -> tuple[int, bool]:
    """How many characters of the file make the next one of the value, and whether that one is visible."""
    character = text[place]
    if style == '"' and character == "\\":
        escaped = text[place + 1 : place + 2]
        return _ESCAPE_WIDTHS.get(escaped, 2), escaped not in _BLANK_ESCAPES
    if style == "'" and text[place : place + 2] == "''":
        return 2, True
    return 1, not character.isspace()


def _mark(text: str, start: Mark, place: int) -> Mark:
    between = text[start.offset : place]
    breaks = between.count("\n")
    column = len(between) - between.rfind("\n") if breaks else start.column + len(between)
    return Mark(start.file, start.line + breaks, column, place)

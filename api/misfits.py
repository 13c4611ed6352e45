"""Misfits: what the decoders find wrong with a body, in the words of JSON and with one voice.

msgspec says "Expected `int`, got `str` - at `$.placements[1].limit`", pydantic "Input should be a valid boolean".
"""

import difflib
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from api.problems import Problem, of_findings
from rules.types import shown

Finding = tuple[str, str, str]
"""A code, a JSON pointer, and what is to be said."""

_NAMES = {
    "int": "a whole number",
    "float": "a number",
    "str": "a string",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "datetime": "an RFC 3339 timestamp with a zone",
}
_GIVEN = {**_NAMES, "int": "a number"}
_UNTYPED = {
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "bool_type": "true or false",
    "string_type": "a string",
}


def misfit(message: str, shape: Any = None, raw: Any = None) -> Problem:
    """`message` is msgspec's; `raw` is what was to be of the `shape`, where that is known: then all names that are
    wrong or missing are told at once.
    """
    what, _, where = message.partition(" - at `$")
    pointer = where.rstrip("`").replace("[...]", "").replace("[", "/").replace("]", "").replace(".", "/")
    name = what.partition("`")[2].rpartition("`")[0]
    if what.startswith("Object missing required field `"):
        found = _missing(name, pointer)
    elif what.startswith("Object contains unknown"):
        found = unknown(name, pointer, ())
    else:
        return Problem("invalid_value", _plainly(what), pointer=pointer)
    every = _wrong_names(raw, shape) if not pointer else []
    return of_findings(every or [found])


def unfit(found: Mapping[str, Any], pointer: str, known: Mapping[str, Any]) -> Finding:
    """One of pydantic's errors, where the model has the fields in `known`."""
    match found["type"]:
        case "extra_forbidden":
            name = str(found["loc"][-1])
            return unknown(name, "", known) if len(found["loc"]) == 1 else ("unknown_field", pointer, found["msg"])
        case "missing":
            return _missing(str(found["loc"][-1]), pointer.rpartition("/")[0])
        case kind if kind in _UNTYPED:
            return "invalid_value", pointer, f"expected {_UNTYPED[kind]}, got {shown(found['input'])}"
    return "invalid_value", pointer, found["msg"]


def unknown(name: str, pointer: str, known: Any) -> Finding:
    """A field called `name`, which is none of `known`, in the object at `pointer`."""
    close = difflib.get_close_matches(_plain(name), {_plain(each): each for each in known}, 1)
    meant = next((each for each in known if close and _plain(each) == close[0]), None)
    hint = f"; did you mean {meant!r}?" if meant else f"; there are {', '.join(known)}" if known else ""
    return "unknown_field", f"{pointer}/{_step(name)}", f"there is no field {shown(name)}{hint}"


def _missing(name: str, pointer: str) -> Finding:
    return "missing_field", f"{pointer}/{_step(name)}", f"the field {name!r} is missing"


def _wrong_names(raw: Any, shape: Any) -> list[Finding]:
    """First what is not known, as that is mostly what is missing under another name."""
    if not (isinstance(raw, dict) and isinstance(shape, type) and issubclass(shape, msgspec.Struct)):
        return []
    fields = {field.encode_name: field for field in msgspec.structs.fields(shape)}
    strict = shape.__struct_config__.forbid_unknown_fields
    strange = [unknown(name, "", fields) for name in raw if name not in fields] if strict else []
    return strange + [_missing(name, "") for name, field in fields.items() if field.required and name not in raw]


def _plainly(what: str) -> str:
    wanted, _, got = what.partition(", got ")
    said = re.sub(r"`([^`]+)`", lambda found: _named(found[1], _NAMES), wanted)
    said = said.replace("Expected", "expected", 1)
    return f"{said}, got {re.sub(r'`([^`]+)`', lambda found: _named(found[1], _GIVEN), got)}" if got else said


def _named(types: str, names: Mapping[str, str]) -> str:
    """`types` such as "str | null"."""
    return " or ".join(names.get(each, each) for each in types.split(" | "))


def _plain(name: str) -> str:
    """Without what only distinguishes the ways of writing names: customerId, customer-id."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _step(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")

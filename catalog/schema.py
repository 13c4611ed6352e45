"""The catalog's JSON Schema, for editors; published as docs/catalog.schema.json.

`python -m catalog.schema` prints it.
"""

import json
from typing import Any

from catalog.spec import Catalog


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of one catalog file. What spans fields or files, `tino check` alone can tell."""
    schema = _without_null(Catalog.model_json_schema(by_alias=True, mode="validation"))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Tino catalog"}


def _without_null(schema: Any) -> Any:
    """`schema` where nothing may be null: a key that is not wanted is left out, not left empty."""
    if isinstance(schema, list):
        return [_without_null(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: _without_null(part) for key, part in schema.items() if (key, part) != ("default", None)}
    if {"type": "null"} in kept.get("anyOf", ()):
        choices = [part for part in kept.pop("anyOf") if part != {"type": "null"}]
        kept = {**choices[0], **kept} if len(choices) == 1 else {**kept, "anyOf": choices}
    return kept


def schema_text() -> str:
    return json.dumps(json_schema(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    print(schema_text(), end="")

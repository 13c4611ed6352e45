"""The catalog's JSON Schema, for editors; published as docs/catalog.schema.json.

`python -m catalog.schema` prints it.
"""

import json
from typing import Any

from catalog.spec import Catalog


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of one catalog file. What spans fields or files, `tino check` alone can tell."""
    schema = Catalog.model_json_schema(by_alias=True, mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Tino catalog"}


def schema_text() -> str:
    return json.dumps(json_schema(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    print(schema_text(), end="")

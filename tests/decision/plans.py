"""Plans for tests, from a catalog's text."""

import tempfile
from pathlib import Path

from catalog.building import load_plan
from catalog.plan import Plan

HEAD = "catalog: 1\nname: test\n"


def plan_of(text: str) -> Plan:
    """`text` is the catalog without its first two keys."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "catalog.yaml"
        file.write_text(HEAD + text, encoding="utf-8")
        return load_plan(file)

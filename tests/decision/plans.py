"""Plans for tests, from a catalog's text."""

import tempfile
from pathlib import Path

from catalog.building import build_plan
from catalog.loading import LoadedCatalog, load_catalog
from catalog.plan import Plan

HEAD = "catalog: 1\nname: test\n"
LOADED: dict[str, LoadedCatalog] = {}
"""Every catalog that a plan was made of, by its digest: what was decided by it is made again."""


def plan_of(text: str) -> Plan:
    """`text` is the catalog without its first two keys."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "catalog.yaml"
        file.write_text(HEAD + text, encoding="utf-8")
        loaded = load_catalog(file)
    LOADED[loaded.digest] = loaded
    return build_plan(loaded)

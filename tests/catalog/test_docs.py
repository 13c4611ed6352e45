"""What the reference shows is true: its examples load, its schema is the one in force, its tables are complete."""

import json
import re
from pathlib import Path

import pytest

from catalog.actions import Action
from catalog.aggregates import Aggregate
from catalog.budgets import Budget
from catalog.channels import Channel
from catalog.fields import Declared
from catalog.loading import check_catalog
from catalog.policies import ContactPolicy
from catalog.schema import json_schema, schema_text
from catalog.scores import Part, Score
from catalog.spec import Catalog

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = (DOCS / "catalog.md").read_text(encoding="utf-8")
WHOLE, *PIECES = re.findall(r"```yaml\n(.*?)```", REFERENCE, re.DOTALL)


def test_the_whole_example_loads_without_a_word(tmp_path: Path) -> None:
    (tmp_path / "whole.yaml").write_text(WHOLE)
    found = [(str(diagnostic), diagnostic.code) for diagnostic in check_catalog(tmp_path)]
    assert [text for text, code in found if code != "unused-placement"] == []


@pytest.mark.parametrize("piece", PIECES)
def test_each_piece_loads_beside_it(piece: str, tmp_path: Path) -> None:
    (tmp_path / "1-whole.yaml").write_text(WHOLE)
    (tmp_path / "2-piece.yaml").write_text(piece)
    found = check_catalog(tmp_path)
    assert [str(diagnostic) for diagnostic in found if diagnostic.severity == "error"] == []


def test_all_pieces_load_together(tmp_path: Path) -> None:
    for number, text in enumerate([WHOLE, *PIECES]):
        (tmp_path / f"{number}.yaml").write_text(text)
    assert [str(found) for found in check_catalog(tmp_path) if found.severity == "error"] == []


@pytest.mark.parametrize("model", [Catalog, Aggregate, Score, Part, Channel, Action, ContactPolicy, Budget])
def test_every_key_is_described(model: type[Declared]) -> None:
    for name, field in model.model_fields.items():
        assert f"`{field.alias or name}`" in REFERENCE
        assert field.description
    for name in model.unsupported:
        assert f"`{name}`" in REFERENCE


def test_every_code_is_listed() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (DOCS.parent / "catalog").glob("*.py"))
    codes = set(re.findall(r'\.(?:error|warning|error_inside|add|report)\(\s*"([a-z-]+)"', sources))
    codes |= set(re.findall(r'YamlError\(\s*"([a-z-]+)"', sources))
    codes -= {"error", "warning"}
    assert len(codes) > 30
    assert {code for code in codes if f"`{code}`" not in REFERENCE} == set()


def test_the_published_schema_is_the_one_in_force() -> None:
    published = (DOCS / "catalog.schema.json").read_text(encoding="utf-8")
    assert published == schema_text(), "run: python -m catalog.schema > docs/catalog.schema.json"


def test_the_schema_has_no_empty_values() -> None:
    assert "null" not in schema_text()


def test_the_schema_names_every_key_with_a_description() -> None:
    schema = json_schema()
    for part in [schema, *schema["$defs"].values()]:
        for name, field in part.get("properties", {}).items():
            assert "description" in field, name
    assert json.loads(schema_text()) == schema

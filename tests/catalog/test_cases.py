"""Cases are data: each folder holds a catalog and everything that is to be found in it."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from catalog.diagnostics import CatalogError, Diagnostic
from catalog.loading import check_catalog, load_catalog

CASES = sorted((Path(__file__).parent / "cases").iterdir())
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def _catalog(case: Path) -> Path:
    file = case / "catalog.yaml"
    return file if file.exists() else case / "catalog"


def _as_data(found: Diagnostic, with_file: bool) -> dict[str, Any]:
    data: dict[str, Any] = {key: getattr(found, key) for key in ("severity", "code", "line", "column", "path")}
    return data | ({"file": Path(found.file).name} if with_file else {})


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_everything_is_found_at_its_place(case: Path) -> None:
    path = _catalog(case)
    found = [_as_data(diagnostic, path.is_dir()) for diagnostic in check_catalog(path, NOW)]
    assert found == json.loads((case / "expected.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_loads_exactly_when_nothing_found_is_an_error(case: Path) -> None:
    path = _catalog(case)
    found = check_catalog(path, NOW)
    if any(diagnostic.severity == "error" for diagnostic in found):
        with pytest.raises(CatalogError) as refused:
            load_catalog(path, NOW)
        assert list(refused.value.diagnostics) == found
    else:
        assert list(load_catalog(path, NOW).warnings) == found


def test_messages_name_the_value_and_what_would_be_right() -> None:
    messages = [found.message for found in check_catalog(Path(__file__).parent / "cases/wrong-values/catalog.yaml")]
    assert "`propensity` must be at most 1, not 1.5" in messages
    assert "`direction` must be inbound or outbound, not 'sideways'" in messages
    assert "`age` must be string, int, double, bool, timestamp or list<string>, not 'integer'" in messages
    budgets = check_catalog(Path(__file__).parent / "cases/budgets/catalog.yaml")
    assert "`lifetime` must be true, or left out, not false" in [found.message for found in budgets]


@pytest.mark.parametrize(
    "rule", ["!customer.vip", '!contacted("a", duration("24h"))', '!("x" in customer.tags)', "!customer.vip || true"]
)
def test_a_rule_that_begins_with_an_exclamation_mark_is_to_be_quoted(tmp_path: Path, rule: str) -> None:
    """It is a tag, as YAML has it, which its own errors don't say in so many words."""
    file = tmp_path / "catalog.yaml"
    file.write_text(f"catalog: 1\nname: x\nactions:\n  a:\n    eligible: {rule}\n    value: 1\n")
    assert any("a rule that begins with ! needs quotes round it" in found.message for found in check_catalog(file))
    file.write_text("catalog: 1\nname: x\nactions:\n  a:\n    eligible: 'true'\n    value: [\n")
    assert not any("begins with !" in found.message for found in check_catalog(file))


def test_a_time_that_has_passed_is_told_by_the_clock_given(sound: Path) -> None:
    assert check_catalog(sound, datetime(2026, 12, 31, 23, 59, tzinfo=UTC)) == []
    # Midnight in Mexico City is six in the morning in UTC; `until` is exclusive.
    assert check_catalog(sound, datetime(2027, 1, 1, 5, 59, tzinfo=UTC)) == []
    (past,) = check_catalog(sound, datetime(2027, 1, 1, 6, tzinfo=UTC))
    assert (past.code, past.path) == ("past", "actions.renewal-30-days.until")

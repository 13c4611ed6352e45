"""Models in the catalog: where their files lie, what of them the digest counts, which treatments ask them."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from catalog.building import build_plan, load_plan
from catalog.diagnostics import CatalogError
from catalog.loading import check_catalog, load_catalog
from models.inputs import declared_types, reader_of
from rules.masks import bits

CATALOG = """catalog: 1
name: test
timezone: America/Mexico_City
customer: {visits: int}
channels: {web: {direction: inbound, placements: [banner]}, app: {direction: inbound, placements: [feed]}}
models:
  likely: {onnx: likely.onnx, label: bought, features: [customer.visits], test_from: 2026-01-01}
actions:
  scored: {value: 1, propensity: {model: likely}, treatments: {web: {title: a}, app: {title: a}}}
  fixed: {value: 1, propensity: 0.5, treatments: {web: {title: b}}}
"""


def written(folder: Path, text: str = CATALOG, content: bytes = b"one") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "catalog.yaml").write_text(text)
    (folder / "likely.onnx").write_bytes(content)
    return folder


def test_the_plan_names_files_and_the_treatments_that_ask(tmp_path: Path) -> None:
    plan = load_plan(written(tmp_path))
    file = plan.models["likely"]
    assert (file.path, file.label, file.features) == (tmp_path / "likely.onnx", "bought", ("customer.visits",))
    assert file.sha256 == "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    assert [plan.treatment(bit).id for bit in bits(plan.scored["likely"])] == ["scored/web", "scored/app"]
    assert {plan.treatment(bit).id: plan.propensity[bit] for bit in bits(plan.declared)} == {
        "scored/web": 1.0, "scored/app": 1.0, "fixed/web": 0.5,
    }  # fmt: skip


def test_the_digest_counts_a_models_bytes_and_not_its_place(tmp_path: Path) -> None:
    digest = load_catalog(written(tmp_path / "a")).digest
    assert load_catalog(written(tmp_path / "b", content=b"two")).digest != digest
    moved = written(tmp_path / "c", CATALOG.replace("likely.onnx", "models/moved.onnx"))
    (moved / "models").mkdir()
    (moved / "likely.onnx").rename(moved / "models" / "moved.onnx")
    assert load_catalog(moved).digest == digest


@pytest.mark.parametrize(
    ("here", "instead"),
    [("label: bought", "label: clicked"), ("propensity: {model: likely}", "propensity: 1"), ("likely", "probable")],
)
def test_the_digest_counts_what_is_declared(here: str, instead: str, tmp_path: Path) -> None:
    folder = written(tmp_path / "b", CATALOG.replace(here, instead).replace("probable.onnx", "likely.onnx"))
    assert load_catalog(folder).digest != load_catalog(written(tmp_path / "a")).digest


def test_a_model_may_be_declared_in_a_file_of_its_own(tmp_path: Path) -> None:
    whole = written(tmp_path / "whole")
    head, _, tail = CATALOG.partition("models:\n")
    model, _, actions = tail.partition("actions:\n")
    parts = written(tmp_path / "parts", f"{head}actions:\n{actions}")
    (parts / "models.yaml").write_text(f"models:\n{model}")
    assert load_catalog(parts).digest == load_catalog(whole).digest


def test_a_date_without_a_zone_is_one_in_the_catalogs(tmp_path: Path) -> None:
    spec = load_catalog(written(tmp_path)).spec
    assert spec.models["likely"].test_from == datetime(2026, 1, 1, 6, tzinfo=UTC)


def test_an_unused_model_is_doubtful(tmp_path: Path) -> None:
    (found,) = check_catalog(written(tmp_path, CATALOG.replace("{model: likely}", "1")))
    assert (found.severity, found.code, found.path, found.line) == ("warning", "unused-model", "models.likely", 7)


def test_a_file_that_is_still_to_be_made(tmp_path: Path) -> None:
    folder = written(tmp_path)
    (folder / "likely.onnx").unlink()
    with pytest.raises(CatalogError, match="`tino train` makes it"):
        load_catalog(folder)
    plan = build_plan(load_catalog(folder, trained=False))
    assert (plan.models["likely"].path, plan.models["likely"].sha256) == (folder / "likely.onnx", "")


def test_models_may_be_told_what_is_kept_and_computed(tmp_path: Path) -> None:
    text = CATALOG.replace("features: [customer.visits]", "features: [customer.visits, customer.logins, customer.well]")
    text += "events: {login: {}}\naggregates: {logins: {count: login}}\n"
    text += (
        "scores: {well: {parts: {all: {value: customer.logins > 3, weight: 1}}}}\nsegments: {all: customer.well > 50}\n"
    )
    plan = load_plan(written(tmp_path, text))
    types = declared_types(plan)
    assert {name: types[f"customer.{name}"] for name in ("visits", "logins", "well", "segments")} == {
        "visits": "int", "logins": "int", "well": "double", "segments": "list<string>",
    }  # fmt: skip
    frame = plan.frame({"logins": 4}, {}, datetime(2026, 1, 1, tzinfo=UTC))
    assert [reader_of("customer", name, plan)(frame) for name in ("logins", "well")] == [4, 100.0]

"""Propensities of candidates: the same as the weights give by hand, whatever is missing, and nothing from a failure."""

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from catalog.plan import Plan
from models.scoring import Models, Scored
from rules.masks import bits
from tests.models.onnx_files import CATALOG, GROUP, NUMBER, logistic, metadata, plan_with

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
DERIVED = {"owner": "customer", "name": "spend_per_visit", "type": "double", "encoding": "number", "fill": 5.0}
PAGE = {"owner": "context", "name": "page", "type": "string", "encoding": "one_of", "categories": ["home"]}
VALUE = {"owner": "treatment", "name": "value", "type": "double", "encoding": "number", "fill": 0.0}


def score(plan: Plan, candidates: int | None = None, **attributes: Any) -> Scored:
    context = {"page": attributes.pop("page")} if "page" in attributes else {}
    frame = plan.frame(attributes, context, NOW)
    return Models(plan).score(plan.declared if candidates is None else candidates, frame, plan)


def by_id(plan: Plan, scored: Scored) -> dict[str, float]:
    return {plan.treatment(bit).id: value for bit, value in scored.propensities.items()}


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_each_treatment_gets_its_own(tmp_path: Path) -> None:
    plan = plan_with(logistic([0.5, 1.0, -1.0, 2.0, 9.0], metadata(NUMBER, GROUP), bias=-1.0), tmp_path)
    scored = score(plan, visits=2)
    growth, retention, other = sigmoid(1.0), sigmoid(-1.0), sigmoid(2.0)
    expected = {"grow/web": growth, "grow/app": growth, "keep/web": retention, "thank/app": other}
    assert by_id(plan, scored) == pytest.approx(expected, abs=1e-6)
    assert scored.degraded == ()


def test_the_record_lists_them_by_bit_as_plain_floats(tmp_path: Path) -> None:
    plan = plan_with(logistic([0.5, 1.0, -1.0, 2.0, 9.0], metadata(NUMBER, GROUP)), tmp_path)
    scored = score(plan, visits=2)
    (found,) = scored.scores
    assert found.model == "renewal"
    assert found.bits == sorted(found.bits) == list(bits(plan.scored["renewal"]))
    assert dict(zip(found.bits, found.propensities, strict=True)) == scored.propensities
    assert {type(value) for value in found.propensities} == {float}


def test_only_candidates_are_scored(tmp_path: Path) -> None:
    plan = plan_with(logistic([0.5, 1.0, -1.0, 2.0, 9.0], metadata(NUMBER, GROUP)), tmp_path)
    keep = next(t.bit for t in plan.treatments if t is not None and t.id == "keep/web")
    greet = next(t.bit for t in plan.treatments if t is not None and t.id == "greet/web")
    assert list(score(plan, 1 << keep | 1 << greet, visits=2).propensities) == [keep]
    assert score(plan, 1 << greet, visits=2) == Scored()
    assert score(plan, 0, visits=2) == Scored()


def test_a_model_of_the_customer_gives_all_of_them_the_same(tmp_path: Path) -> None:
    plan = plan_with(logistic([0.5], metadata(NUMBER)), tmp_path)
    found = by_id(plan, score(plan, visits=3))
    assert found == dict.fromkeys(["grow/web", "grow/app", "keep/web", "thank/app"], pytest.approx(sigmoid(1.5)))


def test_derived_attributes_context_and_values(tmp_path: Path) -> None:
    said = metadata(DERIVED, PAGE, VALUE)
    plan = plan_with(logistic([0.2, 1.0, 2.0, 3.0, 0.01], said), tmp_path)
    found = by_id(plan, score(plan, visits=2, spend=20.0, page="home"))
    assert found["grow/web"] == pytest.approx(sigmoid(0.2 * 10 + 1.0 + 0.01 * 10))
    assert found["keep/web"] == pytest.approx(sigmoid(0.2 * 10 + 1.0 + 0.01 * 20))
    # A page unseen in training; no visits to derive anything from.
    found = by_id(plan, score(plan, spend=20.0, page="basket"))
    assert found["grow/web"] == pytest.approx(sigmoid(0.2 * 5 + 2.0 + 0.01 * 10))
    found = by_id(plan, score(plan))
    assert found["grow/web"] == pytest.approx(sigmoid(0.2 * 5 + 3.0 + 0.01 * 10))


def test_a_model_that_fails_gives_nothing_and_is_named(tmp_path: Path) -> None:
    """The square root of a sum that only one page, between those the probe tries, takes below zero."""
    catalog = CATALOG.replace("renewal.onnx}", "renewal.onnx}\n  sound: {onnx: sound.onnx}")
    catalog = catalog.replace("group: other, propensity: {model: renewal}", "group: other, propensity: {model: sound}")
    (tmp_path / "sound.onnx").write_bytes(logistic([0.5], metadata(NUMBER)))
    page = {**PAGE, "categories": ["home", "basket", "receipt"]}
    fragile = logistic([0.0, -1.0, 0.0, 0.0, 0.0], metadata(page), bias=0.25, last="Sqrt")
    plan = plan_with(fragile, tmp_path, catalog)
    assert by_id(plan, score(plan, visits=1, page="receipt"))["grow/web"] == 0.5
    scored = score(plan, visits=1, page="basket")
    assert scored.degraded == ("renewal",)
    assert list(by_id(plan, scored)) == ["thank/app"]
    assert [each.model for each in scored.scores] == ["sound"]


def test_the_same_again(tmp_path: Path) -> None:
    plan = plan_with(logistic([0.5, 1.0, -1.0, 2.0, 9.0], metadata(NUMBER, GROUP)), tmp_path)
    models, frame = Models(plan), plan.frame({"visits": 7}, {}, NOW)
    first = models.score(plan.declared, frame, plan)
    models.score(plan.declared, plan.frame({"visits": 99}, {}, NOW), plan)
    assert models.score(plan.declared, frame, plan) == first


def test_ranking_takes_the_most_a_scored_one_can_be(tmp_path: Path) -> None:
    plan = plan_with(logistic([0.5], metadata(NUMBER)), tmp_path)
    assert {plan.treatment(bit).action: plan.factors[bit][0] for bit in bits(plan.declared)} == {
        "grow": 1.0, "keep": 1.0, "thank": 1.0, "greet": 0.3,
    }  # fmt: skip
    assert plan.scored["renewal"] == sum(1 << bit for bit in bits(plan.declared) if plan.factors[bit][0] == 1.0)

"""Texts: rendered for one customer, or not at all."""

from pathlib import Path

import pytest

from catalog.diagnostics import RenderError
from catalog.loading import load_catalog
from catalog.templates import Content


def test_content_keeps_its_order_and_its_constants(sound: Path) -> None:
    content = load_catalog(sound).templates["renewal-30-days/in_app"]
    assert list(content.render({"seats": 3}, {}).items()) == [("title", "3 seats"), ("sticky", True), ("rank", 2)]


def test_a_hole_makes_it_unrenderable(sound: Path) -> None:
    templates = load_catalog(sound).templates
    with pytest.raises(RenderError, match=r"body: .*first_name"):
        templates["renewal-30-days/email"].render({}, {})
    assert templates["add-seats/email"].render({}, {}) == {"subject": "More seats", "body": "For your team"}


def test_attributes_named_like_a_dicts_methods() -> None:
    content = Content({"text": "{{ customer.items }} {{ customer['keys'] }} {{ context.get }}"})
    assert content.render({"items": 3, "keys": "k"}, {"get": "g"}) == {"text": "3 k g"}


@pytest.mark.parametrize(
    "text",
    [
        "{{ customer.__class__ }}",
        "{{ customer._values }}",
        "{{ customer.first_name.__class__.__mro__ }}",
        "{{ customer.first_name | attr('__class__') }}",
        "{{ ''.__class__ }}",
        "{{ customer.segments.append('x') }}",
        "{{ 1 / customer.zero }}",
        "{{ customer.first_name + 1 }}",
        "{% for a in customer.segments recursive %}{{ loop(customer.segments) }}{% endfor %}",
    ],
)
def test_the_sandbox_and_impossible_sums(text: str) -> None:
    with pytest.raises(RenderError):
        Content({"text": text}).render({"first_name": "Ana", "segments": ["a"], "zero": 0}, {})


def test_text_without_markup_is_left_alone() -> None:
    assert Content({"text": "50 % off } {"}).render({}, {}) == {"text": "50 % off } {"}

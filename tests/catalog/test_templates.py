"""Texts: rendered for one customer, or not at all."""

from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import TemplateError

from catalog.diagnostics import RenderError
from catalog.loading import load_catalog
from catalog.template_checks import faults
from catalog.templates import ENVIRONMENT, Content, Facts, TextTemplate


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


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'a' | center(3000000000) }}",
        "{{ 'a\\nb' | indent(3000000000) }}",
        "{{ '%3000000000d' | format(1) }}",
        "{{ [1] | batch(3000000000, 0) }}",
        "{{ [1] | slice(3000000000) | list }}",
        "{{ [1] | tojson(3000000000) }}",
        "{{ 'a'.ljust(3000000000) }}",
        "{{ '{:3000000000}'.format(1) }}",
        "{{ (1).to_bytes(3000000000) }}",
        "{{ " + " + ".join(["1"] * 800) + " }}",
        "{{ " + " + ".join(["1"] * 20_000) + " }}",
        "{% for a in 'a' %}" * 30 + "{% endfor %}" * 30,
        "{% macro m(a, a) %}{% endmacro %}",
    ],
    ids=lambda text: text[:24],
)
def test_what_has_no_end_is_refused_when_the_catalog_loads(text: str) -> None:
    assert list(faults(text, {"customer": set(), "context": set()}))


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'a' * 3000000000 }}",
        "{{ [1] * 3000000000 }}",
        "{{ '%3000000000d' % 1 }}",
        "{{ 'a'['center'](3000000000) }}",
        "{{ ('a' | attr('zfill'))(3000000000) }}",
        "{{ 'a'.encode()['center'](3000000000) }}",
        "{{ ['a'] | map('center', 3000000000) | list }}",
        "{{ 1 | round(1000000000, 'ceil') }}",
    ],
)
def test_what_has_no_end_is_not_begun(text: str) -> None:
    with pytest.raises(RenderError):
        Content({"text": text}).render({}, {})


def test_a_filter_that_is_not_there_is_one_fault() -> None:
    (fault,) = faults("{{ 1 | nope(a=1) }}", {})
    assert "no filter `nope`" in fault.message


def test_numbers_are_still_reckoned_with() -> None:
    text = "{{ 2 * 3.5 }} {{ 7 % 4 }} {{ 2.345 | round(1) }} {{ " + " + ".join(["1"] * 50) + " }}"
    assert list(faults(text, {})) == []
    assert Content({"text": text}).render({}, {}) == {"text": "7.0 3 2.3 50"}


def test_text_without_markup_is_left_alone() -> None:
    assert Content({"text": "50 % off } {"}).render({}, {}) == {"text": "50 % off } {"}


def jinja(source: str, customer: dict[str, Any], context: dict[str, Any]) -> str | None:
    """What the sandbox makes of it, whatever short cut there is; None where it refuses."""
    try:
        return ENVIRONMENT.from_string(source).render(customer=Facts(customer), context=Facts(context))
    except TemplateError:
        return None


NAMES = ["first_name", "visits", "items", "keys", "x"]
values = (
    st.text(st.characters(exclude_categories=["Cs"]))
    | st.sampled_from(["{{ customer.x }}", "<b>&\"'</b>", "{% raw %}", "a\r\nb", "\u2028"])
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.lists(st.text(max_size=5), max_size=3)
    | st.datetimes(timezones=st.just(UTC))
)
facts = st.dictionaries(st.sampled_from(NAMES), values)
references = st.builds(
    lambda owner, name, open_with, close_with: f"{open_with} {owner}.{name} {close_with}",
    st.sampled_from(["customer", "context"]),
    st.sampled_from(NAMES),
    st.sampled_from(["{{", "{{-"]),
    st.sampled_from(["}}", "-}}"]),
)
between = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="{")) | st.sampled_from(
    ["\n", " \n ", "\r\n", "}} %} #}", "{# a remark #}", "{ x }", "% line", "\n\n"]
)
sources = st.lists(between | references, max_size=6).map("".join)


@settings(max_examples=300, deadline=None)
@given(sources, facts, facts)
def test_a_plain_text_is_what_jinja_makes_of_it(source: str, customer: dict[str, Any], context: dict[str, Any]) -> None:
    template = TextTemplate(source)
    expected = jinja(source, customer, context)
    complete = all(name in (customer if owner == "customer" else context) for owner, name in template.needs)
    assert complete is (expected is not None)
    if expected is None:
        with pytest.raises(RenderError):
            template.render(customer, context)
    else:
        assert template.render(customer, context) == expected


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        ("Hi {{ customer.a }}, {{ context.b }} {{ customer.a }}", {("customer", "a"), ("context", "b")}),
        ("{# {{ customer.a }} #}{% raw %}{{ customer.b }}{% endraw %}", set()),
        ("no markup", set()),
        ("{{ customer.a | upper }} {{ customer.b }}", set()),  # logic anywhere: only rendering tells
        ("{% if customer.a is defined %}{{ customer.b }}{% endif %}", set()),
        ("{{ customer['a'] }}", set()),
        ("{{ customer.a.b }}", set()),
        ("{{ customer }}", set()),
    ],
)
def test_what_a_plain_text_can_not_do_without(text: str, needs: set[tuple[str, str]]) -> None:
    assert TextTemplate(text).needs == needs
    assert Content({"title": text, "rank": 2, "body": "{{ customer.z }}"}).needs == {*needs, ("customer", "z")}

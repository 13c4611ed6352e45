"""The recipes of docs/catalog.md do what the page says of them."""

import re

import pytest
from msgspec.structs import replace

from catalog.building import load_plan
from catalog.plan import Plan
from decision.decide import decide
from decision.request import NextActionRequest, resolve
from decision.view import view_of
from features.customer import Consent, Contact, Response
from tests.customers import SOME_DECISION, customer_of
from tests.docs.pages import DOCS, text_of

HOUR = 3_600_000_000
NOW = 1_760_000_000_000_000
BY_PUSH = ("app_push", "email", "in_app")


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    folder = tmp_path_factory.mktemp("recipes")
    whole, *pieces = re.findall(r"```yaml\n(.*?)```", text_of(DOCS / "catalog.md"), re.DOTALL)
    (recipe,) = (piece for piece in pieces if "cart-push" in piece)
    (folder / "whole.yaml").write_text(
        whole.replace("control_group: {share: 0.02}\n", "").replace("rate: 0.05", "rate: 0")
    )
    (folder / "recipe.yaml").write_text(recipe)
    return load_plan(folder)


def contact(action: str, channel: str, age: int, *told: str, valid_for: int = 0) -> Contact:
    """`age` in hours."""
    at = NOW - age * HOUR
    responses = tuple(Response(kind, at, at) for kind in told)
    direction = "inbound" if channel == "in_app" else "outbound"
    return Contact(at, action, channel, "", direction, SOME_DECISION, responses=responses, valid_for=valid_for)


def comes(plan: Plan, channels: tuple[str, ...], *contacts: Contact) -> str:
    """The one action that comes through `channels`, or none."""
    attributes = {"email": "a@example.com", "push_token": "t", "cart_items": 2}
    customer = customer_of(attributes, {"marketing": Consent(True, 0)}, contacts)
    told = zip(customer.log, contacts, strict=True)
    customer = replace(customer, log=tuple(replace(logged, responses=each.responses) for logged, each in told))
    decision = decide(
        plan, resolve(NextActionRequest("c", channels=list(channels)), plan), view_of(plan, customer), NOW, 0
    )
    return "".join(pick.treatment.action for pick in decision.picks)


PUSH, EMAIL = "cart-push", "cart-email"


@pytest.mark.parametrize(
    ("contacts", "next_one"),
    [
        ([], PUSH),
        ([contact(PUSH, "app_push", 1)], "first-hello"),
        ([contact(PUSH, "app_push", -9)], "first-hello"),
        ([contact(PUSH, "app_push", 25)], EMAIL),
        ([contact(PUSH, "app_push", 25, "click")], "first-hello"),
        ([contact(PUSH, "app_push", 50), contact(EMAIL, "email", 25)], "cart-banner"),
        ([contact(PUSH, "app_push", 169), contact(EMAIL, "email", 100, "click")], PUSH),
    ],
)
def test_one_comes_after_the_other(plan: Plan, contacts: list[Contact], next_one: str) -> None:
    assert comes(plan, BY_PUSH, *contacts) == next_one


@pytest.mark.parametrize(
    ("told", "again"),
    [([], "first-hello"), (["failed"], "first-hello"), (["delivered"], ""), (["delivered", "click"], "")],
)
def test_a_lifetime_is_used_up_by_what_arrived(plan: Plan, told: list[str], again: str) -> None:
    before = contact("first-hello", "email", 1_000, *told, valid_for=48 * HOUR)
    recent = contact(PUSH, "app_push", 1)
    assert comes(plan, ("email",), before, recent) == again

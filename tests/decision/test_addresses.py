"""Whether an address follows from the customer alone, and so can be looked at again when a message is sent."""

import pytest

from tests.decision.plans import plan_of

CATALOG = """
customer: {email: string, tier: string}
context: {tel: string, page: string}
derived:
  plain: customer.email + "!"
  told: '"tel:" + context.tel'
  through: customer.told + customer.tier
purposes: [service]
channels:
  out: {direction: outbound, purpose: service, address: ADDRESS}
actions:
  a: {value: 1, treatments: {out: {t: x}}}
"""


@pytest.mark.parametrize(
    ("address", "asks"),
    [
        ("customer.email", False),
        ("customer.plain", False),
        ("context.tel", True),
        ("has(context.tel) ? context.tel : customer.email", True),
        ("customer.told", True),
        ("customer.through", True),
    ],
)
def test_what_an_address_asks_for(address: str, asks: bool) -> None:
    assert plan_of(CATALOG.replace("ADDRESS", f"'{address}'")).channels["out"].asks_context is asks

"""The catalogs of these tests: one offer by e-mail and one in the app, under the contact policies a test names."""

from pathlib import Path

from catalog.building import build_plan
from catalog.loading import load_catalog
from catalog.plan import Plan

EMAIL, IN_APP = "email", "in_app"
NO_POLICY = "  {}"

_TEXT = """\
catalog: 1
name: exactness
customer: {{email: string, tier: string}}
context: {{page: string, device: string}}
purposes: [marketing]
channels:
  email: {{direction: outbound, purpose: marketing, address: customer.email}}
  in_app: {{direction: inbound, {inbound_purpose}placements: [banner]}}
actions:
  letter:
    eligible: '!(has(customer.tier) && customer.tier == "barred")'
    value: 10
    propensity: 0.5
    treatments: {{email: {{subject: "A letter"}}}}
  banner:
    eligible: '!(has(customer.tier) && customer.tier == "barred")'
    value: 9
    propensity: 0.25
    treatments: {{in_app: {{title: "A banner"}}}}
contact_policies:
{policies}
"""


def write_catalog(directory: Path, policies: str = NO_POLICY, *, inbound_purpose: str | None = "marketing") -> Path:
    """`policies` as YAML lines, indented by two."""
    file = directory / "catalog.yaml"
    purpose = f"purpose: {inbound_purpose}, " if inbound_purpose else ""
    file.write_text(_TEXT.format(policies=policies, inbound_purpose=purpose), encoding="utf-8")
    return file


def plan_of(file: Path) -> Plan:
    return build_plan(load_catalog(file))


def at_most(limit: int) -> str:
    """One policy over every channel."""
    return f"  overall: {{limit: {limit}, rolling: 30d}}"

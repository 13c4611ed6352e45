"""What a catalog no longer declares that contacts and counters may go by."""

from pathlib import Path

import pytest

from catalog.bundle import Bundle, BundleError, bundle_of
from catalog.gone import gone
from catalog.loading import load_catalog

CATALOG = """
catalog: 1
name: gone
customer: {email: string, most: int}
purposes: [marketing]
channels:
  web: {direction: inbound}
  email: {direction: outbound, purpose: marketing, address: customer.email}
actions:
  news: {group: letters, value: 1, treatments: {web: {t: News}, email: {t: News}}}
  tip: {group: letters, value: 1, treatments: {web: {t: Tip}}}
contact_policies: {weekly: {limit: 1, rolling: 7d, scope: {channel: email}}}
budgets: {vouchers: {limit: 10, calendar: day, scope: {action: news}}}
"""


def bundled(folder: Path, text: str) -> Bundle:
    (folder / "catalog.yaml").write_text(text)
    return bundle_of(load_catalog(folder / "catalog.yaml"))


@pytest.mark.parametrize(
    ("name", "new", "section", "meaning"),
    [
        ("email:", "mail:", "channels", "limits and pauses that go by another don't count them"),
        ("tip:", "hint:", "actions", "limits and pauses that go by another don't count them"),
        ("letters", "mails", "groups", "limits and pauses that go by another don't count them"),
        ("vouchers:", "gifts:", "budgets", "begins with all of its limit"),
        ("most:", "at_most:", "customer", "is read no more"),
    ],
)
def test_what_another_name_has_taken_the_place_of(
    tmp_path: Path, name: str, new: str, section: str, meaning: str
) -> None:
    old = name.rstrip(":")
    after = CATALOG.replace(f"{name} ", f"{new} ").replace(f"{name},", f"{new},")
    after = after.replace("channel: email", "channel: mail") if old == "email" else after
    after = after.replace("{mail: string", "{email: string").replace("customer.mail", "customer.email")
    found = gone(bundled(tmp_path, CATALOG), bundled(tmp_path, after))
    (told,) = found
    assert told.startswith(f"{section}: the catalog before declared `{old}`, and this one doesn't: ")
    assert meaning in told


def test_what_is_new_or_the_same_is_not_told_of(tmp_path: Path) -> None:
    before = bundled(tmp_path, CATALOG)
    more = CATALOG.replace("limit: 1,", "limit: 2,").replace("contact_policies", "  more: {value: 1}\ncontact_policies")
    assert gone(before, before) == []
    assert (
        gone(before, bundled(tmp_path, more.replace("more: {value: 1}", "more: {value: 1, treatments: {web: {t: T}}}")))
        == []
    )


def test_of_many_some_are_named(tmp_path: Path) -> None:
    def with_actions(count: int) -> Bundle:
        actions = "".join(f"  a{number}: {{value: 1, treatments: {{web: {{t: T}}}}}}\n" for number in range(count))
        return bundled(tmp_path, CATALOG.replace("contact_policies", f"{actions}contact_policies"))

    (told,) = gone(with_actions(9), with_actions(1))
    assert told.startswith("actions: the catalog before declared `a1`, `a2`, `a3`, `a4`, `a5` and 3 more, and this")


def test_what_is_no_catalog() -> None:
    with pytest.raises(BundleError, match="no mapping"):
        gone(Bundle(b"[]", {}), Bundle(b"{}", {}))
    assert gone(Bundle(b'{"actions": 3, "channels": {"web": 1}}', {}), Bundle(b'{"channels": {"web": {}}}', {})) == []

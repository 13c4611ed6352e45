"""The split: a model is tested on contacts made after everything it learned from was known."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from models.contacts import Contact
from models.errors import TrainingError

TESTED_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Split:
    """`train` was made, and its outcome known, before `cut`; `test` was made from then on.

    `open` counts the contacts made before whose outcome was known only later: nobody could have learned from them.
    """

    cut: datetime
    train: Sequence[Contact]
    test: Sequence[Contact]
    open: int


def split(contacts: Sequence[Contact], test_from: datetime | None) -> Split:
    """`contacts` in the order made. Without `test_from`, the last quarter is the test, whole moments only.

    Raises TrainingError where either part lacks contacts that succeeded, or ones that didn't.
    """
    if not contacts:
        raise TrainingError("there are no rows to learn from")
    cut = test_from or contacts[int(len(contacts) * (1 - TESTED_SHARE))].at
    before = [contact for contact in contacts if contact.at < cut]
    train = [contact for contact in before if contact.known_at <= cut]
    test = [contact for contact in contacts if contact.at >= cut]
    for what, part in (("to learn from", train), ("to test on", test)):
        succeeded = sum(contact.succeeded for contact in part)
        if not 0 < succeeded < len(part):
            message = f"of the {len(part)} rows {what} (split at {cut.isoformat()}), {succeeded} succeeded"
            raise TrainingError(f"{message}: both outcomes are needed; another `test_from` may help")
    return Split(cut, train, test, len(before) - len(train))

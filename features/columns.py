"""Columns: what the cells of an imported row mean, and what is wrong with them."""

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any

import msgspec

from features.consents import UNDATED, with_consent, with_consent_now
from features.customer import Consent, Customer, with_attributes
from features.keys import LONGEST_ID
from features.store import Change
from rules.types import AttributeType, coerce, shown, valid_zone

ID_COLUMN = "customer_id"
TEST_COLUMN = "test"
CONSENT_PREFIX = "consent:"
_UNDECODED = re.compile("[\udc80-\udcff]")  # what bytes that are no UTF-8 become
_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class ImportFileError(ValueError):
    """The file as a whole can't be imported; nothing was."""


@dataclass(frozen=True, slots=True)
class ImportRow:
    customer_id: str
    attributes: dict[str, Any]
    consents: dict[str, bool]
    test: bool | None = None

    def change(self, source: str, agreed_at: int | None = None) -> Change:
        """The change this row makes to a customer. `agreed_at` is when its consents were given, in microseconds since
        1970; None where nobody knows: then any refusal, whenever it was made or is told, is the newer.
        """

        def apply(customer: Customer, now: int) -> Customer:
            changed = with_attributes(customer, self.attributes, now)
            for purpose, granted in self.consents.items():
                if granted:
                    changed = _agreed(changed, purpose, source, agreed_at)
                else:
                    changed = _refused(changed, purpose, Consent(False, now, source))
            if self.test is not None and self.test is not changed.test:
                changed = msgspec.structs.replace(changed, test=self.test)
            return changed

        return apply


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was left out, but for what is `kept` of it.

    `line` counts from 1, in a CSV from its header, in Parquet over all rows.
    """

    line: int
    reason: str
    kept: ImportRow | None = None


def _agreed(customer: Customer, purpose: str, source: str, at: int | None) -> Customer:
    if at is not None:
        return with_consent(customer, purpose, Consent(True, at, source))
    known = customer.consents.get(purpose)
    return customer if known is not None else with_consent(customer, purpose, Consent(True, UNDATED, source))


def _refused(customer: Customer, purpose: str, refusal: Consent) -> Customer:
    """A file's no is made as it comes in, but it is not one anew each time that the file is imported. A no from
    elsewhere is another one: a yes that is later than that may be older than this.
    """
    known = customer.consents.get(purpose)
    told = known is not None and not known.granted and known.source == refusal.source
    return customer if told else with_consent_now(customer, purpose, refusal)


@dataclass(frozen=True, slots=True)
class Columns:
    """What the columns of a file mean, against the declared attributes. `mapping` is from column to attribute.

    `zone` is that of times in text that name none.
    """

    types: Mapping[str, AttributeType]
    purposes: Sequence[str]
    mapping: Mapping[str, str] = field(default_factory=dict)
    zone: tzinfo = UTC

    def name(self, column: str) -> str:
        return self.mapping.get(column, column)

    def check(self, columns: Iterable[str]) -> None:
        """Raises ImportFileError for a column that means nothing, or none that identifies the customer."""
        names = [self.name(column) for column in columns]
        missing = [column for column in self.mapping if column not in set(columns)]
        if missing:
            raise ImportFileError(f"mapped column {missing[0]!r} is not in the file, which has {', '.join(columns)}")
        if ID_COLUMN not in names:
            separated = len(names) == 1 and ";" in names[0]
            hint = "columns are separated by commas, not semicolons" if separated else f"map one: --map id={ID_COLUMN}"
            raise ImportFileError(f"no column {ID_COLUMN}: {hint}")
        for name in names:
            purpose = name.removeprefix(CONSENT_PREFIX) if name.startswith(CONSENT_PREFIX) else None
            if purpose is not None and purpose not in self.purposes:
                raise ImportFileError(f"column {name!r}: {purpose!r} is not a declared purpose{self._hint(name)}")
            if purpose is None and name not in self.types and name not in (ID_COLUMN, TEST_COLUMN):
                raise ImportFileError(f"column {name!r} is not a declared attribute of the customer{self._hint(name)}")
        repeated = next((name for name in names if names.count(name) > 1), None)
        if repeated is not None:
            raise ImportFileError(f"two columns mean {repeated!r}")

    def _hint(self, name: str) -> str:
        known = [*self.types, *(CONSENT_PREFIX + purpose for purpose in self.purposes), ID_COLUMN, TEST_COLUMN]
        close = difflib.get_close_matches(name, known, 1)
        return f"; did you mean {close[0]!r}?" if close else ""

    def row(self, cells: Mapping[str, Any], *, text: bool) -> ImportRow:
        """`cells` of one row; `text` says that values are text to be parsed, as in CSV. Raises ValueError."""
        attributes: dict[str, Any] = {}
        consents: dict[str, bool] = {}
        test: bool | None = None
        customer_id = None
        for column, raw in cells.items():
            name = self.name(column)
            if raw is None or (text and raw == ""):
                continue
            if name == ID_COLUMN:
                customer_id = _customer_id(raw)
            elif name == TEST_COLUMN:
                test = _boolean(raw, name)
            elif name.startswith(CONSENT_PREFIX):
                consents[name.removeprefix(CONSENT_PREFIX)] = _boolean(raw, name)
            else:
                attributes[name] = self._attribute(name, raw, text)
        if customer_id is None:
            raise ValueError(f"{ID_COLUMN} is empty")
        return ImportRow(customer_id, attributes, consents, test)

    def noes(self, cells: Mapping[str, Any]) -> ImportRow | None:
        """What a row that can't be taken as a whole says no to; None if it doesn't, or not whose no it is."""
        ids: set[str] = set()
        refused: dict[str, bool] = {}
        for column, raw in cells.items():
            name = self.name(column)
            purpose = name.removeprefix(CONSENT_PREFIX) if name.startswith(CONSENT_PREFIX) else None
            try:
                if name == ID_COLUMN:
                    ids.add(_customer_id(raw))
                elif purpose in self.purposes and not _boolean(raw, name):
                    refused[str(purpose)] = False
            except (ValueError, RecursionError):
                continue
        return ImportRow(ids.pop(), {}, refused) if refused and len(ids) == 1 else None

    def _attribute(self, name: str, raw: Any, text: bool) -> Any:
        try:
            value = coerce(self.types[name], parsed(self.types[name], raw, self.zone) if text else _plain(raw))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        if name == "timezone" and not valid_zone(str(value)):
            raise ValueError(f"timezone: {shown(value)} is not an IANA time zone")
        return value


def _customer_id(raw: Any) -> str:
    text = str(raw) if type(raw) in (str, int) else ""
    if not text or len(text) > LONGEST_ID or not text.isprintable():
        raise ValueError(f"{ID_COLUMN}: expected up to {LONGEST_ID} printable characters, got {shown(raw)}")
    return text


def _boolean(raw: Any, name: str) -> bool:
    value = raw if type(raw) is bool else _BOOLEANS.get(str(raw).strip().lower())
    if value is None:
        raise ValueError(f"{name}: expected true or false, got {shown(raw)}")
    return bool(value)


def parsed(kind: AttributeType, text: str, zone: tzinfo) -> Any:
    """A CSV cell as the value it stands for; lists are separated by semicolons or written as JSON.

    A date, or a time without a zone, is one in `zone`.
    """
    if not text.isprintable() and _UNDECODED.search(text):
        raise ValueError("is not UTF-8")
    match kind:
        case AttributeType.INT | AttributeType.DOUBLE:
            number = int if kind is AttributeType.INT else float
            try:
                return text if "_" in text else number(text)
            except ValueError:
                return text
        case AttributeType.BOOL:
            return _BOOLEANS.get(text.strip().lower(), text)
        case AttributeType.STRING_LIST:
            if text.startswith("["):
                try:
                    return json.loads(text)
                except RecursionError:
                    raise ValueError("is nested too deeply") from None
            return [part.strip() for part in text.split(";") if part.strip()]
        case AttributeType.TIMESTAMP:
            try:
                moment = datetime.fromisoformat(text)
            except ValueError:
                return text
            return moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)
    return text


def _plain(raw: Any) -> Any:
    """Parquet's naive timestamps are in UTC, as its specification has them."""
    return raw.replace(tzinfo=UTC) if isinstance(raw, datetime) and raw.tzinfo is None else raw

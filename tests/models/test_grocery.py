"""The example's model: it serves what it learned, from the same feature values, and its figures can be had again."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from catalog.building import load_plan
from catalog.plan import Plan
from decision.view import view_of
from examples.grocery import source, training
from examples.grocery.events import STAMP, before
from examples.grocery.history import all_events, in_order
from examples.grocery.households import households
from examples.grocery.source import DataMissingError, find_source
from examples.grocery.training import figures
from features.applying import Sent, apply_events
from features.columns import Columns, ImportRow
from features.customer import EMPTY, Customer, micros
from features.encoding import decode, encode
from features.rows import read_rows
from models.contacts import Contact, read_contacts
from models.inputs import Inputs, of_treatment
from models.loading import open_model
from models.metadata import Metadata
from models.report import report
from models.scoring import Models
from models.training import Task, train
from rules.masks import bits
from tests.docs.pages import DOCS, blocks, shown_after

FOLDER = Path(source.__file__).parent
MODEL = "redemption"
PAGE = DOCS / "models.md"
pytestmark = pytest.mark.skipif(
    f"{MODEL}.onnx" not in (FOLDER / "catalog.yaml").read_text(), reason="the example's catalog asks no model yet"
)


@pytest.fixture(scope="module")
def raw() -> Path:
    try:
        return find_source()
    except DataMissingError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def plan() -> Plan:
    return load_plan(FOLDER)


@pytest.fixture(scope="module")
def said(plan: Plan) -> Metadata:
    return open_model(plan.models[MODEL], plan).metadata


@pytest.fixture(scope="module")
def file(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows as they are written for `tino train`, in a process of its own: measuring coverage would take longer."""
    out = tmp_path_factory.mktemp("training") / "redemption.parquet"
    command = [sys.executable, "-m", training.__name__, "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def contacts(file: Path, plan: Plan) -> list[Contact]:
    declared = plan.models[MODEL]
    return read_contacts(file, plan, declared.label or "", declared.features)


def test_the_raw_data_is_what_the_docs_say(raw: Path, file: Path) -> None:
    described = pq.read_table(raw / "campaign_descriptions.parquet").to_pylist()
    kinds = {row["campaign_id"]: row["campaign_type"] for row in described}
    contacted = pairs(raw, "campaigns")
    redeemed = set(pairs(raw, "coupon_redemptions"))
    assert (len(contacted), len(redeemed & set(contacted))) == (6589, 792)
    rates = {}
    for kind in sorted(set(kinds.values())):
        of_kind = [pair for pair in contacted if kinds[pair[0]] == kind]
        rates[kind] = round(100 * sum(pair in redeemed for pair in of_kind) / len(of_kind), 1)
    assert rates == {"Type A": 16.6, "Type B": 6.5, "Type C": 5.9}

    rows = pq.read_table(file)
    assert (rows.num_rows, pc.sum(rows["redeemed"]).as_py()) == (6442, 779)


def pairs(raw: Path, table: str) -> list[tuple[int, int]]:
    rows = pq.read_table(raw / f"{table}.parquet", columns=["campaign_id", "household_id"])
    return list(zip(rows["campaign_id"].to_pylist(), rows["household_id"].to_pylist(), strict=True))


def test_feature_values_are_the_same_online_and_in_training(
    raw: Path, plan: Plan, said: Metadata, contacts: list[Contact], file: Path, tmp_path: Path
) -> None:
    """Every fifth household of campaign 13: imported, its events sent until that morning, and as rows to learn from."""
    at = datetime(2017, 8, 8, tzinfo=source.STORE_ZONE)
    then = [contact for contact in contacts if contact.at == at]
    ids = pq.read_table(file, columns=["customer_id", "at"], filters=[("at", "=", at)])["customer_id"].to_pylist()
    assert len(then) == len(ids) == 1077
    then, ids = then[::5], ids[::5]
    stored = customers(raw, plan, at, ids, tmp_path)
    inputs = Inputs(said.features, plan)
    booklet = next(t for t in plan.treatments if t is not None and t.action == "late-summer-whole-store-13")
    different = 0
    for customer_id, contact in zip(ids, then, strict=True):
        attributes = view_of(plan, stored[customer_id]).at(micros(at)).attributes
        online = inputs.row(plan.frame(attributes, {}, at), of_treatment(booklet, plan))
        learned = inputs.row(contact.frame, contact.labels)
        assert np.array_equal(online, learned), customer_id
        different += len(set(learned.tolist())) > 5
    assert different > 200  # they are no rows of zeros


def customers(raw: Path, plan: Plan, at: datetime, ids: list[str], folder: Path) -> dict[str, Customer]:
    """Through the file that is imported, the events as they are taken when sent, and the bytes that are stored."""
    pq.write_table(households(raw), folder / "households.parquet")
    columns = Columns(plan.customer_types, plan.purposes, zone=plan.zone)
    rows = [row for _, row in read_rows(folder / "households.parquet", columns) if isinstance(row, ImportRow)]
    known = {row.customer_id: row.change("import")(EMPTY, 0) for row in rows if row.customer_id in ids}
    events = all_events(raw)
    told = before(events.filter(pc.is_in(events["customer_id"], pa.array(ids))), at)
    for customer_id, of_them in groupby(in_order(told), itemgetter("customer_id")):
        sent = [Sent("", customer_id, row["type"], row["at"], row) for row in of_them]
        known[customer_id] = apply_events(plan, known[customer_id], sent, micros(at)).customer
    return {name: decode(encode(customer)) for name, customer in known.items()}


def test_no_row_changes_with_what_comes_at_its_contact_or_later(raw: Path, plan: Plan, file: Path) -> None:
    """Of some households: without any event from the last contact on, and with others in their place."""
    rows = pq.read_table(file)
    some = rows.filter(pc.is_in(rows["customer_id"], pa.array([f"hh-{n}" for n in (1, 13, 371, 1228, 2489)])))
    events = all_events(raw)
    told = events.filter(pc.is_in(events["customer_id"], some["customer_id"].combine_chunks()))
    for contact in some.to_pylist():
        own = told.filter(pc.equal(told["customer_id"], contact["customer_id"]))
        later = pc.greater_equal(own["at"], pa.scalar(contact["at"], STAMP))
        assert pc.any(later).as_py()
        dear = pc.if_else(later, pa.scalar(9999.0), own["amount"])
        altered = own.set_column(own.column_names.index("amount"), "amount", dear)
        made = rows.filter(
            pc.and_(pc.equal(rows["customer_id"], contact["customer_id"]), pc.equal(rows["at"], contact["at"]))
        ).slice(0, 1)
        for changed in (own, own.filter(pc.invert(later)), altered):
            for name, column in figures(plan.aggregates, changed, made).items():
                assert column.to_pylist() == [contact[f"customer.{name}"]], name


def test_nobody_learned_from_what_was_not_known_on_the_first_of_october(
    contacts: list[Contact], said: Metadata
) -> None:
    first_of_october = datetime(2017, 10, 1, tzinfo=source.STORE_ZONE)
    known = [each for each in contacts if each.at < first_of_october and each.known_at <= first_of_october]
    assert said.rows == len(known) == 3780
    assert all(each.known_at > each.at + timedelta(days=20) for each in contacts)


def test_its_figures_can_be_had_again(file: Path, plan: Plan, said: Metadata) -> None:
    pytest.importorskip("skl2onnx", reason="the extra `train` is not installed")
    declared = plan.models[MODEL]
    cut = datetime(2017, 10, 1, 4, tzinfo=UTC)
    task = Task(MODEL, declared.label or "", declared.features, cut, said.algorithm)
    again = train(task, file, plan, said.trained_at)
    assert again.features == said.features
    found = again.evaluation
    assert found.useful
    assert all(group.log_loss < group.base_log_loss for group in found.groups)
    measured = {"auc": found.all.auc, "auc_within_groups": found.within, "log_loss": found.all.log_loss}
    for name, value in measured.items():
        assert value == pytest.approx(said.measured[name], abs=1e-3)
    assert again.permuted.mean == pytest.approx(0.5, abs=0.03)
    assert said.parity is not None
    assert said.parity <= 1e-5
    shown = shown_after(PAGE, ".venv/bin/python -m examples.grocery.training").splitlines()
    # Parity is the last bits of floats: it depends on the machine.
    assert [line for line in report(again) if "parity" not in line] == [
        line for line in shown if "parity" not in line and "bytes in" not in line
    ]


def test_the_page_shows_what_the_catalog_declares() -> None:
    (declared,) = (block.text for block in blocks(PAGE) if block.language == "yaml")
    assert declared in (FOLDER / "catalog.yaml").read_text(encoding="utf-8")


def test_it_scores_every_campaign_of_the_catalog(plan: Plan) -> None:
    campaigns = {bit for bit in bits(plan.declared) if plan.treatment(bit).group.startswith("campaign-type-")}
    regular = {"visits_30d": 12, "visits_90d": 30, "spend_30d": 300.0, "spend_90d": 900.0}
    models, now = Models(plan), datetime(2017, 10, 1, 9, tzinfo=source.STORE_ZONE)
    for attributes in ({}, regular):
        scored = models.score(plan.declared, plan.frame(dict(attributes), {}, now), plan)
        assert set(scored.propensities) == campaigns
        assert scored.degraded == ()
        by_group = {(plan.treatment(bit).group, value) for bit, value in scored.propensities.items()}
        assert len(by_group) == 3

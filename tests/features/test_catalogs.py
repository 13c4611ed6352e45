"""Catalogs in Redis: what is kept loads to the same catalog, the pointer moves as seen, everybody follows or nobody."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from catalog.building import build_plan
from catalog.bundle import Bundle, BundleError, bundle_of, load_bundle, pack, unpack
from catalog.loading import LoadedCatalog, load_catalog
from features.cache import UNKNOWN, Cache
from features.catalogs import NOTHING, CatalogStore, NoSuchCatalog, Pointer
from features.clock import ServerClock
from features.keys import IN_FORCE, WORKERS, catalog_key
from features.ledger import Ledger
from features.link import Link
from features.reload import ReloadFailed, reload
from features.replacing import AnotherName, refuse_another_name
from features.workers import LEASE_SECONDS, Entry, Lease, LeasedStore, LeaseOver, Workers
from models.scoring import Models
from tests.decision.cases import FOLDERS, as_data, read_case
from tests.features.proxy import Proxy

pytestmark = pytest.mark.anyio

FILES = {
    "actions.yaml": 'actions:\n  hello: {value: 100000000000000000000000, treatments: {web: {t: "Grüße"}}}\n',
    "base.yaml": "\ufeffcatalog: 1\r\nname: two-files # a remark\r\nchannels: {web: {direction: inbound}}\r\n",
}
ONE, TWO = (f"sha256:{digit * 64}" for digit in "12")
BUNDLE = Bundle(b"{}", {})


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedCatalog:
    for name, text in FILES.items():
        (tmp_path / name).write_bytes(text.encode())
    return load_catalog(tmp_path)


@pytest.fixture
def catalogs(link: Link) -> CatalogStore:
    return CatalogStore(link)


@pytest.fixture
def workers(link: Link) -> Workers:
    return Workers(link)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_bundle_decides_as_its_files_do(folder: Path, tmp_path: Path) -> None:
    case = read_case(folder)
    kept = unpack(pack(bundle_of(load_catalog(folder / "catalog.yaml"))))
    plan = build_plan(load_bundle(kept, case.plan.digest, tmp_path))
    expected = as_data(case.plan, case.decide())
    assert plan.digest == case.plan.digest
    again = replace(case, plan=plan, models=Models(plan))
    assert as_data(plan, again.decide()) == expected


async def test_what_is_kept_is_what_was_read(catalogs: CatalogStore, loaded: LoadedCatalog, tmp_path: Path) -> None:
    await catalogs.keep(loaded.digest, bundle_of(loaded))
    await catalogs.keep(loaded.digest, BUNDLE)  # what is there stays
    again = await catalogs.load(loaded.digest, tmp_path)
    assert (again.digest, again.spec) == (loaded.digest, loaded.spec)
    files = unpack(await catalogs.packed(loaded.digest)).files
    assert {name: data.decode() for name, data in files.items()} == {
        name: text.lstrip("\ufeff").replace("\r\n", "\n") for name, text in FILES.items()
    }
    assert await catalogs.names() == [loaded.digest]


async def test_names_are_those_of_catalogs(catalogs: CatalogStore, link: Link) -> None:
    await link.ask("SET", "another:key", "", within=5)
    await catalogs.put_in_force(ONE, NOTHING)
    assert await catalogs.names() == []
    for digest in (TWO, ONE):
        await catalogs.keep(digest, BUNDLE)
    assert await catalogs.names() == [ONE, TWO]


def test_models_lie_beside_under_their_hash(tmp_path: Path) -> None:
    data = b"any bytes"
    (tmp_path / "catalog.yaml").write_text(
        "catalog: 1\nname: m\nmodels: {likely: {onnx: ../deep/model.onnx}}\n"
        "channels: {web: {direction: inbound}}\n"
        "actions: {a: {value: 1, propensity: {model: likely}, treatments: {web: {t: T}}}}\n"
    )
    file = tmp_path.parent / "deep" / "model.onnx"
    file.parent.mkdir()
    file.write_bytes(data)
    loaded = load_catalog(tmp_path / "catalog.yaml")
    bundle = unpack(pack(bundle_of(loaded)))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    again = load_bundle(bundle, loaded.digest, elsewhere)
    assert again.models["likely"].path.read_bytes() == data
    assert [path.name for path in elsewhere.iterdir()] == [f"{hashlib.sha256(data).hexdigest()}.onnx"]
    file.write_bytes(b"others")
    with pytest.raises(BundleError, match="has changed since"):
        bundle_of(loaded)


async def test_what_is_no_catalog_any_more(catalogs: CatalogStore, link: Link, tmp_path: Path) -> None:
    with pytest.raises(NoSuchCatalog, match=ONE):
        await catalogs.load(ONE, tmp_path)
    good = pack(Bundle(b'{"catalog": 1, "name": "x"}', {}))
    for packed, said in (
        (b"bytes", "no bundle"),
        (good[:-3], "damaged"),
        (pack(Bundle(b"{", {})), "damaged"),
        (pack(Bundle(b"[]", {})), "no mapping"),
        (pack(Bundle(b'{"catalog": 2, "name": "x"}', {})), "can't load .*: catalog: "),
        (good, "means sha256:"),
    ):
        await link.ask("SET", catalog_key(ONE), packed, within=5)
        with pytest.raises(BundleError, match=said):
            await catalogs.load(ONE, tmp_path)


async def test_the_pointer_moves_from_where_it_was_seen(catalogs: CatalogStore) -> None:
    assert await catalogs.in_force() == NOTHING
    first = await catalogs.put_in_force(ONE, NOTHING)
    assert first == Pointer(1, ONE) == await catalogs.in_force()
    assert await catalogs.put_in_force(TWO, NOTHING) is None
    assert await catalogs.put_in_force(TWO, first) == Pointer(2, TWO)
    assert await catalogs.put_in_force(ONE, first) is None
    assert await catalogs.in_force() == Pointer(2, TWO)


async def test_what_redis_lost_is_brought_back_but_nothing_later_overwritten(
    catalogs: CatalogStore, link: Link
) -> None:
    await catalogs.restore(Pointer(7, ONE), pack(BUNDLE))
    assert (await catalogs.in_force(), await catalogs.names()) == (Pointer(7, ONE), [ONE])
    await catalogs.restore(Pointer(7, TWO), pack(BUNDLE))
    await catalogs.restore(Pointer(6, TWO), pack(BUNDLE))
    assert await catalogs.in_force() == Pointer(7, ONE)


async def test_workers_are_there_until_their_time_is_over(workers: Workers, link: Link) -> None:
    await workers.enter("b", Entry(1, ONE))
    await workers.enter("a", Entry(1, ONE, 2, "why not"))
    there = await workers.present()
    assert [(worker.name, worker.entry) for worker in there] == [
        ("a", Entry(1, ONE, 2, "why not")),
        ("b", Entry(1, ONE)),
    ]
    await workers.leave("b")
    await link.ask("HSET", WORKERS, "c", b"1 " + json.dumps({"epoch": 1, "digest": ONE}).encode(), within=5)
    assert [worker.name for worker in await workers.present()] == ["a"]
    assert await link.ask("HKEYS", WORKERS, within=5) == [b"a"]


async def test_nothing_is_decided_when_the_lease_is_over(ledger: Ledger) -> None:
    now = 100.0
    lease = Lease(lambda: now)
    clock = ServerClock()
    clock.heard(1_000_000)
    store = LeasedStore(ledger, Cache(1), clock, lease)
    with pytest.raises(LeaseOver):
        store.now_for(UNKNOWN)
    lease.renew(now)
    now += LEASE_SECONDS - 0.001
    assert store.now_for(UNKNOWN) >= 1_000_000
    now += 0.001
    with pytest.raises(LeaseOver):
        store.now_for(UNKNOWN)


async def test_a_lease_is_broken_off_where_the_servers_clock_has_stepped(ledger: Ledger) -> None:
    """As after a pause of the whole machine, which no clock there has counted; what was sent before does not help."""
    now = 100.0
    lease, clock = Lease(lambda: now), ServerClock(lambda: int(now * 1e9))
    store = LeasedStore(ledger, Cache(1), clock, lease)
    clock.heard(1_000_000)
    now += 1.0
    sent = lease.now()
    lease.renew(sent)
    assert store.now_for(UNKNOWN) == 2_000_000
    now += 0.5
    clock.heard(8_000_000)
    with pytest.raises(LeaseOver):
        store.now_for(UNKNOWN)
    lease.renew(sent)
    with pytest.raises(LeaseOver):
        store.now_for(UNKNOWN)
    lease.renew(now)
    assert store.now_for(UNKNOWN) == 8_000_000


async def test_only_a_name_that_is_known_stands_in_the_way(catalogs: CatalogStore, loaded: LoadedCatalog) -> None:
    await catalogs.keep(loaded.digest, bundle_of(loaded))
    await catalogs.keep(ONE, BUNDLE)  # of no name
    await catalogs.keep_packed(TWO, b"from a later version")
    names = [await catalogs.name_of(digest) for digest in (loaded.digest, ONE, TWO, "sha256:none")]
    assert names == ["two-files", None, None, None]
    for digest in (ONE, TWO, "", loaded.digest):
        await refuse_another_name(catalogs, "two-files", Pointer(1, digest))
    await refuse_another_name(catalogs, None, Pointer(1, loaded.digest))
    with pytest.raises(AnotherName, match="is 'two-files', and this one is 'two files'"):
        await refuse_another_name(catalogs, "two files", Pointer(1, loaded.digest))


class Worker:
    """What a worker tells of itself: it follows the pointer at once, or refuses a digest."""

    def __init__(self, name: str, workers: Workers, catalogs: CatalogStore, refuses: str = "") -> None:
        self._entering = (name, workers, catalogs, refuses)
        self.served: list[Pointer] = []
        self.began = asyncio.Event()

    async def run(self) -> None:
        name, workers, catalogs, refuses = self._entering
        while True:
            pointer = await catalogs.in_force()
            if pointer.digest == refuses:
                before = self.served[-1]
                await workers.enter(name, Entry(before.epoch, before.digest, pointer.epoch, "not this one"))
            else:
                if pointer not in self.served[-1:]:
                    self.served.append(pointer)
                await workers.enter(name, Entry(pointer.epoch, pointer.digest))
                self.began.set()


async def _served_by(*crew: Worker) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(worker.run()) for worker in crew]
    for worker in crew:
        await worker.began.wait()
    return tasks


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_reload_returns_when_all_have_followed(catalogs: CatalogStore, workers: Workers) -> None:
    await catalogs.put_in_force(ONE, NOTHING)
    crew = [Worker(name, workers, catalogs) for name in "ab"]
    tasks = await _served_by(*crew)
    there = await reload(catalogs, workers, TWO, 60)
    assert [(worker.name, worker.entry.pointer) for worker in there] == [("a", Pointer(2, TWO)), ("b", Pointer(2, TWO))]
    await _end(tasks)
    assert [worker.served for worker in crew] == [[Pointer(1, ONE), Pointer(2, TWO)]] * 2


async def test_if_one_refuses_all_return(catalogs: CatalogStore, workers: Workers) -> None:
    await catalogs.put_in_force(ONE, NOTHING)
    crew = [Worker("a", workers, catalogs), Worker("b", workers, catalogs, refuses=TWO)]
    tasks = await _served_by(*crew)
    with pytest.raises(ReloadFailed, match=f"^b: not this one; {ONE} is in force again$"):
        await reload(catalogs, workers, TWO, 60)
    assert await catalogs.in_force() == Pointer(3, ONE)
    await _end(tasks)
    assert [worker.served[-1] for worker in crew] == [Pointer(3, ONE)] * 2


class ReplyLost(CatalogStore):
    """The first move of the pointer is made, and its reply lost."""

    def __init__(self, link: Link, proxy: Proxy) -> None:
        super().__init__(link)
        self._proxy = proxy
        self._lost = False

    async def put_in_force(self, digest: str, instead: Pointer) -> Pointer | None:
        if self._lost:
            return await super().put_in_force(digest, instead)
        self._lost = True
        self._proxy.hold()
        moving = asyncio.create_task(super().put_in_force(digest, instead))
        await self._proxy.kept.wait()
        self._proxy.cut()
        self._proxy.release()
        return await moving


@pytest.mark.parametrize("refuses", ["", TWO])
async def test_a_move_whose_reply_was_lost_is_watched_all_the_same(unix_redis: str, refuses: str) -> None:
    link = Link(unix_redis)
    await link.ask("FLUSHALL", within=5)
    catalogs, workers = CatalogStore(link), Workers(link)
    await catalogs.put_in_force(ONE, NOTHING)
    worker = Worker("a", workers, catalogs, refuses)
    tasks = await _served_by(worker)
    async with Proxy(unix_redis) as proxy:
        losing = Link(proxy.url)
        reloading = reload(ReplyLost(losing, proxy), workers, TWO, 60)
        if refuses:
            with pytest.raises(ReloadFailed, match=f"^a: not this one; {ONE} is in force again$"):
                await reloading
        else:
            assert [each.entry.pointer for each in await reloading] == [Pointer(2, TWO)]
        await losing.close()
    await _end(tasks)
    assert await catalogs.in_force() == (Pointer(3, ONE) if refuses else Pointer(2, TWO))
    await link.close()


async def test_a_reload_goes_on_when_redis_is_back(unix_redis: str, tmp_path: Path) -> None:
    way, failed = tmp_path / "way", asyncio.Event()

    def hold_off() -> float:
        failed.set()
        return 0.0

    def open_the_way() -> None:
        way.symlink_to(unix_redis.removeprefix("unix://"))

    open_the_way()
    own, cut_off = Link(unix_redis), Link(f"unix://{way}", jitter=hold_off)
    await own.ask("FLUSHALL", within=5)
    catalogs, workers = CatalogStore(own), Workers(own)
    await catalogs.put_in_force(ONE, NOTHING)
    await workers.enter("slow", Entry(1, ONE))
    reloading = asyncio.create_task(reload(CatalogStore(cut_off), Workers(cut_off), TWO, 60))
    while (pointer := await catalogs.in_force()).digest != TWO:
        pass
    way.unlink()
    if (connection := cut_off.ready) is not None:
        connection.abort("the way is closed")
    await failed.wait()
    open_the_way()
    await workers.enter("slow", Entry(pointer.epoch, TWO))
    assert [worker.entry.pointer for worker in await reloading] == [pointer]
    for link in (own, cut_off):
        await link.close()


async def test_who_takes_too_long_is_named(catalogs: CatalogStore, workers: Workers) -> None:
    await catalogs.put_in_force(ONE, NOTHING)
    await workers.enter("slow", Entry(1, ONE))
    with pytest.raises(ReloadFailed, match=r"^slow has not taken it up within 0 s; .* not everybody has returned"):
        await reload(catalogs, workers, TWO, 0.2)
    assert (await catalogs.in_force()).digest == ONE


async def test_of_two_reloads_at_once_one_is_told(catalogs: CatalogStore, workers: Workers, link: Link) -> None:
    await catalogs.put_in_force(ONE, NOTHING)
    await workers.enter("slow", Entry(1, ONE))
    reloading = asyncio.create_task(reload(catalogs, workers, TWO, 60))
    while (seen := await catalogs.in_force()).digest != TWO:
        pass
    with pytest.raises(ReloadFailed, match="another reload is under way"):
        await reload(catalogs, workers, ONE, 60)
    await catalogs.put_in_force(ONE, seen)
    with pytest.raises(ReloadFailed, match="another catalog was put in force meanwhile"):
        await reloading
    assert await catalogs.in_force() == Pointer(3, ONE)
    assert await link.ask("EXISTS", "tino:reloading", within=5) == 0


async def test_nobody_there_nobody_to_wait_for(catalogs: CatalogStore, workers: Workers, link: Link) -> None:
    assert await reload(catalogs, workers, ONE, 60) == []
    assert await link.ask("HGET", IN_FORCE, "digest", within=5) == ONE.encode()

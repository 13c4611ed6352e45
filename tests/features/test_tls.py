"""A Redis over TLS: a real one, with an authority of our own, that asks for a certificate of ours too."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any
from urllib.parse import urlencode

import pytest

from features.address import parse_url
from features.commit import Commit, Committed
from features.connection import Connection
from features.customer import EMPTY
from features.deadline import Deadline
from features.encoding import encode
from features.errors import ConnectionLost, NotConnected, RedisReplyError
from features.link import Link
from features.opening import open_store, problems
from features.redis_binary import find_binary
from settings import SettingsError, load_settings
from tests.features.certificates import OPENSSL, Authority
from tests.features.on_tcp import start_on_tcp

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(OPENSSL is None, reason="there is no openssl command to make certificates with"),
]
OURS = "127.0.0.1"


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": request.param}


@dataclass
class Files:
    authority: Path
    stranger: Path
    client: tuple[Path, Path]
    locked: tuple[Path, Path]


@dataclass
class Secure:
    """A redis-server that speaks TLS alone."""

    process: Popen[bytes]
    port: int
    files: Files

    def url(self, *, host: str = OURS, authority: Path | None = None, certificate: bool = True) -> str:
        options = {"ssl_ca_certs": authority or self.files.authority}
        if certificate:
            options |= dict(zip(("ssl_certfile", "ssl_keyfile"), self.files.client, strict=True))
        return f"rediss://{host}:{self.port}?{urlencode(options)}"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def files(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Files:
    stranger = Authority(tmp_path_factory.mktemp("stranger"), "stranger")
    return Files(
        authority.certificate, stranger.certificate, authority.sign("client"), authority.sign("locked", password="four")
    )


def start(authority: Authority, directory: Path) -> tuple[Popen[bytes], int]:
    """Skips where no redis-server knows TLS."""
    certificate, key = authority.sign("server", f"IP:{OURS}")
    words = ("--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", authority.certificate)
    found = {find_binary(), Path(shutil.which("redis-server") or find_binary())}
    for binary in found:
        try:
            return start_on_tcp(binary, directory, "--port", "0", *words, port_option="--tls-port")
        except RuntimeError as error:
            if "Bad directive" not in str(error) and "without OpenSSL" not in str(error):
                raise
    pytest.skip(f"no redis-server here was built with TLS: {', '.join(map(str, found))}")


@pytest.fixture(scope="module")
def running(authority: Authority, files: Files, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    process, port = start(authority, tmp_path_factory.mktemp("tls"))
    yield Secure(process, port, files)
    process.terminate()
    process.wait()


@pytest.fixture
async def secure(running: Secure) -> Secure:
    """Empty."""
    link = Link(running.url())
    await link.ask("FLUSHALL", within=5)
    await link.close()
    return running


async def test_a_store_works_over_tls(secure: Secure) -> None:
    store = await open_store(secure.url())
    assert await problems(store) == []
    loaded = await store.snapshot("a", Deadline(60.0))
    commit = Commit("a", loaded.version, store.now_for(loaded), encode(EMPTY))
    assert isinstance(await store.ledger.commit(commit, 60), Committed)
    big = "v" * 1_000_000  # in many records of TLS, both ways
    await store.ledger.link.ask("SET", "big", big, within=60)
    assert await store.ledger.link.ask("GET", "big", within=60) == big.encode()
    await store.ledger.link.close()


async def refused(url: str) -> str:
    with pytest.raises(NotConnected) as caught:
        await Connection.open(url, connect_timeout=60)
    assert f"no connection to Redis at rediss://{parse_url(url).host}" in str(caught.value)
    return str(caught.value)


async def test_whoever_is_not_known_is_not_spoken_to(secure: Secure) -> None:
    assert "certificate verify failed" in await refused(secure.url(authority=secure.files.stranger))
    assert "certificate verify failed" in await refused(secure.url().partition("?")[0]), "nor by the system's"
    assert "certificate verify failed" in await refused(secure.url(host="localhost")), "it is signed for another name"


async def test_without_a_certificate_that_redis_asks_for_there_is_no_connection(secure: Secure) -> None:
    """TLS 1.3 is up before Redis has looked: a command sent then would end as one that may have been done."""
    assert "certificate required" in (await refused(secure.url(certificate=False))).lower().replace("_", " ")


async def test_what_speaks_no_tls_is_not_spoken_to(tcp_redis: str) -> None:
    """A plain Redis waits for the rest of what it takes for a command."""
    with pytest.raises(NotConnected, match=r"no answer in time; does it speak TLS\?"):
        await Connection.open(tcp_redis.replace("redis://", "rediss://"), connect_timeout=0.1)


async def test_a_server_that_is_killed_fails_what_is_pending(
    authority: Authority, files: Files, tmp_path: Path
) -> None:
    process, port = start(authority, tmp_path)
    url = Secure(process, port, files).url()
    link, other = Link(url), Link(url)
    try:
        owed = (await link.connection(60)).call("BLPOP", "nothing", 0)
        assert await other.ask("TIME", within=60), "by now it is sent"
    finally:
        process.kill()
        process.wait()
    with pytest.raises(ConnectionLost):
        await owed
    assert not link.connected
    for each in (link, other):
        with pytest.raises(NotConnected):
            await each.ask("PING", within=60)
        await each.close()


async def test_without_tls_the_server_is_not_understood(secure: Secure) -> None:
    connection = await Connection.open(f"redis://{OURS}:{secure.port}", connect_timeout=60)
    with pytest.raises((ConnectionLost, RedisReplyError)):
        await connection.call("PING")
    await connection.close()


def settings_with(monkeypatch: pytest.MonkeyPatch, **options: Path) -> str:
    monkeypatch.setenv("REDIS_URL", f"rediss://:secret@cache?{urlencode(options)}")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "secret" not in str(caught.value)
    return str(caught.value)


def test_files_that_will_not_do_are_named(files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = files.client
    nowhere, text = tmp_path / "nowhere.pem", tmp_path / "text.pem"
    text.write_text("no certificate")
    for options, why in (
        ({"ssl_ca_certs": nowhere}, f"ssl_ca_certs: {nowhere}: No such file or directory"),
        ({"ssl_ca_certs": text}, f"ssl_ca_certs: {text}: has no certificates in PEM"),
        ({"ssl_keyfile": key}, f"ssl_keyfile: {key}: it belongs to no certificate, as there is no ssl_certfile"),
        (
            {"ssl_certfile": nowhere, "ssl_keyfile": key},
            f"ssl_certfile: {nowhere} and {key}: No such file or directory",
        ),
        (
            {"ssl_certfile": certificate, "ssl_keyfile": files.locked[1]},
            "ssl_keyfile: the key is encrypted, and nobody is there to type its password",
        ),
        (
            {"ssl_certfile": files.locked[0], "ssl_keyfile": key},
            f"ssl_certfile: {files.locked[0]} and {key}: are not a certificate and its own key, in PEM",
        ),
        (
            {"ssl_certfile": certificate},
            f"ssl_certfile: {certificate} and its key: are not a certificate and its own key, in PEM",
        ),
    ):
        assert settings_with(monkeypatch, **options) == f"REDIS_URL: {why}"

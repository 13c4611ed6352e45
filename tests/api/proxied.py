"""The proxy of tests/features in a thread of its own, for services that run in another."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from tests.features.proxy import Proxy

T = TypeVar("T")


class Proxied:
    """A proxy to be told what to do from any thread."""

    def __init__(self, proxy: Proxy, loop: asyncio.AbstractEventLoop) -> None:
        self._proxy = proxy
        self._loop = loop
        self.url = proxy.url

    def tell(self, what: Callable[[Proxy], object]) -> None:
        """Returns when it is done."""

        async def done() -> None:
            what(self._proxy)

        self.wait(lambda _: done())

    def wait(self, what: Callable[[Proxy], Coroutine[Any, Any, T]]) -> T:
        return asyncio.run_coroutine_threadsafe(what(self._proxy), self._loop).result(60)


@contextmanager
def proxied(upstream: str) -> Iterator[Proxied]:
    """`upstream` is a Redis on a unix socket, which need not be there yet."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    proxy = Proxy(upstream)
    try:
        asyncio.run_coroutine_threadsafe(proxy.__aenter__(), loop).result(60)
        try:
            yield Proxied(proxy, loop)
        finally:
            asyncio.run_coroutine_threadsafe(proxy.__aexit__(), loop).result(60)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

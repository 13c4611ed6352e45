"""Opening the store of one worker: the link to Redis, what we may do there, the layout, the service's clock, the ledger
and the cache.
"""

from datetime import UTC, datetime

from features.cache import Cache
from features.clock import ServerClock
from features.clock_following import CLOCK, offset_in
from features.customer import micros, moment
from features.durable import check_durable, parse_info, refuse_unfit
from features.errors import AuthRefused, LayoutMismatch
from features.keys import META, PARTITIONS, open_layout
from features.ledger import Ledger
from features.link import Link
from features.rights import check_rights
from features.store import CustomerStore

WITHIN = 5.0
CACHED_CUSTOMERS = 100_000
REAL_TIME = "real"
_SET = """
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
"""
# Times are kept as 16 digits of microseconds, and a script of Redis counts in doubles: exact until 2255.
EARLIEST_CLOCK, LATEST_CLOCK = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


async def open_store(
    url: str,
    *,
    partitions: int = PARTITIONS,
    cached_customers: int = CACHED_CUSTOMERS,
    cached_bytes: int | None = None,
    now: str | None = None,
    keep_clock: bool = True,
) -> CustomerStore:
    """For `now` and `keep_clock` see `settle_clock`. Raises StoreError when Redis can't be used."""
    link = Link(url)
    try:
        refuse_unfit(await _told(link))
        await check_rights(link, WITHIN)
        layout = await open_layout(link, partitions, within=WITHIN)
        offset = await settle_clock(link, now, keep_clock)
        ledger = Ledger(link, layout, clock_offset_us=offset)
        clock = ServerClock()
        clock.heard(await _server_time(link) + offset)
    except BaseException:
        await link.close()
        raise
    return CustomerStore(ledger, Cache(cached_customers, cached_bytes), clock)


async def settle_clock(link: Link, now: str | None, keep: bool = True) -> int:
    """How far the service's clock is ahead of the server's, in microseconds. Raises LayoutMismatch, ValueError.

    `now` is a time (ISO 8601, UTC where it names no zone) at which a running clock starts when it is first given;
    given again, the clock simply has run on. "real" means the server's own time. None keeps what the data has: the
    clock belongs to the data, as all workers must count in the same time. It is never set back, because contacts that
    lie in the future would look like ones that haven't happened. `keep` False only looks: a dry run sets no clock.
    """
    while True:
        kept = await link.ask("HGET", META, CLOCK, within=WITHIN)
        wanted = await _wanted_clock(link, now, kept)
        # Of two that start at once each would go by a time of its own: the later one looks again, at the other's.
        if (
            wanted == kept
            or not keep
            or await link.ask("EVAL", _SET, 1, META, CLOCK, kept or b"", wanted, within=WITHIN)
        ):
            return offset_in(wanted)


async def _wanted_clock(link: Link, now: str | None, kept: bytes | None) -> bytes:
    """What is to stand for the clock where `kept` does; the same where nothing is to change."""
    text, _, _ = kept.decode().rpartition("|") if kept is not None else ("", "", "")
    if kept is None and now is None:
        now = REAL_TIME  # written down, so that a later one can't be set back
    if kept is not None and now in (None, text):
        return kept
    server = await _server_time(link)
    wanted = 0 if now is None or now == REAL_TIME else micros(_parsed(now)) - server
    if kept is not None and wanted < (offset := offset_in(kept)):
        stands = moment(server + offset).isoformat(timespec="seconds")
        raise LayoutMismatch(f"the clock of this data stands at {stands} and can't be set back: use other data")
    return f"{now}|{wanted}".encode()


async def problems(store: CustomerStore) -> list[str]:
    """Why this Redis must not be relied on, a sentence each; empty if nothing speaks against it. Raises StoreError."""
    found = check_durable(await _told(store.ledger.link))
    return [*found, *await _missing_rights(store.ledger)]


async def _told(link: Link) -> dict[str, str]:
    """What Redis says of itself."""
    try:
        return parse_info(await link.ask("INFO", within=WITHIN))
    except AuthRefused as error:
        if error.reply_code != "NOPERM":
            raise
        raise AuthRefused(
            "Redis refuses INFO, which says whether it keeps what it acknowledges and how full it is. Let this user "
            f"run it. It says: {error}"
        ) from error


async def _missing_rights(ledger: Ledger) -> list[str]:
    """Of a user who had all at the start: once a commit was refused, what is missing, for as long as it is. What isn't
    found by trying, such as a key out of bounds, is told once for each time that a commit is refused.
    """
    if not ledger.no_right:
        return []
    refused = f"Redis' user has lost a right, and a commit may have ended half way: {ledger.no_right}."
    try:
        await check_rights(ledger.link, WITHIN)
    except AuthRefused as error:
        return [f"{refused} {error}"]
    ledger.no_right = ""
    return [refused]


async def _server_time(link: Link) -> int:
    seconds, microseconds = await link.ask("TIME", within=WITHIN)
    return int(seconds) * 1_000_000 + int(microseconds)


def _parsed(now: str) -> datetime:
    try:
        parsed = datetime.fromisoformat(now)
    except ValueError:
        raise ValueError(f"now must be a time such as 2017-10-01T09:00, or {REAL_TIME!r}, not {now!r}") from None
    parsed = parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)
    if not EARLIEST_CLOCK <= parsed < LATEST_CLOCK:
        raise ValueError(f"now must lie in the years from 1970 to 2199, not in {parsed.year}")
    return parsed

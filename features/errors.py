"""What can go wrong between a worker and its Redis.

StoreError
├── NotConnected          nothing was sent: trying again is safe
├── OutOfTime             nothing was sent: the caller's time was up already
├── Uncertain             it was sent and no answer came: it may have been applied
│   ├── ConnectionLost      the connection ended, or fell silent
│   ├── StoreTimeout        the caller's time ran out first
│   └── ScriptFailed        a script ended with an error that it may have come to after its first write
├── RedisReplyError       Redis answered with an error: not applied
│   ├── NoScript            the script is not loaded (any more)
│   ├── OutOfMemory         maxmemory is reached and nothing may be evicted
│   ├── ReadOnly            this Redis is a replica now
│   ├── Loading             Redis is still reading its append-only file
│   └── AuthRefused         no, or wrong, credentials, or a command they do not cover
├── MergedAway            this id stands for another customer now: nothing was written
├── CorruptState          a customer's key holds something this ledger never wrote
├── LayoutMismatch        the keys in Redis were laid out by other settings
├── UnfitRedis            this Redis is of a kind, or an age, that Tino can't be used with
└── RedisServerError      the private redis-server does not come up
    └── NoRedisServer       there is no redis-server to run
"""

# They are named as a caller thinks of them, which is rarely as errors.
# ruff: noqa: N818

from __future__ import annotations

import re


class StoreError(Exception):
    """Base of all the above."""


class OutOfTime(StoreError):
    """The command was never written, as nobody waits for its reply any more."""


class NotConnected(StoreError):
    """The command was never written."""


class Uncertain(StoreError):
    """The command was written; whether it was applied is not known. Resolve by request or decision id."""


class ConnectionLost(Uncertain):
    """The connection ended between command and reply."""


class StoreTimeout(Uncertain):
    """The reply did not come in time. It may still come: it is then dropped."""


class ScriptFailed(Uncertain):
    """Redis does not undo what a script wrote before it failed."""


class RedisReplyError(StoreError):
    """An error reply. `reply_code` is its first word, such as ``WRONGTYPE``, or that of the error inside a script."""

    @property
    def reply_code(self) -> str:
        return _code(str(self))


class NoScript(RedisReplyError):
    pass


class OutOfMemory(RedisReplyError):
    pass


class ReadOnly(RedisReplyError):
    pass


class Loading(RedisReplyError):
    pass


class AuthRefused(RedisReplyError):
    pass


class MergedAway(StoreError):
    """Who changes customers by whatever id they go by asks features.identity, which follows it."""


class CorruptState(StoreError):
    pass


class LayoutMismatch(StoreError):
    pass


class UnfitRedis(StoreError):
    pass


class RedisServerError(StoreError):
    pass


class NoRedisServer(RedisServerError):
    pass


_BY_REPLY_CODE: dict[str, type[RedisReplyError]] = {
    "NOSCRIPT": NoScript,
    "OOM": OutOfMemory,
    "READONLY": ReadOnly,
    "LOADING": Loading,
    "NOAUTH": AuthRefused,
    "WRONGPASS": AuthRefused,
    "NOPERM": AuthRefused,
}


# Redis 6.2 wraps what went wrong inside a script: "ERR Error running script (…): @user_script:9: … -OOM command not …"
_IN_SCRIPT = re.compile(r"(?:ERR Error running script .*?: )?@user_script: \d+: -([A-Z]+) ")


# With these a script is refused before it begins, or at its first write: Redis doesn't change its mind in between.
_BEFORE_THE_FIRST_WRITE = frozenset(
    {
        *("NOSCRIPT", "OOM", "READONLY", "LOADING", "NOAUTH", "WRONGPASS", "NOPERM", "BUSY", "MISCONF", "NOREPLICAS"),
        *("MASTERDOWN", "CLUSTERDOWN", "MOVED", "ASK", "TRYAGAIN", "CROSSSLOT"),
    }
)


def _code(text: str) -> str:
    wrapped = _IN_SCRIPT.match(text)
    return wrapped[1] if wrapped else text.partition(" ")[0]


def reply_error(text: str) -> RedisReplyError:
    """The error for the text of one error reply."""
    return _BY_REPLY_CODE.get(_code(text), RedisReplyError)(text)


# What Redis 6.2 says inside a script, of commands and of keys; from 7 on it is NOPERM there too.
_NO_RIGHT_IN_SCRIPT = "The user executing the script can't "


def lacks_right(error: RedisReplyError) -> bool:
    """Whether Redis refused a command, or a key, to this user."""
    return error.reply_code == "NOPERM" or _NO_RIGHT_IN_SCRIPT in str(error)


def may_have_written(error: RedisReplyError) -> bool:
    """Whether a script that ended with `error`, and checks all it can before it writes, may have written by then.

    A right is asked for at each command: who has none to run scripts is refused before, but inside one, which Redis 7
    says in its words, it may be too late.
    """
    code = error.reply_code
    return code not in _BEFORE_THE_FIRST_WRITE or (code == "NOPERM" and "script" in str(error))

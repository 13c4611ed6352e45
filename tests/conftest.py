"""What the whole run has to say."""

from typing import Any

import pytest
from hypothesis import settings

from tests import traced
from tests.replayed import MADE_AGAIN

# The same examples in each run, however long one takes on a busy machine.
settings.register_profile("tino", deadline=None, derandomize=True)
settings.load_profile("tino")

_KEY = "made_again"


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of a run in several processes tells the one that reports."""
    told = getattr(session.config, "workeroutput", None)
    if told is not None:
        told[_KEY] = sum(MADE_AGAIN)


class _OfWorkers:
    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        MADE_AGAIN.append(getattr(node, "workeroutput", {}).get(_KEY, 0))


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_OfWorkers())
    config.pluginmanager.register(traced)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if MADE_AGAIN:
        count = sum(MADE_AGAIN)
        terminalreporter.write_line(f"{count} recorded decisions were made again and came out the same")

"""What the whole run has to say."""

import pytest

from tests.replayed import MADE_AGAIN


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if MADE_AGAIN:
        count = sum(MADE_AGAIN)
        terminalreporter.write_line(f"{count} recorded decisions were made again and came out the same")

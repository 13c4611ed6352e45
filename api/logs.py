"""Logs: one JSON object a line on standard error.

Tracebacks come without the values of variables, which would be callers' bodies and keys.
"""

import sys

import structlog


def configure_logs() -> None:
    """Unless somebody has configured structlog already."""
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )

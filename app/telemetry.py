"""Logs and counters. Facts with keys, one line an event; never bodies, e-mails, IP addresses or keys.

`set_up` is called once by the process that starts; everything else asks for `logger(name)`. The
counters are Prometheus's; each process has its own registry and `/metrics` shows the web process's.
"""

import logging
import sys
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

RECORDS = Counter(
    "clicktrail_records", "Records by door and what became of them.", ["door", "result"], registry=REGISTRY
)
INBOX_SECONDS = Histogram(
    "clicktrail_inbox_commit_seconds",
    "Time of one group commit, fsync included.",
    registry=REGISTRY,
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5),
)
INBOX_BYTES = Gauge("clicktrail_inbox_bytes", "Bytes in this process's inbox segments.", registry=REGISTRY)
READY = Gauge("clicktrail_ready", "1 when records can be accepted.", registry=REGISTRY)
REFUSED = Gauge(
    "clicktrail_refused", "1 while events of this kind find no room on the disk.", ["kind"], registry=REGISTRY
)


#: Frames without their variables: those hold keys, signing secrets and visitors' addresses.
_tracebacks = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def set_up(*, level: str = "info", pretty: bool = False) -> None:
    """Log to standard error: JSON lines, or aligned text for a person at a terminal."""
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=False) if pretty else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info if pretty else _tracebacks,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """The logger of a room; `name` becomes the field `room`."""
    log: structlog.typing.FilteringBoundLogger = structlog.get_logger(room=name)
    return log

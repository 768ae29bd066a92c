"""Logs and counters. Facts with keys, one line an event; never bodies, e-mails, IP addresses or keys.

`set_up` is called once by the process that starts; everything else asks for `logger(name)`. The
counters are Prometheus's; each process has its own registry and `/metrics` shows the web process's.
"""

import logging
import re
import sys
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from structlog.typing import ExcInfo

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
DATABASE = Gauge(
    "clicktrail_database_up", "1 when the database answered this process last.", registry=REGISTRY
)
READY = Gauge("clicktrail_ready", "1 when records can be accepted.", registry=REGISTRY)
REFUSED = Gauge(
    "clicktrail_refused", "1 while events of this kind find no room on the disk.", ["kind"], registry=REGISTRY
)


#: Frames without their variables: those hold keys, signing secrets and visitors' addresses.
_frames = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)

#: What nobody may read in a log: e-mail addresses, keys, IP addresses.
_PERSONAL = re.compile(
    r"[^\s\"'<>]+@[^\s\"'<>]+|ct_[a-z]{2,5}_[\w-]+|\d+(?:\.\d+){3}|[0-9a-f]*(?::[0-9a-f]*){3,}", re.I
)


def _discreet(exc_info: ExcInfo) -> list[dict[str, Any]]:
    """An exception for the log. Of what it says the first line: databases quote rows in further ones."""
    found = _frames(exc_info)
    for part in found:
        said = str(part.get("exc_value", "")).partition("\n")[0]
        part["exc_value"] = _PERSONAL.sub("(personal)", said[:500])
        part.pop("exc_notes", None)
    return found


def set_up(*, level: str = "info", pretty: bool = False) -> None:
    """Log to standard error: JSON lines, or aligned text for a person at a terminal.

    What libraries log, from warnings on, becomes lines of the same form.
    """
    told: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    written: list[Any] = (
        [structlog.processors.format_exc_info, structlog.dev.ConsoleRenderer(colors=False)]
        if pretty
        else [structlog.processors.ExceptionRenderer(_discreet), structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *told, *written],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    lines = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *told],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *written],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(lines)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """The logger of a room; `name` becomes the field `room`."""
    log: structlog.typing.FilteringBoundLogger = structlog.get_logger(room=name)
    return log

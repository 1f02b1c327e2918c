"""structlog over the standard library's logging, configured once for every role.

Libraries that use logging directly come out in the same form. It must not know any role.
"""

import logging
import sys
from collections.abc import Sequence
from typing import Final

import structlog
from structlog.types import Processor

LEVELS: Final[Sequence[str]] = ("debug", "info", "warning", "error")

_CHATTY = {
    "asyncio": logging.WARNING,
    "hypercorn.access": logging.WARNING,
    "pymodbus": logging.ERROR,
    "amqtt": logging.WARNING,
    "transitions": logging.WARNING,
    "yoyo": logging.WARNING,
}
"""Libraries whose own words repeat what the suite says better, and from which level they speak."""


def configure_logging(level: str, *, as_json: bool) -> None:
    """Send events to stderr, as lines for people or as one JSON object a line."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderers: list[Processor]
    if as_json:
        renderers = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        renderers = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name, least in _CHATTY.items():
        logging.getLogger(name).setLevel(max(least, root.level))
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )

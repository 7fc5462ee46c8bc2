"""Logs: one event name and its fields a line, JSON for journald, coloured key-values on a terminal."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import msgspec
import structlog

from hedgegridd.config import Daemon

_SECRET = ("secret", "api_key", "signature", "listenkey", "password", "token_value")
# In the text of what libraries say: the query of a signed request, a stream's address.
_IN_TEXT = re.compile(r"\b(signature|listenKey|apiKey)=[^&\s\"')]+")
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def _redact(_logger: object, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """No field whose name says secret leaves with its value, nor what a signed request holds of it in a text."""
    for field, value in event.items():
        if any(word in field.lower() for word in _SECRET):
            event[field] = "[redacted]"
        elif isinstance(value, str) and "=" in value:
            event[field] = _IN_TEXT.sub(r"\1=[redacted]", value)
    return event


def _json(event: MutableMapping[str, Any], **_kwargs: object) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()


class _Bridge(logging.Handler):
    """Whatever libraries log goes the same way."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger().bind(logger=record.name)
        error = repr(record.exc_info[1]) if record.exc_info else None
        fields = {"error": error} if error else {}
        log.log(record.levelno, record.getMessage(), **fields)


def configure(daemon: Daemon) -> None:
    """Set logging up for this process; once."""
    level = _LEVELS[daemon.log_level]
    console = daemon.log_format == "console" or (daemon.log_format == "auto" and sys.stdout.isatty())
    renderer: Any = structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer(_json)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _redact,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Bridge()]
    root.setLevel(max(level, logging.WARNING))

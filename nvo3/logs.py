"""What a line of the log looks like: text, or a JSON object with `--nvo3-log-format json`."""

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from nvo3.events import LoggedEvent

FORMATS = ("text", "json")
LOG = logging.getLogger("nvo3.event")

_TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def formatter(name: str) -> logging.Formatter:
    """Return what makes lines of a format."""
    return _Json() if name == "json" else _Text(_TEXT)


def log_event(event: LoggedEvent) -> None:
    """Log an event of a user's objects."""
    fields = {"id": event.id, "kind": event.kind, "what": event.what, "name": event.name, "detail": event.detail}
    said = " ".join(part for part in (event.kind, event.name, event.what) if part)
    LOG.info("%s%s", said, f" ({event.detail})" if event.detail else "", extra={"nvo3_event": fields})


class _Text(logging.Formatter):
    """A message is one line, whatever is in it; a traceback, which only an internal error has, follows on lines of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = _one_line(record.message)
        return super().formatMessage(record)


class _Json(logging.Formatter):
    """time (RFC 3339, UTC), level, logger, message; event: the fields of an event; exception: a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        event: Mapping[str, str] | None = getattr(record, "nvo3_event", None)
        if event is not None:
            line["event"] = event
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def _one_line(text: str) -> str:
    return text.replace("\r", "\\r").replace("\n", "\\n")

"""Lines of the log."""

import io
import json
import logging
from datetime import UTC, datetime

import pytest

from nvo3 import logs
from nvo3.events import EventLog, LoggedEvent


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def _logger(stream: io.StringIO, line_format: str) -> logging.Logger:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.formatter(line_format))
    logger = logging.Logger("os_ken.something")
    logger.addHandler(handler)
    return logger


def test_json_is_one_object_a_line(stream: io.StringIO) -> None:
    logger = _logger(stream, "json")
    logger.warning('two\nlines and "%s"', "quotes")
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        logger.exception("internal error")
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert datetime.fromisoformat(first["time"]).tzinfo is not None and first["time"].endswith("Z")
    assert (first["level"], first["logger"], first["message"]) == ("WARNING", "os_ken.something", 'two\nlines and "quotes"')
    assert "RuntimeError: broken" in second["exception"]


def test_text_is_one_line_a_message(stream: io.StringIO) -> None:
    _logger(stream, "text").info("two\nlines")
    assert stream.getvalue().endswith("INFO os_ken.something: two\\nlines\n") and stream.getvalue().count("\n") == 1


@pytest.mark.parametrize("line_format", ["text", "json"])
def test_an_event_is_a_line(stream: io.StringIO, line_format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LOG", _logger(stream, line_format))
    events = EventLog(lambda: datetime.now(UTC), logs.log_event)
    event: LoggedEvent = events.add("port", "bound", "red/web/vm1", "hv1, tap0")
    (line,) = stream.getvalue().splitlines()
    if line_format == "text":
        assert line.endswith(": port red/web/vm1 bound (hv1, tap0)")
    else:
        fields = {"id": event.id, "kind": "port", "what": "bound", "name": "red/web/vm1", "detail": "hv1, tap0"}
        assert json.loads(line)["event"] == fields

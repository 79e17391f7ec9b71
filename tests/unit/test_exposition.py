"""/metrics as text, in both formats, read by Prometheus' own parsers."""

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from nvo3.exposition import Family, content_type, labels_of, prefers_openmetrics, render


def _families() -> list[Family]:
    values = [(labels_of(("network", "port"), ("web", f'p"{n}\\')), n) for n in range(1201)]
    return [Family("nvo3_port_rx_packets", "Frames from the guest.", values), Family("nvo3_none", "Nothing.", [])]


@pytest.mark.parametrize("is_openmetrics", [False, True])
def test_what_is_written_is_read(is_openmetrics: bool) -> None:
    registry = CollectorRegistry()
    Counter("nvo3_events", "Events.", registry=registry).inc(3)
    Histogram("nvo3_time_seconds", "Time.", registry=registry).observe(0.2)
    pieces = list(render(registry, _families(), is_openmetrics))
    parse = parse_openmetrics if is_openmetrics else parse_text
    families = {family.name: family for family in parse(b"".join(pieces).decode())}
    assert families["nvo3_events"].samples[0].value == 3 and families["nvo3_time_seconds"].type == "histogram"
    ports = families["nvo3_port_rx_packets"]
    assert ports.type == "counter" and ports.documentation == "Frames from the guest." and len(ports.samples) == 1201
    assert ports.samples[7].name == "nvo3_port_rx_packets_total" and ports.samples[7].value == 7
    assert ports.samples[7].labels == {"network": "web", "port": 'p"7\\'}
    assert max(piece.count(b"\n") for piece in pieces) <= 500


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", True),
        ("text/plain", False),
        ("", False),
    ],
)
def test_format_by_accept(accept: str, expected: bool) -> None:
    assert prefers_openmetrics(accept) is expected
    assert ("openmetrics" in content_type(expected)) is expected

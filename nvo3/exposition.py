"""/metrics as text, in pieces: Prometheus' text format 0.0.4, and OpenMetrics 1.0.0 where the client prefers it.

https://prometheus.io/docs/instrumenting/exposition_formats/, https://prometheus.io/docs/specs/om/open_metrics_spec/
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

_PIECE = 500  # lines between two chances for others
_EOF = b"# EOF\n"


@dataclass(frozen=True, slots=True)
class Family:
    """A counter with one value for each of many objects.  name: without `_total`.  values: labels, as `labels_of` makes them, and value."""

    name: str
    text: str
    values: Iterable[tuple[str, int]]


def labels_of(names: Sequence[str], values: Sequence[str]) -> str:
    """Return a sample's labels, as in {a="b"}."""
    pairs = (f'{name}="{escape(value)}"' for name, value in zip(names, values, strict=True))
    return "{" + ",".join(pairs) + "}"


def prefers_openmetrics(accept: str) -> bool:
    """Tell it from a request's Accept, as prometheus_client does."""
    return any(part.split(";")[0].strip() == "application/openmetrics-text" for part in accept.split(","))


def content_type(is_openmetrics: bool) -> str:
    """Return what `render` makes."""
    return openmetrics.CONTENT_TYPE_LATEST if is_openmetrics else CONTENT_TYPE_PLAIN_0_0_4


def render(registry: CollectorRegistry, families: Iterable[Family], is_openmetrics: bool) -> Iterator[bytes]:
    """Yield all of a registry, then the families, in pieces."""
    if is_openmetrics:
        yield bytes(openmetrics.generate_latest(registry)).removesuffix(_EOF)  # type: ignore[no-untyped-call]
    else:
        yield generate_latest(registry)
    for family in families:
        name = family.name if is_openmetrics else f"{family.name}_total"
        yield f"# HELP {name} {family.text}\n# TYPE {name} counter\n".encode()
        lines = (f"{family.name}_total{labels} {value}\n" for labels, value in family.values)
        while piece := "".join(islice(lines, _PIECE)):
            yield piece.encode()
    if is_openmetrics:
        yield _EOF


def escape(value: str) -> str:
    """Return a label's value as it stands between quotes."""
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")

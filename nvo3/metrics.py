"""What the controller tells of itself to Prometheus: instruments, and their names (docs/metrics.md).

https://prometheus.io/docs/practices/naming/: base units, `_total` for counters.  Labels have few values; what there is for each port and
each tunnel is written apart, by `nvo3.exposition`, since there may be a hundred thousand of them.
"""

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

import nvo3

_FAST_S = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_LATENCY_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_FLOW_MODS = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000)
_BYTES = (256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304)


disable_created_metrics()  # type: ignore[no-untyped-call]  # a third more series, and nobody asks for them


class Metrics:
    """One of each controller; each has a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        # The core.
        self.events = Counter("nvo3_events", "Events that the core has handled.", ["kind"], registry=registry)
        self.event_duration = Histogram(
            "nvo3_event_duration_seconds", "Time to handle an event and to carry out its effects.", buckets=_FAST_S, registry=registry
        )
        self.loop_lag = Histogram(
            "nvo3_loop_lag_seconds", "How much later than due the event loop came to a timer.", buckets=_FAST_S, registry=registry
        )
        self.realization = Histogram(
            "nvo3_realization_duration_seconds",
            "From a change of the NB database until every connected hypervisor has confirmed it.",
            buckets=_LATENCY_S,
            registry=registry,
        )
        # Switches.
        self.flows_added = Counter("nvo3_flows_added", "Flows sent to switches, new or changed.", registry=registry)
        self.flows_deleted = Counter("nvo3_flows_deleted", "Flows deleted from switches.", registry=registry)
        self.bundle_flow_mods = Histogram("nvo3_bundle_flow_mods", "Flow changes in one bundle.", buckets=_FLOW_MODS, registry=registry)
        self.bundle_bytes = Histogram("nvo3_bundle_size_bytes", "Size of one bundle.", buckets=_BYTES, registry=registry)
        self.refusals = Counter("nvo3_refusals", "Changes that a switch refused.", registry=registry)
        connections = ["protocol"]  # openflow, ovsdb
        self.connections = Counter("nvo3_connections", "Connections to hypervisors that came up.", connections, registry=registry)
        self.disconnections = Counter("nvo3_disconnections", "Connections to hypervisors that were lost.", connections, registry=registry)
        for protocol in ("openflow", "ovsdb"):
            self.connections.labels(protocol)
            self.disconnections.labels(protocol)
        self.polls = Counter("nvo3_polls", "Switches asked for their counters.", ["result"], registry=registry)
        for result in ("answered", "timeout"):
            self.polls.labels(result)
        self.poll_duration = Histogram(
            "nvo3_poll_processing_seconds", "CPU time to work through one switch's counters.", buckets=_FAST_S, registry=registry
        )
        # The NB database and the API.
        self.transactions = Histogram(
            "nvo3_northbound_transaction_duration_seconds",
            "Transactions on the NB database.",
            ["result"],
            buckets=_LATENCY_S,
            registry=registry,
        )
        self.requests = Counter("nvo3_api_requests", "Requests to the REST API.", ["route", "method", "status"], registry=registry)
        self.request_duration = Histogram(
            "nvo3_api_request_duration_seconds",
            "Time until a request's answer begins, waiting as asked for included.",
            ["route", "method"],
            buckets=_LATENCY_S,
            registry=registry,
        )
        # The process.
        build = Gauge("nvo3_build_info", "1; the version is in the labels.", ["version", "python"], registry=registry)
        build.labels(nvo3.__version__, platform.python_version()).set(1)
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)

    def read_gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Have a gauge read at each scrape."""
        Gauge(name, text, registry=self.registry).set_function(read)

    def read_counter(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Have a counter read at each scrape.  name: without `_total`."""
        self.registry.register(_Read(lambda: [CounterMetricFamily(name, text, read())]))

    def read_states(self, name: str, text: str, states: Iterable[str], read: Callable[[], Mapping[str, int]]) -> None:
        """Have the number of objects in each state read at each scrape."""
        known = tuple(states)

        def collect() -> list[Any]:
            family, counted = GaugeMetricFamily(name, text, labels=["state"]), read()
            for state in known:
                family.add_metric([state], counted.get(state, 0))
            return [family]

        self.registry.register(_Read(collect))


class _Read:
    """A collector of what others know."""

    def __init__(self, collect: Callable[[], list[Any]]) -> None:
        self._collect = collect

    def describe(self) -> list[Any]:
        """Say nothing: asked when it is registered, before there is anything to read."""
        return []

    def collect(self) -> Iterator[Any]:
        yield from self._collect()

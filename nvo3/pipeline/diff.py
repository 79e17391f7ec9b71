"""Desired flows of one bridge, by part, and the change from one desired state to the next."""

from collections.abc import Iterable, Iterator
from uuid import UUID

from nvo3.pipeline.compose import Part
from nvo3.pipeline.flow import FlowKey, FlowSpec


class FlowTable:
    """What one bridge should have."""

    def __init__(self) -> None:
        self._parts: dict[Part, tuple[FlowSpec, ...]] = {}
        self._by_network: dict[UUID, set[Part]] = {}
        self.n_flows = 0

    def __iter__(self) -> Iterator[FlowSpec]:
        for flows in self._parts.values():
            yield from flows

    def parts_of(self, network: UUID) -> frozenset[Part]:
        """Return the parts that a network has here."""
        return frozenset(self._by_network.get(network, ()))

    def replace(self, changes: Iterable[tuple[Part, Iterable[FlowSpec]]]) -> tuple[list[FlowSpec], list[FlowKey]]:
        """Give parts new flows, all at once; return the flows to add or replace, and the keys to delete.

        A flow that leaves one part and enters another in the same change is never deleted.  Applying a change twice changes nothing.
        """
        added: dict[FlowKey, FlowSpec] = {}
        removed: dict[FlowKey, FlowSpec] = {}
        for part, new in changes:
            flows = tuple(new)
            before = self._set(part, flows)
            if before == flows:
                continue
            removed.update((f.key, f) for f in before)
            added.update((f.key, f) for f in flows)
        adds = [f for key, f in added.items() if removed.get(key) != f]
        deletes = [key for key in removed if key not in added]
        return adds, deletes

    def _set(self, part: Part, flows: tuple[FlowSpec, ...]) -> tuple[FlowSpec, ...]:
        before = self._parts.pop(part, ())
        if flows:
            self._parts[part] = flows
        if part.network is not None:
            parts = self._by_network.setdefault(part.network, set())
            (parts.add if flows else parts.discard)(part)
            if not parts:
                del self._by_network[part.network]
        self.n_flows += len(flows) - len(before)
        return before

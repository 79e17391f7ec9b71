"""Desired flows of one bridge, or rules of one vNIC, by part, and the change from one desired state to the next."""

from collections.abc import Iterable, Iterator
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

from nvo3.pipeline.compose import Part


class Keyed(Protocol):
    """A flow of a bridge or a rule of a vNIC."""

    @property
    def key(self) -> Any:
        """What makes two of them the same."""


_F = TypeVar("_F", bound=Keyed)


class FlowTable(Generic[_F]):
    """What one bridge, or one vNIC, should have."""

    def __init__(self) -> None:
        self._parts: dict[Part, tuple[_F, ...]] = {}
        self._by_network: dict[UUID, set[Part]] = {}
        self.n_flows = 0

    def __iter__(self) -> Iterator[_F]:
        for flows in self._parts.values():
            yield from flows

    def parts_of(self, network: UUID) -> frozenset[Part]:
        """Return the parts that a network has here."""
        return frozenset(self._by_network.get(network, ()))

    def of(self, part: Part) -> tuple[_F, ...]:
        """Return the flows of a part."""
        return self._parts.get(part, ())

    def replace(self, changes: Iterable[tuple[Part, Iterable[_F]]]) -> tuple[list[_F], list[Any]]:
        """Give parts new flows, all at once; return the flows to add or replace, and the keys to delete.

        A flow that leaves one part and enters another in the same change is never deleted.  Applying a change twice changes nothing.
        """
        added: dict[Any, _F] = {}
        removed: dict[Any, _F] = {}
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

    def _set(self, part: Part, flows: tuple[_F, ...]) -> tuple[_F, ...]:
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

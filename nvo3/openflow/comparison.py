"""A bridge's flows as they are, against what they should be."""

from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256

from nvo3.model.status import FlowEntry, FlowState
from nvo3.openflow import encoder
from nvo3.openflow.decoder import InstalledFlow, WireKey
from nvo3.openflow.text import actions_text, match_text
from nvo3.pipeline.flow import FlowSpec

_AT_ONCE = 200  # flows, between which others get their turn


def compare(desired: Iterable[FlowSpec], installed: Iterable[InstalledFlow], pause: Callable[[float], object]) -> tuple[FlowEntry, ...]:
    """Return all flows, desired or installed, in the order of tables and priorities.  pause: lets others on."""
    wanted = {WireKey(f.key.table, f.key.priority, encoder.serialize_match(f)): f for f in desired}
    return tuple(sorted(_entries(wanted, installed, pause), key=lambda entry: entry.key))


def _entries(wanted: dict[WireKey, FlowSpec], installed: Iterable[InstalledFlow], pause: Callable[[float], object]) -> Iterator[FlowEntry]:
    for number, there in enumerate(installed, 1):
        spec = wanted.pop(there.key, None)
        yield _entry(there.key, _state(spec, there), there.cookie, there.instructions, there.n_packets, there.n_bytes)
        if number % _AT_ONCE == 0:
            pause(0)
    for key, spec in wanted.items():
        yield _entry(key, "missing", encoder.cookie_of(spec), encoder.serialize_instructions(spec))


def _state(spec: FlowSpec | None, there: InstalledFlow) -> FlowState:
    if spec is None:
        return "stale" if encoder.is_our_cookie(there.cookie) else "foreign"
    same = (there.cookie, there.instructions, there.plain) == (encoder.cookie_of(spec), encoder.serialize_instructions(spec), True)
    return "present" if same else "wrong"


def _entry(key: WireKey, state: FlowState, cookie: int, instructions: bytes, n_packets: int = 0, n_bytes: int = 0) -> FlowEntry:
    name = f"{key.table:03}.{65535 - key.priority:05}.{sha256(key.match).hexdigest()[:16]}"
    return FlowEntry(name, state, key.table, key.priority, cookie, match_text(key.match), actions_text(instructions), n_packets, n_bytes)

"""Tunnel keys: fields that do not overlap, for every encapsulation."""

from dataclasses import replace
from uuid import UUID

import pytest

from nvo3.model.ids import VNI_MAX, Vni
from nvo3.model.logical import Network
from nvo3.model.physical import ENCAPSULATIONS
from nvo3.model.tunnel_key import CONTEXT_ID, NVGRE, VNI_ONLY, TunnelKey, key_of, version_of

NETWORK = Network(UUID(int=1), UUID(int=2), "web", Vni(0xABCDEF))


@pytest.mark.parametrize("encapsulation", ENCAPSULATIONS.values(), ids=list(ENCAPSULATIONS))
def test_every_field_has_bits_of_its_own(encapsulation) -> None:
    layout = encapsulation.key
    fields = [bits.put((1 << bits.n) - 1) for bits in (layout.vni, layout.ingress_port, layout.version)]
    assert sum(fields) == fields[0] | fields[1] | fields[2] < 1 << layout.size


def test_context_id() -> None:
    key = TunnelKey.parse(0x123456_0007_ABCDEF, CONTEXT_ID)
    assert (key.version, key.ingress_port, key.vni) == (0x123456, 7, 0xABCDEF)


def test_key_of_a_network() -> None:
    assert key_of(NETWORK, VNI_ONLY) == 0xABCDEF
    assert key_of(NETWORK, NVGRE) == 0xABCDEF00
    assert TunnelKey.parse(key_of(NETWORK, CONTEXT_ID), CONTEXT_ID) == TunnelKey(NETWORK.vni, 0, version_of(NETWORK))


@pytest.mark.parametrize("layout", [VNI_ONLY, NVGRE, CONTEXT_ID])
def test_a_key_that_is_too_long(layout) -> None:
    for key in (1 << layout.size, -1):
        with pytest.raises(ValueError, match="does not fit"):
            TunnelKey.parse(key, layout)
    assert TunnelKey.parse((1 << layout.size) - 1, layout).vni == VNI_MAX


def test_version_follows_the_definition_and_nothing_else() -> None:
    assert version_of(NETWORK) == version_of(replace(NETWORK)) == version_of(replace(NETWORK, name="other"))
    assert len({version_of(n) for n in (NETWORK, replace(NETWORK, mtu=9000), replace(NETWORK, encapsulation="stt"))}) == 3

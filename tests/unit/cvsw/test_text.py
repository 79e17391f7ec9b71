"""Entries as people read them."""

from ipaddress import IPv4Network

import pytest

from nvo3.cvsw.text import action_text, actions_text, match_fields, match_text
from nvo3.wire.of10_action import Action, Output, Port, SetDlSrc, SetNwDst, SetTpDst, SetTunnel, SetVlanVid, StripTunnel, StripVlan
from nvo3.wire.of10_match import VLAN_NONE, Match, Tunnel, TunnelMatch

_MAC = bytes.fromhex("0200000000ff")
_ONE, _TWO = bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2])


def test_match() -> None:
    assert match_text(Match()) == "any"
    match = Match(
        in_port=2, dl_src=_MAC, dl_vlan=VLAN_NONE, dl_type=0x800, nw_src=IPv4Network("10.0.0.0/8"), nw_dst=IPv4Network("10.0.0.1")
    )
    assert match_text(match) == "in_port=net,dl_src=02:00:00:00:00:ff,dl_vlan=none,dl_type=0x0800,nw_src=10.0.0.0/8,nw_dst=10.0.0.1"
    assert match_fields(Match(dl_vlan=5, tp_dst=80)) == {"dl_vlan": 5, "tp_dst": 80}
    tunnel = Match(in_port=7, tunnel=TunnelMatch(Tunnel.STT, 5001, 24))
    assert match_fields(tunnel) == {"in_port": "7", "tunnel": "stt", "tunnel_id": 5001, "tunnel_bits": 24}


@pytest.mark.parametrize(
    ("action", "text"),
    [
        (Output(Port.HOST), "output:host"),
        (Output(99), "output:99"),
        (StripVlan(), "strip_vlan"),
        (SetVlanVid(7), "set_vlan_vid:7"),
        (SetDlSrc(_MAC), "set_dl_src:02:00:00:00:00:ff"),
        (SetNwDst(_ONE), "set_nw_dst:192.0.2.1"),
        (SetTpDst(80), "set_tp_dst:80"),
        (StripTunnel(Tunnel.GENEVE), "strip_geneve"),
        (
            SetTunnel(Tunnel.STT, _MAC, _MAC, _ONE, _TWO, 0x1000001389),
            "set_stt(id=0x1000001389,to=192.0.2.1/02:00:00:00:00:ff,from=192.0.2.2/02:00:00:00:00:ff)",
        ),
        (
            SetTunnel(Tunnel.SCLP, _MAC, _MAC, _ONE, _TWO, 5001, offload=True, udp=True, segment=1400),
            "set_sclp(id=5001,to=192.0.2.1/02:00:00:00:00:ff,from=192.0.2.2/02:00:00:00:00:ff,offload,udp,segment=1400)",
        ),
    ],
)
def test_action(action: Action, text: str) -> None:
    assert action_text(action) == text


def test_actions() -> None:
    assert actions_text(()) == "drop"
    assert actions_text((StripVlan(), Output(Port.NET))) == "strip_vlan,output:net"

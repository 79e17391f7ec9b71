"""Flows as people read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvo3.openflow import encoder
from nvo3.openflow.text import actions_text, match_text
from nvo3.pipeline.flow import IN_PORT, Action, Cond, Field, Meter, Move, Output, Resubmit, SetField, Table, build_flow


@pytest.mark.parametrize(
    ("match", "text"),
    [
        ((), ""),
        ((Cond(Field.IN_PORT, 5),), "in_port=5"),
        ((Cond(Field.ETH_DST, 1 << 40, 1 << 40),), "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00"),
        ((Cond(Field.ETH_TYPE, 0x800), Cond(Field.IPV4_SRC, 0x0A000001)), "dl_type=0x800,nw_src=10.0.0.1"),
        ((Cond(Field.METADATA, 5001), Cond(Field.TUN_IPV4_SRC, 0xC0000201)), "tun_src=192.0.2.1,metadata=0x1389"),
    ],
)
def test_matches(match: tuple[Cond, ...], text: str) -> None:
    assert match_text(encoder.serialize_match(build_flow(Table.CLASSIFY, 1, match))) == text


@pytest.mark.parametrize(
    ("actions", "rest", "text"),
    [
        ((), {}, "drop"),
        ((Output(7), Output(IN_PORT)), {}, "output:7,output:IN_PORT"),
        ((SetField(Field.TUN_IPV4_DST, 0xC0000202), Output(9)), {}, "set_field:192.0.2.2->tun_dst,output:9"),
        ((Move(Field.IN_PORT, Field.TUN_ID, 16, dst_offset=24),), {}, "move:in_port[0..15]->tun_id[24..39]"),
        ((SetField(Field.REG15, 3), Resubmit(Table.OUTPUT)), {}, "set_field:0x3->reg15,resubmit(,80)"),
        ((), {"meter": Meter(4, 100), "metadata": 5001, "goto": Table.L2}, "meter:4,write_metadata:0x1389,goto_table:50"),
    ],
)
def test_actions(actions: tuple[Action, ...], rest: dict, text: str) -> None:
    assert actions_text(encoder.serialize_instructions(build_flow(Table.CLASSIFY, 1, actions=actions, **rest))) == text


@given(st.binary(max_size=64))
def test_what_cannot_be_read_is_shown_as_it_is(data: bytes) -> None:
    for text in (match_text(data), actions_text(data)):
        assert isinstance(text, str)
    assert match_text(b"\0\1\0\7\xff\xff\xff").startswith("undecoded:")

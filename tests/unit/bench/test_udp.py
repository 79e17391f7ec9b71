"""Sizes of datagrams, as `--sizes` names them."""

import pytest

from nvo3.bench import udp
from nvo3.model.errors import ConfigError


def test_each_size_is_a_case_in_the_order_given() -> None:
    cases = udp.benchmark(udp.parse_sizes("1400, 64")).cases
    assert [(case.label, case.fields) for case in cases] == [("1400 B", {"size_bytes": 1400}), ("64 B", {"size_bytes": 64})]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("64,15", "--sizes: 15 is not in 16..65507"),
        ("65508", "--sizes: 65508 is not in 16..65507"),
        ("1k", "--sizes: 1k is not in 16..65507"),
        ("", "--sizes: '': at least one size, each once"),
        ("64,64", "--sizes: '64,64': at least one size, each once"),
    ],
)
def test_parse_sizes_refuses_with_the_limits(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        udp.parse_sizes(text)
    assert str(caught.value) == message

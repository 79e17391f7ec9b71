"""Congestion control, as `--congestion` names it."""

import pytest

from nvo3.bench import tcp
from nvo3.model.errors import ConfigError


def test_the_default_is_there_on_every_linux() -> None:
    assert tcp.parse_congestion(tcp.CONGESTION_DEFAULT) == "cubic"


def test_parse_congestion_refuses_with_what_there_is() -> None:
    with pytest.raises(ConfigError, match="--congestion: 'swift' is not one of .*cubic"):
        tcp.parse_congestion("swift")

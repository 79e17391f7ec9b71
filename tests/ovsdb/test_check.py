"""What values the desired state may have.  Every refusal names field, value and limit in one line."""

from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvo3.model import check
from nvo3.model.errors import ConfigError

_POOLS = [ip_network("10.0.0.0/24"), ip_network("fd00::/64")]


def _refused(function: Callable[..., Any], *arguments: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("vni", [1, 5000, 16777215])
def test_vni(vni: int) -> None:
    assert check.check_vni(vni, "vni") == vni


@pytest.mark.parametrize("vni", [0, -1, 16777216, 1 << 80])
def test_vni_out_of_range(vni: int) -> None:
    error = _refused(check.check_vni, vni, "vni")
    assert str(error) == f"vni: {vni} is not within 1..16777215"
    assert (error.path, error.value, error.limit) == ("vni", vni, "1..16777215")


@pytest.mark.parametrize(
    ("mtu", "encapsulation", "fits"),
    [(1280, "auto", True), (65000, "geneve", True), (1279, "auto", False), (65001, "none", False), (0, "gre", False)],
)
def test_mtu(mtu: int, encapsulation: str, fits: bool) -> None:
    if fits:
        assert check.check_mtu(mtu, encapsulation, "mtu") == mtu
    else:
        assert str(_refused(check.check_mtu, mtu, encapsulation, "mtu")) == f"mtu: {mtu} is not within 1280..65000 bytes"


@pytest.mark.parametrize("text", ["10.0.0.0/8", "10.0.0.0/30", "192.168.0.0/16", "fd00::/48", "2001:db8::/126"])
def test_pool(text: str) -> None:
    assert str(check.check_pool(text, "pools[0]")) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("10.0.0.0", "lacks the prefix length"),
        ("10.0.0.1/24", "10.0.0.1/24 has host bits set; the prefix is 10.0.0.0/24"),
        ("10.0.0.0/31", "10.0.0.0/31 is not within /8../30 (IPv4)"),
        ("8.0.0.0/7", "is not within /8../30"),
        ("fd00::/127", "is not within /48../126 (IPv6)"),
        ("fd00::/47", "is not within /48../126"),
        ("10.0.0.0/33", "is not an IP prefix"),
        ("10.0.0/24", "is not an IP prefix"),
        ("", "is not an IP prefix"),
        ("fd00::%1/64", "is not an IP prefix"),
        ("x\ny", "is not an IP prefix"),
        ("127.0.0.0/8", "contains loopback addresses (127.0.0.0/8)"),
        ("169.254.0.0/24", "contains link-local addresses"),
        ("224.0.1.0/24", "contains multicast addresses"),
        ("ff02::/64", "contains multicast addresses"),
        ("fe80::/64", "contains link-local addresses"),
        ("::/48", "contains loopback addresses"),
        ("0.0.0.0/8", "contains this-network addresses"),
        ("255.255.255.0/24", "contains reserved addresses"),
    ],
)
def test_pool_that_is_none(text: str, reason: str) -> None:
    error = _refused(check.check_pool, text, "pools[0]")
    assert error.path == "pools[0]"
    assert reason in str(error)


def test_pools_are_disjoint_and_few() -> None:
    error = _refused(check.check_pools, ["10.0.0.0/8", "fd00::/64", "10.1.0.0/16"], "pools")
    assert str(error) == "pools[2]: 10.1.0.0/16 overlaps 10.0.0.0/8"
    many = [f"10.{i}.0.0/16" for i in range(17)]
    assert str(_refused(check.check_pools, many, "pools")) == "pools: 17 pools exceed 16"
    assert [str(p) for p in check.check_pools(["fd00::/64", "10.1.0.0/16", "10.0.0.0/16"], "p")] == [
        "10.0.0.0/16",
        "10.1.0.0/16",
        "fd00::/64",
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("10.0.1.1", "10.0.1.1 is in no pool of the network (10.0.0.0/24)"),
        ("10.0.0.0", "10.0.0.0 is the network address of 10.0.0.0/24"),
        ("10.0.0.255", "10.0.0.255 is the broadcast address of 10.0.0.0/24"),
        ("fd00::", "fd00:: is the subnet-router anycast address of fd00::/64"),
        ("10.0.0.1/24", "is not an IP address"),
        ("fd00::1%eth0", "has a scope"),
        ("", "is not an IP address"),
    ],
)
def test_address_that_does_not_fit(text: str, reason: str) -> None:
    assert reason in str(_refused(check.check_address, text, _POOLS, "addresses[0]"))


def test_address_of_a_family_without_pool() -> None:
    error = _refused(check.check_address, "fd00::1", _POOLS[:1], "addresses[0]")
    assert str(error) == "addresses[0]: fd00::1: the network has no IPv6 pool"
    assert "no IPv4 pool" in str(_refused(check.check_addresses, ["10.0.0.1"], [], "addresses"))


def test_addresses() -> None:
    found = check.check_addresses(["fd00::5", "10.0.0.9", "10.0.0.1"], _POOLS, "addresses")
    assert [str(address) for address in found] == ["10.0.0.1", "10.0.0.9", "fd00::5"]
    twice = ["10.0.0.9", "fd00::5", "FD00::0005"]
    assert str(_refused(check.check_addresses, twice, _POOLS, "addresses")) == "addresses[2]: fd00::5 stands twice"
    many = [f"10.0.0.{i}" for i in range(1, 34)]
    assert "33 addresses exceed 32" in str(_refused(check.check_addresses, many, _POOLS, "addresses"))


@pytest.mark.parametrize(
    "remote",
    [
        "tcp:192.0.2.1:6640",
        "ssl:hv1.example:6640",
        "tcp:[2001:db8::1]:6640",
        "unix:/run/openvswitch/db.sock",
        "tcp:h:1",
    ],
)
def test_remote(remote: str) -> None:
    assert check.check_remote(remote, "remote") == remote


@pytest.mark.parametrize(
    "remote",
    [
        *("", "tcp", "tcp:", "tcp:h", "tcp::6640", "tcp:h:0", "tcp:h:65536", "tcp:2001:db8::1:6640", "ptcp:6640"),
        *("tcp:[192.0.2.1]:6640", "tcp:192.0.2:6640", "tcp:256.0.0.1:6640", "tcp:a b:1", "tcp:-h:1", "unix:run/x"),
        *("unix:/a,b", "unix:/a\nb", "http://h:1", "tcp:h:1,tcp:i:1", "tcp:" + "h" * 300 + ":1", "tcp:h:6640\n"),
    ],
)
def test_remote_that_is_none(remote: str) -> None:
    assert _refused(check.check_remote, remote, "remote").path == "remote"


def test_encapsulation() -> None:
    assert check.check_encapsulation("auto", "encapsulation") == "auto"
    error = _refused(check.check_encapsulation, "mpls", "encapsulation")
    assert str(error) == "encapsulation: 'mpls' is not one of auto, none, stt, sclp-udp, sclp, geneve, vxlan, gre"
    assert check.check_encapsulation_order(["gre", "vxlan"], "order") == ("gre", "vxlan")
    assert "stands twice" in str(_refused(check.check_encapsulation_order, ["gre", "gre"], "order"))
    assert "order[1]: 'auto'" in str(_refused(check.check_encapsulation_order, ["gre", "auto"], "order"))
    assert "is empty" in str(_refused(check.check_encapsulation_order, [], "order"))


@given(st.text() | st.from_regex(r"[0-9a-f.:/%]{1,40}"))
def test_any_text_gives_a_value_or_a_one_line_error(text: str) -> None:
    for function, arguments in (
        (check.check_pool, ("p",)),
        (check.check_remote, ("p",)),
        (check.check_encapsulation, ("p",)),
        (check.check_address, (_POOLS, "p")),
    ):
        try:
            value = function(text, *arguments)  # type: ignore[operator]
        except ConfigError as error:
            assert error.path == "p"
        else:
            assert str(value).isprintable()


@given(st.ip_addresses())
def test_address_is_in_a_pool_or_refused(address: Any) -> None:
    try:
        assert check.check_address(str(address), _POOLS, "p") == address
    except ConfigError:
        assert not any(address in pool for pool in _POOLS) or address in (
            ip_address("10.0.0.0"),
            ip_address("10.0.0.255"),
            ip_address("fd00::"),
        )

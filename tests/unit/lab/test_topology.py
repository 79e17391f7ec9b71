"""Topology files: what is accepted, and what is said, with line and column, about what is not."""

from pathlib import Path

import pytest

from nvo3.lab import topology
from nvo3.lab.errors import LabError, TopologyInvalid

GOOD = """\
hypervisors:
  - hv1
  - hv2
tenants:
  red:
    networks:
      web:
        vni: 5001
        pools:
          - 10.0.0.0/24
          - fd00:10::/64
guests:
  - name: r1
    tenant: red
    network: web
    hypervisor: hv1
    addresses: [10.0.0.11]
"""


def problems(text: str) -> list[str]:
    with pytest.raises(TopologyInvalid) as caught:
        topology.parse(text, "topo.yaml")
    assert str(caught.value) == "\n".join(caught.value.problems)
    return list(caught.value.problems)


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


def test_parse_good_file_gives_its_values() -> None:
    parsed = topology.parse(GOOD, "topo.yaml")
    assert parsed.hypervisors == ["hv1", "hv2"]
    network = parsed.network("red", "web")
    assert network is not None
    assert (network.vni, network.mtu, [str(pool) for pool in network.pools]) == (
        5001,
        None,
        ["10.0.0.0/24", "fd00:10::/64"],
    )
    assert [str(address) for address in parsed.guests[0].addresses or ()] == ["10.0.0.11"]


def test_parse_hypervisors_as_mapping_is_the_same() -> None:
    mapping = topology.parse(changed("  - hv1\n  - hv2\n", "  hv1:\n  hv2: {}\n"), "topo.yaml")
    assert mapping == topology.parse(GOOD, "topo.yaml")


def test_default_topology_has_two_tenants_with_the_same_addresses() -> None:
    default = topology.load(topology.DEFAULT)
    addresses = {guest.name: [str(address) for address in guest.addresses or ()] for guest in default.guests}
    assert addresses["r1"] == addresses["b1"] and addresses["r2"] == addresses["b2"]
    assert {guest.tenant for guest in default.guests} == {"red", "blue"}


def test_topology_survives_its_json() -> None:
    parsed = topology.parse(GOOD, "topo.yaml")
    assert topology.Topology.model_validate_json(parsed.model_dump_json()) == parsed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            changed("vni: 5001", "vni: 16777216"),
            "topo.yaml:8:14: tenants.red.networks.web.vni: 16777216 exceeds 16777215",
        ),
        (changed("vni: 5001", "vni: 0"), "topo.yaml:8:14: tenants.red.networks.web.vni: 0 is below 1"),
        (
            changed("vni: 5001", 'vni: "5001"'),
            "topo.yaml:8:14: tenants.red.networks.web.vni: '5001' is not a whole number",
        ),
        (
            changed("vni: 5001", "vnii: 5001"),
            "topo.yaml:8:15: tenants.red.networks.web.vnii: unknown field; known: vni, encapsulation, mtu, pools",
        ),
        (changed("vni: 5001", "mtu: 1279"), "topo.yaml:8:14: tenants.red.networks.web.mtu: 1279 is below 1280"),
        (
            changed("vni: 5001", "encapsulation: vlan"),
            "topo.yaml:8:24: tenants.red.networks.web.encapsulation: 'vlan' is not one of "
            "auto, none, stt, sclp-udp, sclp, geneve, vxlan, gre",
        ),
        (
            changed("fd00:10::/64", "10.0.0.128/25"),
            "topo.yaml:11:13: tenants.red.networks.web.pools[1]: 10.0.0.128/25 overlaps 10.0.0.0/24",
        ),
        (
            changed("10.0.0.0/24", "10.0.0.1/24"),
            "topo.yaml:10:13: tenants.red.networks.web.pools[0]: '10.0.0.1/24' is not a prefix: 10.0.0.1/24 has host bits set",
        ),
        (
            changed("hypervisor: hv1", "hypervisor: hv3"),
            "topo.yaml:16:17: guests[0].hypervisor: 'hv3' is not one of hv1, hv2",
        ),
        (changed("tenant: red", "tenant: green"), "topo.yaml:14:13: guests[0].tenant: 'green' is not one of red"),
        (
            changed("network: web", "network: db"),
            "topo.yaml:15:14: guests[0].network: 'db' is not one of web of tenant red",
        ),
        (
            changed("[10.0.0.11]", "[10.0.1.11]"),
            "topo.yaml:17:17: guests[0].addresses[0]: 10.0.1.11 is outside of red/web's pools (10.0.0.0/24, fd00:10::/64)",
        ),
        (
            changed("[10.0.0.11]", "[10.0.0.11, 10.0.0.11]"),
            "topo.yaml:17:28: guests[0].addresses[1]: 10.0.0.11 is already guest r1's in red/web",
        ),
        (
            changed("- name: r1", "- name: hv1"),
            "topo.yaml:13:11: guests[0].name: 'hv1' is already the name of a hypervisor",
        ),
        (
            changed("- name: r1", "- name: mgmt"),
            "topo.yaml:13:11: guests[0].name: 'mgmt' is already the name of a namespace of the lab itself",
        ),
        (changed("  - hv2\n", "  - hv1\n"), "topo.yaml:3:5: hypervisors[1]: 'hv1' is already the name of a hypervisor"),
        (changed("- name: r1", "- name: no_/"), "topo.yaml:13:11: guests[0].name: 'no_/' is not a name: "),
        (changed("- name: r1\n    tenant", "- tenant"), "topo.yaml:13:5: guests[0].name: is missing"),
        (changed("- name: r1", "- name: 1"), "topo.yaml:13:11: guests[0].name: 1 is not text; quote it"),
        (
            changed("    addresses: [10.0.0.11]", "    mac: 01:00:00:00:00:01"),
            "topo.yaml:17:10: guests[0].mac: 01:00:00:00:00:01 is a group address; a port needs a unicast MAC",
        ),
        (
            changed("      web:\n", "      web:\n        vni: 7\n"),
            "topo.yaml:9:9: tenants.red.networks.web.vni: stands here twice",
        ),
        (changed("  - hv1\n", "\t- hv1\n"), "topo.yaml:2:1: while scanning for the next token, "),
        ("hypervisors: [hv1\n", "topo.yaml:2:1: while parsing a flow sequence, "),
        ("", "topo.yaml: is empty; a topology has hypervisors, tenants and guests"),
        ("# nothing\n", "topo.yaml: is empty; a topology has hypervisors, tenants and guests"),
        ("- hv1\n", "topo.yaml:1:1: ['hv1'] is not a mapping with hypervisors, tenants and guests"),
        ("a: &x [1]\nb: *x\n", "topo.yaml:2:4: alias *x is not accepted: write the value out"),
        ("a: !!python/object:os.system []\n", "topo.yaml:1:4: a: "),
        ("a: " + "[" * 5000, "topo.yaml:1:35: nested deeper than 32"),
        ("a: \x00\n", "topo.yaml: not text: character #x0000 at 3"),
        ("x" * (1 << 20 | 1), "topo.yaml: 1048577 bytes exceed 1048576"),
    ],
)
def test_parse_one_error_names_place_field_value_and_limit(text: str, expected: str) -> None:
    found = problems(text)
    assert any(problem.startswith(expected) for problem in found), found


def test_parse_all_errors_at_once_in_order_of_lines() -> None:
    text = changed("vni: 5001", "vni: -1").replace("hv1\n    addresses", "hv1\n    address").replace("- hv2", "- 7")
    found = problems(text)
    assert [problem.split(":")[1] for problem in found] == ["3", "8", "17"]


def test_parse_vni_twice_names_the_other_network() -> None:
    text = changed("tenants:\n", "tenants:\n  blue:\n    networks:\n      db: {vni: 5001}\n")
    assert problems(text) == ["topo.yaml:11:14: tenants.red.networks.web.vni: 5001 is already the vni of blue/db"]


def test_parse_second_flat_network_is_refused() -> None:
    flat = "tenants:\n  blue:\n    networks:\n      db: {encapsulation: none}\n      ex: {encapsulation: none}\n"
    found = problems(changed("tenants:\n", flat))
    assert found == [
        "topo.yaml:8:27: tenants.blue.networks.ex.encapsulation: 'none' is already the encapsulation of blue/db; one flat network at most"
    ]


@pytest.mark.parametrize("word", ["no", "on", "1:30", "10:00:00:00:00:01", "2024-01-01", "0o7", "1e3", "1_000"])
def test_parse_words_that_older_yaml_turns_into_values_stay_text(word: str) -> None:
    text = changed("  - hv2\n", "  - hv2\n").replace("red", f'"{word}"') if ":" in word else GOOD.replace("red", word)
    if ":" in word:
        assert any("is not a name" in problem for problem in problems(text))
    else:
        assert list(topology.parse(text, "topo.yaml").tenants) == [word]


def test_load_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="none.yaml: No such file or directory"):
        topology.load(tmp_path / "none.yaml")


def test_load_binary_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(LabError, match="not UTF-8 at byte 0"):
        topology.load(path)

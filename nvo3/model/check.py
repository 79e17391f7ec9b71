"""Rules that a value of the desired state must keep, wherever it comes from: a user or the database.

Every function returns the value in the model's form, or raises ConfigError for the field at `path` with the value and
the limit.  What concerns several objects (names taken, one flat network) is not decided here.
"""

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from nvo3.model.errors import ConfigError, Misfit
from nvo3.model.ids import VNI_MAX, VNI_MIN, Vni
from nvo3.model.logical import AUTO, MTU_MAX, MTU_MIN, NONE, OFFLOADS, SCLP_PAYLOADS, IPAddress, IPNetwork, Route
from nvo3.model.physical import ENCAPSULATIONS, UNDERLAY_MTU_MAX

POOLS_MAX = 16  # of a network
ADDRESSES_MAX = 32  # of a port
DNS_SERVERS_MAX = 8
ROUTES_MAX = 16  # with the default route they fit one option of DHCP (RFC 3442), 255 bytes
DOMAIN_MAX = 64  # characters
LEASE_MIN_S, LEASE_MAX_S = 10, 365 * 86400
REMOTE_MAX = 255  # characters: a DNS name (RFC 1035 section 2.3.4) fits

# Prefix lengths of a pool.  Shorter ones are no plan, longer ones have no room beside network, broadcast and gateway.
PREFIX_LIMITS = {4: (8, 30), 6: (48, 126)}

# IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890), multicast (RFC 5771, RFC 4291 section 2.7).
_UNFIT: tuple[tuple[IPNetwork, str], ...] = (
    (IPv4Network("0.0.0.0/8"), "this-network"),
    (IPv4Network("127.0.0.0/8"), "loopback"),
    (IPv4Network("169.254.0.0/16"), "link-local"),
    (IPv4Network("224.0.0.0/4"), "multicast"),
    (IPv4Network("240.0.0.0/4"), "reserved"),
    (IPv6Network("::/127"), "loopback"),
    (IPv6Network("::ffff:0:0/96"), "IPv4-mapped"),
    (IPv6Network("fe80::/10"), "link-local"),
    (IPv6Network("ff00::/8"), "multicast"),
)

# An IPv4 address or a DNS name, or an IPv6 address in brackets; then the port.
_HOST_REMOTE = re.compile(r"(?:tcp|ssl):(?:\[(?P<v6>[^\]]*)\]|(?P<host>[^\[\]:]*)):(?P<port>[0-9]{1,5})")
_DNS_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?")
REMOTE_RULE = "tcp:HOST:PORT, ssl:HOST:PORT or unix:/PATH, an IPv6 HOST in brackets"


def check_vni(vni: int, path: str) -> Vni:
    """Check the range of a VNI (RFC 7348 section 5)."""
    if not VNI_MIN <= vni <= VNI_MAX:
        raise ConfigError(path, f"{vni} is not within {VNI_MIN}..{VNI_MAX}", vni, f"{VNI_MIN}..{VNI_MAX}")
    return Vni(vni)


def check_encapsulation(name: str, path: str) -> str:
    """Check that a network may have this encapsulation."""
    choices = (AUTO, NONE, *ENCAPSULATIONS)
    if name not in choices:
        raise ConfigError(path, f"{name!r} is not one of {', '.join(choices)}", name, ", ".join(choices))
    return name


def check_encapsulation_order(names: Sequence[str], path: str) -> tuple[str, ...]:
    """Check what AUTO prefers: known encapsulations, at least one, none twice."""
    choices = ", ".join(ENCAPSULATIONS)
    if not names:
        raise ConfigError(path, f"is empty; at least one of {choices}", list(names), choices)
    for index, name in enumerate(names):
        if name not in ENCAPSULATIONS:
            raise ConfigError(f"{path}[{index}]", f"{name!r} is not one of {choices}", name, choices)
        if name in names[:index]:
            raise ConfigError(f"{path}[{index}]", f"{name!r} stands twice", name)
    return tuple(names)


def check_sclp_payload(name: str, path: str) -> str:
    """Check what SCLP carries."""
    if name not in SCLP_PAYLOADS:
        raise ConfigError(path, f"{name!r} is not one of {', '.join(SCLP_PAYLOADS)}", name, ", ".join(SCLP_PAYLOADS))
    return name


def check_offload(name: str, path: str) -> str:
    """Check what a guest's vNIC does itself."""
    if name not in OFFLOADS:
        raise ConfigError(path, f"{name!r} is not one of {', '.join(OFFLOADS)}", name, ", ".join(OFFLOADS))
    return name


def check_agent_pools(texts: Sequence[str], path: str) -> tuple[IPv4Network, ...]:
    """Check the prefixes that tunnel endpoints of vNICs come from: those of a network, of IPv4 only."""
    pools = []
    for index, pool in enumerate(check_pools(texts, path)):
        if not isinstance(pool, IPv4Network):
            raise ConfigError(f"{path}[{index}]", f"{pool} is not of IPv4, as the underlay is", str(pool), "IPv4")
        pools.append(pool)
    return tuple(pools)


def check_mtu(mtu: int, encapsulation: str, path: str) -> int:
    """Check an MTU, in bytes of IP, and that the named encapsulation can carry it in one IPv4 packet."""
    limit = MTU_MAX
    if encapsulation in ENCAPSULATIONS:
        limit = min(limit, ENCAPSULATIONS[encapsulation].mtu_over(UNDERLAY_MTU_MAX))
    if not MTU_MIN <= mtu <= limit:
        raise ConfigError(path, f"{mtu} is not within {MTU_MIN}..{limit} bytes", mtu, f"{MTU_MIN}..{limit}")
    return mtu


def check_pool(text: str, path: str) -> IPNetwork:
    """Check one prefix that a network's addresses come from."""
    try:
        pool = ip_network(text, strict=False)
        if "%" in text:
            raise ValueError("scope")
    except ValueError:
        raise ConfigError(path, f"{text!r} is not an IP prefix such as 10.0.0.0/24 or fd00::/64", text) from None
    if "/" not in text:
        raise ConfigError(path, f"{text!r} lacks the prefix length, as in 10.0.0.0/24", text)
    low, high = PREFIX_LIMITS[pool.version]
    if not low <= pool.prefixlen <= high:
        raise ConfigError(path, f"{text} is not within /{low}../{high} (IPv{pool.version})", text, f"/{low}../{high}")
    if ip_address(text.partition("/")[0]) != pool.network_address:
        raise ConfigError(path, f"{text} has host bits set; the prefix is {pool}", text, str(pool))
    for unfit, what in _UNFIT:
        if _overlap(unfit, pool):
            raise ConfigError(path, f"{text} contains {what} addresses ({unfit})", text)
    return pool


def check_pools(texts: Sequence[str], path: str) -> tuple[IPNetwork, ...]:
    """Check a network's prefixes: at most POOLS_MAX, disjoint.  Returns them sorted, IPv4 first."""
    if len(texts) > POOLS_MAX:
        raise ConfigError(path, f"{len(texts)} pools exceed {POOLS_MAX}", len(texts), POOLS_MAX)
    pools: list[IPNetwork] = []
    for index, text in enumerate(texts):
        pool = check_pool(text, f"{path}[{index}]")
        for other in pools:
            if _overlap(pool, other):
                raise ConfigError(f"{path}[{index}]", f"{pool} overlaps {other}", text)
        pools.append(pool)
    return tuple(sorted(pools, key=lambda pool: (pool.version, int(pool.network_address))))


def check_address(text: str, pools: Iterable[IPNetwork], path: str) -> IPAddress:
    """Check an address of a port against its network's pools."""
    try:
        address = ip_address(text)
    except ValueError:
        raise ConfigError(path, f"{text!r} is not an IP address", text) from None
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise ConfigError(path, f"{text} has a scope; only the address is wanted", text)
    family = [pool for pool in pools if pool.version == address.version]
    if not family:
        raise Misfit(path, f"{text}: the network has no IPv{address.version} pool", text, "no pool")
    limit = ", ".join(map(str, family))
    pool = next((pool for pool in family if address in pool), None)
    if pool is None:
        raise Misfit(path, f"{text} is in no pool of the network ({limit})", text, limit)
    if address == pool.network_address:
        what = "network" if address.version == 4 else "subnet-router anycast"  # RFC 4291 section 2.6.1
        raise Misfit(path, f"{text} is the {what} address of {pool}", text, str(pool))
    if address.version == 4 and address == pool.broadcast_address:
        raise Misfit(path, f"{text} is the broadcast address of {pool}", text, str(pool))
    return address


def check_addresses(texts: Sequence[str], pools: Sequence[IPNetwork], path: str) -> tuple[IPAddress, ...]:
    """Check a port's addresses: at most ADDRESSES_MAX, none twice.  Returns them sorted, IPv4 first."""
    if len(texts) > ADDRESSES_MAX:
        raise ConfigError(path, f"{len(texts)} addresses exceed {ADDRESSES_MAX}", len(texts), ADDRESSES_MAX)
    addresses: list[IPAddress] = []
    for index, text in enumerate(texts):
        address = check_address(text, pools, f"{path}[{index}]")
        if address in addresses:
            raise ConfigError(f"{path}[{index}]", f"{address} stands twice", text)
        addresses.append(address)
    return tuple(sorted(addresses, key=lambda address: (address.version, int(address))))


def check_gateways(texts: Sequence[str], pools: Sequence[IPNetwork], path: str) -> tuple[IPAddress, ...]:
    """Check whom guests send by what leaves the network: at most one of each family, within the pools.  Returns them, IPv4 first."""
    gateways = check_addresses(texts, pools, path)
    for version in (4, 6):
        same = [str(gateway) for gateway in gateways if gateway.version == version]
        if len(same) > 1:
            raise ConfigError(path, f"{' and '.join(same)}: a network has one gateway of IPv{version} at most", same, 1)
    return gateways


def check_dns_servers(texts: Sequence[str], path: str) -> tuple[IPAddress, ...]:
    """Check the resolvers that guests are told: at most DNS_SERVERS_MAX, none twice.  Their order stays."""
    if len(texts) > DNS_SERVERS_MAX:
        raise ConfigError(path, f"{len(texts)} servers exceed {DNS_SERVERS_MAX}", len(texts), DNS_SERVERS_MAX)
    servers: list[IPAddress] = []
    for index, text in enumerate(texts):
        server = _unicast(text, f"{path}[{index}]")
        if server in servers:
            raise ConfigError(f"{path}[{index}]", f"{server} stands twice", text)
        servers.append(server)
    return tuple(servers)


def check_routes(routes: Sequence[tuple[str, str]], pools: Sequence[IPNetwork], path: str) -> tuple[Route, ...]:
    """Check routes for guests: (destination, next hop), this in a pool.  Returns them sorted; the default route is the gateway's."""
    if len(routes) > ROUTES_MAX:
        raise ConfigError(path, f"{len(routes)} routes exceed {ROUTES_MAX}", len(routes), ROUTES_MAX)
    checked: dict[IPv4Network, Route] = {}
    for index, (destination, nexthop) in enumerate(routes):
        place = f"{path}[{index}]"
        route = Route(_destination(destination, f"{place}.destination"), _nexthop(nexthop, pools, f"{place}.nexthop"))
        if route.destination in checked:
            raise ConfigError(f"{place}.destination", f"{destination} stands twice", destination)
        checked[route.destination] = route
    return tuple(sorted(checked.values(), key=lambda route: (int(route.destination.network_address), route.destination.prefixlen)))


def _destination(text: str, path: str) -> IPv4Network:
    try:
        destination = IPv4Network(text)
    except ValueError as error:
        raise ConfigError(path, f"{text!r} is not a destination such as 192.168.0.0/16, of IPv4: {error}", text) from None
    if "/" not in text:
        raise ConfigError(path, f"{text!r} lacks the prefix length, as in 192.168.0.0/16", text)
    if not destination.prefixlen:
        raise ConfigError(path, f"{text} is the default route; it is the gateway's, see gateways", text)
    return destination


def _nexthop(text: str, pools: Sequence[IPNetwork], path: str) -> IPv4Address:
    nexthop = check_address(text, pools, path)
    if not isinstance(nexthop, IPv4Address):
        raise ConfigError(path, f"{text} is not of IPv4", text, "IPv4")
    return nexthop


def _unicast(text: str, path: str) -> IPAddress:
    try:
        address = ip_address(text)
        if "%" in text:
            raise ValueError("scope")
    except ValueError:
        raise ConfigError(path, f"{text!r} is not an IP address", text) from None
    if address.is_multicast or address.is_unspecified or address == IPv4Address("255.255.255.255"):
        raise ConfigError(path, f"{text} is not a unicast address", text)
    return address


def check_domain(domain: str, path: str) -> str:
    """Check the domain that guests search; "" for none."""
    if domain and (len(domain) > DOMAIN_MAX or not _DNS_NAME.fullmatch(domain)):
        raise ConfigError(path, f"{domain!r} is not a DNS name of at most {DOMAIN_MAX} characters", domain, DOMAIN_MAX)
    return domain


def check_lease(lease_s: int, path: str) -> int:
    """Check for how long a guest may use what DHCP told it, in seconds."""
    if not LEASE_MIN_S <= lease_s <= LEASE_MAX_S:
        raise ConfigError(path, f"{lease_s} is not within {LEASE_MIN_S}..{LEASE_MAX_S} seconds", lease_s, f"{LEASE_MIN_S}..{LEASE_MAX_S}")
    return lease_s


def check_remote(remote: str, path: str) -> str:
    """Check the syntax of an OVSDB remote: `tcp:HOST:PORT`, `ssl:HOST:PORT` or `unix:/PATH`."""
    if len(remote) > REMOTE_MAX:
        raise ConfigError(path, f"{len(remote)} characters exceed {REMOTE_MAX}", remote, REMOTE_MAX)
    if remote.startswith("unix:"):
        fits = remote.startswith("unix:/") and remote.isprintable() and "," not in remote
    else:
        match = _HOST_REMOTE.fullmatch(remote)
        fits = match is not None and _is_host(match["v6"], match["host"])
        if match is not None and fits and not 1 <= int(match["port"]) <= 65535:
            raise ConfigError(path, f"port {match['port']} of {remote} is not within 1..65535", remote, "1..65535")
    if not fits:
        raise ConfigError(path, f"{remote!r} is not {REMOTE_RULE}", remote, REMOTE_RULE)
    return remote


def _is_host(v6: str | None, host: str | None) -> bool:
    if v6 is not None:
        try:
            return ip_address(v6).version == 6
        except ValueError:
            return False
    if not host:
        return False
    if re.fullmatch(r"[0-9.]+", host):  # what looks like an address must be one
        try:
            ip_address(host)
        except ValueError:
            return False
        return True
    return _DNS_NAME.fullmatch(host) is not None


def _overlap(a: IPNetwork, b: IPNetwork) -> bool:
    if isinstance(a, IPv4Network) and isinstance(b, IPv4Network):
        return a.overlaps(b)
    if isinstance(a, IPv6Network) and isinstance(b, IPv6Network):
        return a.overlaps(b)
    return False

"""What the formats of `/openapi.json` stand for, told to Schemathesis (`SCHEMATHESIS_HOOKS`)."""

import schemathesis
from hypothesis import strategies as st

_OCTET = st.integers(0, 255)
_V4_PREFIX = st.builds("10.{}.{}.0/24".format, _OCTET, _OCTET)
_V6_PREFIX = st.integers(0, 0xFFFF_FFFF).map(lambda n: f"fd{n >> 24:02x}:{n >> 8 & 0xFFFF:x}:{n & 0xFF:x}::/64")
_V4_ADDRESS = st.builds("10.{}.{}.{}".format, _OCTET, _OCTET, st.integers(2, 254))

schemathesis.openapi.format("ip-address", _V4_ADDRESS)
schemathesis.openapi.format("ipv4-address", _V4_ADDRESS)
schemathesis.openapi.format("ipv4-prefix", _V4_PREFIX)
schemathesis.openapi.format("ip-prefix", _V4_PREFIX | _V6_PREFIX)
schemathesis.openapi.format("ovsdb-remote", st.builds("tcp:127.1.{}.{}:{}".format, _OCTET, _OCTET, st.integers(1, 9)))

"""OVSDB: the NB database, which we own, and the databases of hypervisors, where Open vSwitch takes its orders (RFC 7047)."""

from nvo3.ovsdb import json_stream

json_stream.install()

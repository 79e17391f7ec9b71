"""Topologies: what a lab consists of, as YAML.

`schema` is what may be said, `source` knows where it was said, `check` compares names with one another;
`default.yaml` is what `lab up` takes if it is not given a file.
"""

from pathlib import Path

from nvo3.lab.topology.check import load, parse
from nvo3.lab.topology.schema import GuestSpec, NetworkSpec, Topology, Wire

DEFAULT = Path(__file__).with_name("default.yaml")

__all__ = ["DEFAULT", "GuestSpec", "NetworkSpec", "Topology", "Wire", "load", "parse"]

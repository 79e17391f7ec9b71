"""Network virtualization overlays (NVO3, RFC 7365) for Open vSwitch."""

__version__ = "0.1.0"

"""Codecs: bytes <-> values, sans-IO.  A module each for a protocol; the errors of all are in `errors`."""

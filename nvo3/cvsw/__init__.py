"""CVSW's channel: what both ends of it remember, sans-IO.

`flow` and `packet_key` are values, `table` is a flow table, `agent` and `controller` are the sessions; `effect` is what these ask for.
"""

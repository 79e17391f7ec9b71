"""FlowSpec <-> OpenFlow 1.3 bytes, and what a connection to a switch remembers.  The only place that knows OpenFlow and NXM.

`oxm` has the fields, `encoder` and `decoder` the messages, `session` one switch's state without I/O, `manager` hooks sessions into os-ken.
"""

"""Values that every layer shares: what tenants want, where it runs, what changed.

`ids` and `errors` are the base; `logical` is the desired state, `physical` the hypervisors that carry it, `event` what happened to
either, `status` how much of it is in force.  Nothing here does I/O or imports a layer above.
"""

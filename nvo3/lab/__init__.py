"""The lab: hypervisors, tenants and guests in network namespaces of one machine, under the real controller.

`lab.Lab` is the whole; `build` the order in which it is made; `node`, `vnic`, `ovs`, `controller` its parts; `matrix`
and `probe` who reaches whom; `journal` what must be unmade; `place` what two labs must not share; `topology` the file
that says what there is.
"""

from nvo3.lab.lab import Lab

__all__ = ["Lab"]

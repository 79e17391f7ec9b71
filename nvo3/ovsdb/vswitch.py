"""The part of the Open_vSwitch schema that the controller uses (ovs-vswitchd.conf.db(5)); the IDL monitors nothing else.

Statistics are left out on purpose: they change every few seconds on every hypervisor, and the switch tells them when
asked.
"""

from typing import Any

import ovs.db.idl

_STRING = {"type": "string"}
_INTEGER = {"type": "integer"}
_STRINGS = {"type": {"key": "string", "min": 0, "max": "unlimited"}}
_STRING_MAP = {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}}
_OPTIONAL_STRING = {"type": {"key": "string", "min": 0, "max": 1}}
_OPTIONAL_INTEGER = {"type": {"key": "integer", "min": 0, "max": 1}}


def _refs(table: str) -> dict[str, Any]:
    return {"type": {"key": {"type": "uuid", "refTable": table}, "min": 0, "max": "unlimited"}}


_SCHEMA: dict[str, Any] = {
    "name": "Open_vSwitch",
    "version": "8.0.0",
    "tables": {
        "Open_vSwitch": {
            "columns": {
                "bridges": _refs("Bridge"),
                "cur_cfg": _INTEGER,
                "next_cfg": _INTEGER,
                "external_ids": _STRING_MAP,
                "iface_types": _STRINGS,
            },
            "isRoot": True,
        },
        "Bridge": {
            "columns": {
                "name": _STRING,
                "datapath_type": _STRING,
                "fail_mode": _OPTIONAL_STRING,
                "ports": _refs("Port"),
                "controller": _refs("Controller"),
                "other_config": _STRING_MAP,
                "external_ids": _STRING_MAP,
            }
        },
        "Port": {
            "columns": {
                "name": _STRING,
                "interfaces": _refs("Interface"),
                "external_ids": _STRING_MAP,
            }
        },
        "Interface": {
            "columns": {
                "name": _STRING,
                "type": _STRING,
                "options": _STRING_MAP,
                "mtu": _OPTIONAL_INTEGER,
                "mtu_request": _OPTIONAL_INTEGER,
                "mac_in_use": _OPTIONAL_STRING,
                "ofport": _OPTIONAL_INTEGER,
                "ofport_request": _OPTIONAL_INTEGER,
                "external_ids": _STRING_MAP,
                "error": _OPTIONAL_STRING,
                "status": _STRING_MAP,
            }
        },
        "Controller": {
            "columns": {
                "target": _STRING,
                "connection_mode": _OPTIONAL_STRING,
                "max_backoff": _OPTIONAL_INTEGER,
                "inactivity_probe": _OPTIONAL_INTEGER,
            }
        },
    },
}


def open_idl(remote: str, probe_interval_ms: int) -> ovs.db.idl.Idl:
    """Return an IDL for a hypervisor's database.  A schema helper serves one IDL only, so each has its own."""
    helper = ovs.db.idl.SchemaHelper(schema_json=_SCHEMA)
    helper.register_all()
    return ovs.db.idl.Idl(remote, helper, probe_interval=probe_interval_ms, leader_only=False)

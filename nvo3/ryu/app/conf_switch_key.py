"""`ryu.app.conf_switch_key`: what Ryu's apps call the settings of a switch that they share."""

OVSDB_ADDR = "ovsdb_addr"  # METHOD:ADDRESS[:PORT] of its database
OVS_TUNNEL_ADDR = "ovs_tunnel_addr"

"""A user's own app, written for Ryu as its book does: a learning switch whose MAC table is read and written over HTTP."""

import json

from ryu.app import simple_switch_13
from ryu.app.wsgi import ControllerBase, Response, WSGIApplication, route, websocket
from ryu.controller import ofp_event
from ryu.controller.handler import CONFIG_DISPATCHER, set_ev_cls
from ryu.lib import dpid as dpid_lib

BRIDGE = 5
URL = "/macswitch/{dpid}"
DPID = {"dpid": dpid_lib.DPID_PATTERN}


class RestSwitch(simple_switch_13.SimpleSwitch13):
    _CONTEXTS = {"wsgi": WSGIApplication}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.switches = {}
        kwargs["wsgi"].register(MacTableController, {"switch app": self})

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def switch_features_handler(self, ev):
        datapath = ev.msg.datapath
        if datapath.id == BRIDGE:
            super().switch_features_handler(ev)
            self.switches[datapath.id] = datapath
            self.mac_to_port[datapath.id] = {}

    def learn(self, dpid, mac, port):
        """Add an entry, and flows between it and all others."""
        datapath, table = self.switches[dpid], self.mac_to_port[dpid]
        parser = datapath.ofproto_parser
        for other, other_port in table.items():
            for a, a_port, b, b_port in ((mac, port, other, other_port), (other, other_port, mac, port)):
                match = parser.OFPMatch(in_port=a_port, eth_src=a, eth_dst=b)
                self.add_flow(datapath, 1, match, [parser.OFPActionOutput(b_port)])
        table[mac] = port


class MacTableController(ControllerBase):
    def __init__(self, req, link, data, **config):
        super().__init__(req, link, data, **config)
        self.app = data["switch app"]

    @route("mac switch", URL, methods=["GET"], requirements=DPID)
    def list_table(self, req, dpid, **kwargs):
        table = self.app.mac_to_port.get(dpid_lib.str_to_dpid(dpid))
        if table is None:
            return Response(status=404)
        return Response(content_type="application/json", body=json.dumps(table))

    @route("mac switch", URL, methods=["PUT"], requirements=DPID)
    def put_entry(self, req, **kwargs):
        dpid = dpid_lib.str_to_dpid(kwargs["dpid"])
        try:
            entry = req.json if req.body else {}
        except ValueError:
            return Response(status=400)
        if dpid not in self.app.mac_to_port:
            return Response(status=404)
        self.app.learn(dpid, entry["mac"], entry["port"])  # a KeyError is the server's fault, says Ryu
        return Response(content_type="application/json", text=json.dumps(self.app.mac_to_port[dpid]))

    @websocket("mac switch talk", "/macswitch/talk")
    def talk(self, ws):
        while (message := ws.wait()) is not None:
            ws.send(f"{len(self.app.mac_to_port)} switches, {message}")

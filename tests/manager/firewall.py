"""A user's own app, written for Ryu in the manner of its `rest_firewall`: nothing passes but ARP and what a rule allows."""

import json

from ryu.app.wsgi import ControllerBase, Response, WSGIApplication
from ryu.base import app_manager
from ryu.controller import dpset
from ryu.controller.handler import set_ev_cls
from ryu.lib import ofctl_v1_3
from ryu.ofproto import ether, inet, ofproto_v1_3

BRIDGE = 0xF
PROTOCOLS = {"ICMP": inet.IPPROTO_ICMP, "TCP": inet.IPPROTO_TCP, "UDP": inet.IPPROTO_UDP}


class Firewall:
    """Rules of one switch."""

    def __init__(self, datapath):
        self.datapath = datapath
        self.rules = {}
        self.change(datapath.ofproto.OFPFC_ADD, {"priority": 65534, "match": {"eth_type": ether.ETH_TYPE_ARP}}, "NORMAL")
        self.change(datapath.ofproto.OFPFC_ADD, {"priority": 0, "match": {}}, None)

    def change(self, command, flow, out):
        actions = [{"type": "OUTPUT", "port": out}] if out else []
        ofctl_v1_3.mod_flow_entry(self.datapath, {**flow, "actions": actions}, command)

    def flow_of(self, number, rule):
        match = {"dl_type": ether.ETH_TYPE_IP, "nw_src": rule["nw_src"], "nw_dst": rule["nw_dst"]}
        if "nw_proto" in rule:
            match["nw_proto"] = PROTOCOLS[rule["nw_proto"]]
        return {"cookie": number, "priority": rule.get("priority", 1), "match": match}

    def add(self, rule):
        number = max(self.rules, default=0) + 1
        self.change(self.datapath.ofproto.OFPFC_ADD, self.flow_of(number, rule), None if rule.get("actions") == "DENY" else "NORMAL")
        self.rules[number] = rule
        return number

    def remove(self, number):
        self.change(self.datapath.ofproto.OFPFC_DELETE_STRICT, self.flow_of(number, self.rules.pop(number)), None)


class RestFirewall(app_manager.RyuApp):
    OFP_VERSIONS = [ofproto_v1_3.OFP_VERSION]
    _CONTEXTS = {"dpset": dpset.DPSet, "wsgi": WSGIApplication}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.firewalls = {}
        wsgi = kwargs["wsgi"]
        wsgi.registory["FirewallController"] = self.firewalls
        for method, action in (("GET", "show"), ("POST", "add"), ("DELETE", "remove")):
            wsgi.mapper.connect(
                "firewall",
                "/firewall/rules/{switch_id}",
                controller=FirewallController,
                action=action,
                conditions={"method": [method]},
                requirements={"switch_id": "[0-9a-f]{16}"},
            )

    @set_ev_cls(dpset.EventDP, dpset.DPSET_EV_DISPATCHER)
    def switch_changed(self, ev):
        self.logger.info("firewall sees %016x", ev.dp.id)
        if ev.dp.id == BRIDGE:
            if ev.enter:
                self.firewalls[ev.dp.id] = Firewall(ev.dp)
            else:
                self.firewalls.pop(ev.dp.id, None)


class FirewallController(ControllerBase):
    def __before__(self):
        self.firewall = self.data.get(int(self.req.urlvars["switch_id"], 16))

    def show(self, req, switch_id, **kwargs):
        return self.answer(lambda: {"rules": self.firewall.rules})

    def add(self, req, switch_id, **kwargs):
        return self.answer(lambda: {"rule_id": self.firewall.add(req.json)})

    def remove(self, req, switch_id, **kwargs):
        return self.answer(lambda: self.firewall.remove(req.json["rule_id"]))

    def answer(self, do):
        if self.firewall is None:
            return Response(status=404, body="no such switch\n")
        try:
            return Response(content_type="application/json", body=json.dumps(do()))
        except (KeyError, ValueError) as error:
            return Response(status=400, body=f"{error}\n")

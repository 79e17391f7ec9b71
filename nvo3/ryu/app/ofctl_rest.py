"""`ryu.app.ofctl_rest`: switches read and changed over HTTP, under /stats, with Ryu's paths and JSON; os-ken's library does the formats.

    GET /stats/switches, /stats/desc/1, /stats/flow/1 ...        POST /stats/flowentry/add {"dpid": 1, "match": ..., "actions": ...}

Statuses are Ryu's: 400 for what cannot be understood, 404 for a switch, command or port that is not there, 501 for what a switch's
version of OpenFlow lacks; 200 for a change says that it was sent, and the log has it if the switch refuses.  A question that a switch
refuses, as for a port that it lacks, has an empty answer.

Deviates: changes of a bridge of the overlay are confined to flows that are not the overlay's (`openflow.foreign`; 409 for what cannot
be); a switch that does not answer gives 504 and not a part of an answer; what a browser sends for a page of another site changes nothing
(403); a datapath id may also be 16 hexadecimal digits.
"""

import ast
import functools
import inspect
import json
import logging
import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, ClassVar

from os_ken.base import app_manager
from os_ken.controller import ofp_event
from os_ken.controller.handler import DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.lib import hub, ofctl_v1_0, ofctl_v1_2, ofctl_v1_3, ofctl_v1_4, ofctl_v1_5
from os_ken.ofproto import ofproto_v1_0, ofproto_v1_2, ofproto_v1_3, ofproto_v1_4, ofproto_v1_5

from nvo3.model.errors import Conflict, Nvo3Error
from nvo3.openflow import foreign, words
from nvo3.ryu.app.wsgi import ControllerBase, Response, WSGIApplication

LOG = logging.getLogger(__name__)

_LIBRARIES: dict[int, Any] = {
    ofproto_v1_0.OFP_VERSION: ofctl_v1_0,
    ofproto_v1_2.OFP_VERSION: ofctl_v1_2,
    ofproto_v1_3.OFP_VERSION: ofctl_v1_3,
    ofproto_v1_4.OFP_VERSION: ofctl_v1_4,
    ofproto_v1_5.OFP_VERSION: ofctl_v1_5,
}
_REPLY_MORE = 1  # OFPSF_REPLY_MORE, OFPMPF_REPLY_MORE: the same in all versions
_SENT_MAX = 1024  # changes whose refusal would be logged
_FLOWS_AT_ONCE = 50

# Under /stats: the function of the library, and the parts of the path behind the switch, each of which may be left out or ALL.
_READS: dict[str, tuple[str, tuple[str, ...]]] = {
    "desc": ("get_desc_stats", ()),
    "flowdesc": ("get_flow_desc_stats", ()),
    "flow": ("get_flow_stats", ()),
    "aggregateflow": ("get_aggregate_flow_stats", ()),
    "table": ("get_table_stats", ()),
    "tablefeatures": ("get_table_features", ()),
    "port": ("get_port_stats", ("port",)),
    "portdesc": ("get_port_desc", ("port",)),
    "queue": ("get_queue_stats", ("port", "queue_id")),
    "queueconfig": ("get_queue_config", ("port",)),
    "queuedesc": ("get_queue_desc", ("port", "queue_id")),
    "meterfeatures": ("get_meter_features", ()),
    "meterconfig": ("get_meter_config", ("meter_id",)),
    "meterdesc": ("get_meter_desc", ("meter_id",)),
    "meter": ("get_meter_stats", ("meter_id",)),
    "groupfeatures": ("get_group_features", ()),
    "groupdesc": ("get_group_desc", ("group_id",)),
    "group": ("get_group_stats", ("group_id",)),
    "role": ("get_role", ()),
}
_FILTERED = ("flowdesc", "flow", "aggregateflow")  # by a body, with POST

# Commands by path: the function of the library, and the constant of each command.
_CHANGES: dict[str, tuple[str, dict[str, str]]] = {
    "flowentry": (
        "mod_flow_entry",
        {
            "add": "OFPFC_ADD",
            "modify": "OFPFC_MODIFY",
            "modify_strict": "OFPFC_MODIFY_STRICT",
            "delete": "OFPFC_DELETE",
            "delete_strict": "OFPFC_DELETE_STRICT",
        },
    ),
    "meterentry": ("mod_meter_entry", {"add": "OFPMC_ADD", "modify": "OFPMC_MODIFY", "delete": "OFPMC_DELETE"}),
    "groupentry": ("mod_group_entry", {"add": "OFPGC_ADD", "modify": "OFPGC_MODIFY", "delete": "OFPGC_DELETE"}),
}


class _Refused(Exception):
    """The answer is an error.  Its arguments: status, and a line."""


class _Pending(dict[int, tuple[Any, list[Any]]]):
    """What the library calls waiters: by transaction id, whom to wake and where replies go.  One for each request to a switch."""

    def __init__(self, dpid: int) -> None:
        super().__init__()
        self.dpid = dpid
        self.asked: dict[int, Any] = {}

    def __setitem__(self, xid: int, waiter: tuple[Any, list[Any]]) -> None:
        self.asked[xid] = waiter[0]
        super().__setitem__(xid, waiter)

    @property
    def complete(self) -> bool:
        return all(lock.is_set() for lock in self.asked.values())


class _Datapath:
    """A connection as the library sees it; what changes a bridge of ours is confined to what is not ours."""

    def __init__(self, datapath: Any, sent: Callable[[int], None]) -> None:
        self._datapath = datapath
        self._sent = sent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._datapath, name)

    def send_msg(self, message: Any) -> None:
        if message.xid is None:
            self._datapath.set_xid(message)
        self._sent(message.xid)
        live = getattr(self._datapath, "nvo3_session", None)
        if live is None:
            self._datapath.send_msg(message)
            return
        message.serialize()
        foreign.send(live, bytes(message.buf))


def _answering(method: Callable[..., Any]) -> Callable[..., Any]:
    """Have a method's result sent as JSON, nothing for None, and its errors with their status."""

    @functools.wraps(method)
    def answer(self: Any, req: Any, **parts: Any) -> Response:
        try:
            if req.method != "GET" and self._is_elsewhere:
                raise _Refused(403, f"not for a page of {req.headers['Origin']}")
            result = method(self, req, **parts)
        except _Refused as error:
            status, line = error.args
            return Response(status=status, content_type="text/plain", body=f"{line}\n")
        except Nvo3Error as error:
            return Response(status=409 if isinstance(error, Conflict) else 504, content_type="text/plain", body=f"{error}\n")
        return Response() if result is None else Response(content_type="application/json", body=json.dumps(result))

    return answer


class OfctlRestController(ControllerBase):
    """data: the app."""

    @property
    def _is_elsewhere(self) -> bool:
        """Tell whether a browser sends this for a page of another site, which any site may have it do without asking."""
        origin = self.req.headers.get("Origin")
        return origin is not None and origin.partition("://")[2] != self.req.host

    @_answering
    def get_switches(self, req: Any) -> list[int]:
        """Return the datapath ids of all switches."""
        return list(self.data.datapaths)

    @_answering
    def read(self, req: Any, dpid: str, what: str, **parts: str) -> Any:
        """Ask a switch."""
        datapath, library = self._switch(dpid)
        name, _ = _READS[what]
        function = _function(library, name)
        arguments: list[Any] = [_body(req)]
        if what not in _FILTERED:
            n_taken = sum(parameter != "to_user" for parameter in inspect.signature(function).parameters) - 2
            arguments = [None if part == "ALL" else part for part in parts.values()][:n_taken]
        return self._ask(datapath, lambda dp, waiters: _read(function, dp, waiters, arguments))

    @_answering
    def change(self, req: Any, what: str, cmd: str) -> None:
        """Add, modify or delete a flow, a meter or a group."""
        body = _body(req)
        datapath, library = self._switch(body.get("dpid"))
        name, commands = _CHANGES[what]
        function = _function(library, name)
        if cmd not in commands:
            raise _Refused(404, f"no such command: {cmd}; there are {', '.join(commands)}")
        self._change(req, datapath, lambda dp: function(dp, body, getattr(dp.ofproto, commands[cmd])))

    @_answering
    def clear(self, req: Any, dpid: str) -> None:
        """Delete all flows."""
        datapath, library = self._switch(dpid)
        is_1_0 = datapath.ofproto.OFP_VERSION == ofproto_v1_0.OFP_VERSION
        flow = {} if is_1_0 else {"table_id": datapath.ofproto.OFPTT_ALL}
        self._change(req, datapath, lambda dp: library.mod_flow_entry(dp, flow, dp.ofproto.OFPFC_DELETE))

    @_answering
    def change_port(self, req: Any, cmd: str) -> None:
        """Change a port's configuration."""
        body = _body(req)
        datapath, library = self._switch(body.get("dpid"))
        if cmd != "modify":
            raise _Refused(404, f"no such command: {cmd}; there is modify")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # os-ken wishes that nobody used `ports`
            port = (datapath.ports or {}).get(_integer(body.get("port_no"), "port_no"))
        if port is None:
            raise _Refused(404, f"no such port: {body['port_no']}")
        body.setdefault("hw_addr", port.hw_addr)
        if hasattr(port, "advertised"):
            body.setdefault("advertise", port.advertised)
        else:
            body.setdefault("properties", port.properties)
        self._change(req, datapath, lambda dp: library.mod_port_behavior(dp, body))

    @_answering
    def change_role(self, req: Any) -> None:
        """Change the controller's role at a switch."""
        body = _body(req)
        datapath, library = self._switch(body.get("dpid"))
        function = _function(library, "set_role")
        self._change(req, datapath, lambda dp: function(dp, body))

    @_answering
    def send_experimenter(self, req: Any, dpid: str) -> None:
        """Send an experimenter message."""
        body = _body(req)
        datapath, library = self._switch(dpid)
        function = _function(library, "send_experimenter")
        self._change(req, datapath, lambda dp: function(dp, body))

    def _switch(self, dpid: Any) -> tuple[Any, Any]:
        datapath = self.data.datapaths.get(_dpid(dpid))
        if datapath is None:
            raise _Refused(404, f"no such switch: {dpid}")
        library = _LIBRARIES.get(datapath.ofproto.OFP_VERSION)
        if library is None:
            raise _Refused(501, f"OpenFlow version {datapath.ofproto.OFP_VERSION:#x} is not supported")
        return datapath, library

    def _ask(self, datapath: Any, ask: Callable[[Any, Any], Any]) -> Any:
        pending = _Pending(datapath.id)
        self.data.pending.append(pending)
        try:
            result = _translated(lambda: ask(_Datapath(datapath, lambda xid: None), {datapath.id: pending}))
        finally:
            self.data.pending.remove(pending)
        if not pending.complete:
            raise _Refused(504, f"switch {datapath.id:016x} did not answer in time")
        return result

    def _change(self, req: Any, datapath: Any, change: Callable[[Any], Any]) -> None:
        what = f"{req.method} {req.path}"
        _translated(lambda: change(_Datapath(datapath, lambda xid: self.data.note(datapath.id, xid, what))))


def _read(function: Callable[..., Any], datapath: Any, waiters: Any, arguments: list[Any]) -> Any:
    if function is not ofctl_v1_3.get_flow_stats:
        return function(datapath, waiters, *arguments)
    # The library would hold up everybody while it puts a large table in words.
    (flows,) = function(datapath, waiters, *arguments, to_user=False).values()
    for n, flow in enumerate(flows, 1):
        flow["actions"] = words.actions_of(flow.pop("instructions"))
        flow["match"] = ofctl_v1_3.match_to_str(flow["match"])
        flow["table_id"] = ofctl_v1_3.UTIL.ofp_table_to_user(flow["table_id"])
        if n % _FLOWS_AT_ONCE == 0:
            hub.sleep(0)
    return {str(datapath.id): flows}


def _translated(call: Callable[[], Any]) -> Any:
    """Call the library, which raises whatever comes to pass when a value is not what it should be."""
    try:
        return call()
    except (_Refused, Nvo3Error):
        raise
    except Exception as error:
        LOG.debug("the answer is 400", exc_info=True)
        raise _Refused(400, f"cannot be understood: {type(error).__name__}: {error}") from None


def _function(library: Any, name: str) -> Callable[..., Any]:
    function: Callable[..., Any] | None = getattr(library, name, None)
    if function is None:
        raise _Refused(501, "this version of OpenFlow does not have that")
    return function


def _body(req: Any) -> dict[str, Any]:
    """Return the object in a request's body: JSON, or as Python writes it, which scripts send that use `str`."""
    if not req.body:
        return {}
    try:
        text = req.body.decode()
        try:
            body = json.loads(text)
        except ValueError:
            body = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise _Refused(400, "the body is not JSON") from None
    if not isinstance(body, dict):
        raise _Refused(400, "the body is not an object")
    return body


def _integer(value: Any, name: str) -> int:
    try:
        return int(str(value), 0)
    except ValueError:
        raise _Refused(400, f"{name} is not a number: {value}") from None


def _dpid(text: Any) -> int:
    try:
        return int(str(text), 0)
    except ValueError:
        if len(str(text)) != 16:
            raise _Refused(400, f"not a datapath id: {text}") from None
    return _integer(f"0x{text}", "dpid")


_REPLIES = [
    getattr(ofp_event, f"EventOFP{name}")
    for name in (
        "StatsReply",
        "DescStatsReply",
        "FlowStatsReply",
        "FlowDescStatsReply",
        "AggregateStatsReply",
        "TableStatsReply",
        "TableFeaturesStatsReply",
        "PortStatsReply",
        "PortDescStatsReply",
        "QueueStatsReply",
        "QueueDescStatsReply",
        "QueueGetConfigReply",
        "MeterStatsReply",
        "MeterFeaturesStatsReply",
        "MeterConfigStatsReply",
        "MeterDescStatsReply",
        "GroupStatsReply",
        "GroupFeaturesStatsReply",
        "GroupDescStatsReply",
        "RoleReply",
        "SwitchFeatures",
    )
    if hasattr(ofp_event, f"EventOFP{name}")
]


class RestStatsApi(app_manager.OSKenApp):  # type: ignore[misc]
    """datapaths: the connected switches, by id.  pending: requests that wait for a switch."""

    NAME = "ofctl_rest"
    OFP_VERSIONS: ClassVar[list[int]] = list(_LIBRARIES)
    _CONTEXTS: ClassVar[dict[str, type]] = {"wsgi": WSGIApplication}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.name = self.NAME  # a user's own copy of Ryu's app, with its class's name, may run beside it
        self.datapaths: dict[int, Any] = {}
        self.pending: list[_Pending] = []
        self._sent: OrderedDict[tuple[int, int], str] = OrderedDict()
        wsgi: WSGIApplication = kwargs["wsgi"]
        wsgi.registory[OfctlRestController.__name__] = self
        _connect(wsgi.mapper)

    def note(self, dpid: int, xid: int, what: str) -> None:
        """Remember what was sent, should the switch refuse it."""
        self._sent[dpid, xid] = what
        if len(self._sent) > _SENT_MAX:
            self._sent.popitem(last=False)

    @set_ev_cls(ofp_event.EventOFPStateChange, [MAIN_DISPATCHER, DEAD_DISPATCHER])  # type: ignore[untyped-decorator]
    def handle_state_change(self, event: Any) -> None:
        """A switch has come or gone."""
        datapath: Any = event.datapath
        if event.state == MAIN_DISPATCHER:
            self.datapaths[datapath.id] = datapath
        elif datapath in self.datapaths.values():
            del self.datapaths[datapath.id]

    @set_ev_cls(_REPLIES, MAIN_DISPATCHER)  # type: ignore[untyped-decorator]
    def handle_reply(self, event: Any) -> None:
        """A switch has answered, or a part."""
        message = event.msg
        pending = self._waiting(message)
        if pending is not None:
            lock, messages = pending[message.xid]
            messages.append(message)
            if not getattr(message, "flags", 0) & _REPLY_MORE:
                del pending[message.xid]
                lock.set()

    @set_ev_cls(ofp_event.EventOFPErrorMsg, MAIN_DISPATCHER)  # type: ignore[untyped-decorator]
    def handle_error(self, event: Any) -> None:
        """A switch has refused a question or a change."""
        message = event.msg
        dpid, ofproto = message.datapath.id, message.datapath.ofproto
        if message.code is None:
            line = f"experimenter {message.experimenter:#x} error type {message.exp_type}"
        elif hasattr(ofproto, "ofp_error_code_to_str"):
            line = ofproto.ofp_error_code_to_str(message.type, message.code)
        else:
            line = f"OpenFlow error type {message.type} code {message.code}"
        pending = self._waiting(message)
        if pending is not None:
            LOG.debug("switch %016x: refused a question: %s", dpid, line)
            lock, _ = pending.pop(message.xid)
            lock.set()
        elif (what := self._sent.pop((dpid, message.xid), None)) is not None:
            LOG.warning("switch %016x: refused %s: %s", dpid, what, line)

    def _waiting(self, message: Any) -> _Pending | None:
        return next((p for p in self.pending if p.dpid == message.datapath.id and message.xid in p), None)


def _connect(mapper: Any) -> None:
    """Make the routes."""

    def route(method: str, path: str, action: str, **fixed: str) -> None:
        mapper.connect("stats", f"/stats/{path}", controller=OfctlRestController, action=action, conditions={"method": [method]}, **fixed)

    route("GET", "switches", "get_switches")
    for what, (_, parts) in _READS.items():
        for n in range(len(parts) + 1):
            path = "/".join([what, "{dpid}", *(f"{{{part}}}" for part in parts[:n])])
            route("GET", path, "read", what=what)
            if what in _FILTERED:
                route("POST", path, "read", what=what)
    route("DELETE", "flowentry/clear/{dpid}", "clear")
    for what in _CHANGES:
        route("POST", f"{what}/{{cmd}}", "change", what=what)
    route("POST", "portdesc/{cmd}", "change_port")
    route("POST", "role", "change_role")
    route("POST", "experimenter/{dpid}", "send_experimenter")

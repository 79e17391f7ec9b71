"""The overlay controller: `ryu-manager nvo3_app.py`.  OpenFlow events go to the core, see `nvo3_context`; the REST API comes with it."""

from typing import Any, ClassVar

from os_ken.base import app_manager
from os_ken.controller import ofp_event
from os_ken.controller.handler import DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.ofproto import ofproto_v1_3

from nvo3.model.ids import is_our_dpid
from nvo3.openflow import connection
from nvo3.ryu.app.ofctl_rest import RestStatsApi
from ryu_apps.nvo3_context import Nvo3Context

app_manager.require_app("ryu_apps.rest_app")
app_manager.require_app("nvo3.ryu.app.ofctl_rest")


class Nvo3App(app_manager.OSKenApp):  # type: ignore[misc]
    """Tells the context when br-int of a hypervisor comes and goes."""

    OFP_VERSIONS: ClassVar[list[int]] = [ofproto_v1_3.OFP_VERSION]
    _CONTEXTS: ClassVar[dict[str, type]] = {"nvo3": Nvo3Context}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._context: Nvo3Context = kwargs["nvo3"]

    def start(self) -> None:
        """Every app is made; no switch has connected yet."""
        connection.hide_our_bridges([self.name, RestStatsApi.NAME])
        super().start()

    @set_ev_cls(ofp_event.EventOFPStateChange, [MAIN_DISPATCHER, DEAD_DISPATCHER])  # type: ignore[untyped-decorator]
    def handle_state_change(self, event: Any) -> None:
        """A connection has finished its handshake, or is gone."""
        datapath = event.datapath
        if datapath.id is None or not is_our_dpid(datapath.id):
            return
        if event.state == MAIN_DISPATCHER:
            self._context.switch_connected(datapath)
        else:
            self._context.switch_disconnected(datapath)

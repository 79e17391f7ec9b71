"""The REST API as an app: serves `nvo3.api` on --wsapi-host and --wsapi-port."""

import logging
import sys
from typing import Any, ClassVar

from os_ken import cfg
from os_ken.base import app_manager

from nvo3 import options
from nvo3.api.app import create_app
from nvo3.api.serve import HttpServer
from nvo3.model.errors import ConfigError
from ryu_apps.nvo3_context import Nvo3Context

LOG = logging.getLogger("nvo3")


class RestApp(app_manager.OSKenApp):  # type: ignore[misc]
    """Serves the API while it runs."""

    _CONTEXTS: ClassVar[dict[str, type]] = {"nvo3": Nvo3Context}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        options.register(cfg.CONF)
        context: Nvo3Context = kwargs["nvo3"]
        host, port = cfg.CONF.wsapi_host, cfg.CONF.wsapi_port
        try:
            self._server = HttpServer(host, port, create_app(context.northbound, context.plane))
        except ConfigError as error:
            LOG.error("%s", error)
            sys.exit(1)
        LOG.info("REST API at http://%s:%d", f"[{host}]" if ":" in host else host, self._server.port)

    def start(self) -> None:
        """Serve."""
        super().start()
        self._server.start()

    def stop(self) -> None:
        """Close the port and all connections."""
        self._server.stop()
        super().stop()

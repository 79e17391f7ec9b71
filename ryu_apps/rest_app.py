"""The REST API as an app: `nvo3.api`, on the HTTP port that it shares with other Ryu apps."""

from typing import Any, ClassVar

from os_ken.base import app_manager

from nvo3.api.app import create_app
from nvo3.ryu.app.wsgi import WSGIApplication
from ryu_apps.nvo3_context import Nvo3Context


class RestApp(app_manager.OSKenApp):  # type: ignore[misc]
    """Has the API served while it runs."""

    _CONTEXTS: ClassVar[dict[str, type]] = {"nvo3": Nvo3Context, "wsgi": WSGIApplication}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        context: Nvo3Context = kwargs["nvo3"]
        kwargs["wsgi"].api = create_app(context.northbound, context.plane, context.telemetry)

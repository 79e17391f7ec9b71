"""`/docs`: the API's description to read and to try, by Swagger UI.

All of it is served from here, and the content security policy has the browser fetch nothing from anywhere else.
"""

from importlib import resources

from flask import Flask, Response
from werkzeug.exceptions import NotFound

_SWAGGER = resources.files("flask_openapi3_swagger") / "templates" / "swagger"
_OURS = resources.files(__name__)

_FILES = {
    "start.js": (_OURS / "start.js", "text/javascript"),
    "swagger-ui.css": (_SWAGGER / "css" / "swagger-ui.css", "text/css"),
    "swagger-ui-bundle.js": (_SWAGGER / "js" / "swagger-ui-bundle.js", "text/javascript"),
    "swagger.svg": (_SWAGGER / "images" / "swagger.svg", "image/svg+xml"),
}

# Swagger UI's style sheet has its icons in data: URLs.
_POLICY = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
_HEADERS = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


def register(app: Flask) -> None:
    """Add the pages."""
    app.add_url_rule("/docs", view_func=_page, endpoint="docs")
    app.add_url_rule("/docs/<name>", view_func=_file, endpoint="docs_file")


def _page() -> Response:
    return Response((_OURS / "docs.html").read_bytes(), content_type="text/html; charset=utf-8", headers=_HEADERS)


def _file(name: str) -> Response:
    if name not in _FILES:
        raise NotFound
    file, content_type = _FILES[name]
    headers = {**_HEADERS, "Cache-Control": "max-age=3600"}
    return Response(file.read_bytes(), content_type=f"{content_type}; charset=utf-8", headers=headers)

"""/v1/settings"""

from typing import Any

from flask_openapi3.blueprint import APIBlueprint

from nvo3.api.backend import Backend, answer, new_blueprint
from nvo3.api.schema import ChangeQuery, NoQuery, SettingsItem, SettingsPatch
from nvo3.ovsdb import command


def blueprint(backend: Backend) -> APIBlueprint:
    """Return the routes."""
    routes = new_blueprint("settings", "settings")

    @routes.get("/v1/settings", responses={200: SettingsItem})
    def show_settings(query: NoQuery) -> dict[str, Any]:
        """Show the settings."""
        return answer(SettingsItem.of(backend.view.settings))

    @routes.patch("/v1/settings", responses={200: SettingsItem})
    def set_settings(body: SettingsPatch, query: ChangeQuery) -> dict[str, Any]:
        """Change the settings."""
        settings = command.set_settings(backend.northbound, **body.given())
        backend.settle(query, "the settings are stored")
        return answer(SettingsItem.of(settings))

    return routes

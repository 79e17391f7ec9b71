"""/v1/settings"""

from flask_openapi3.blueprint import APIBlueprint

from nvo3.api.backend import Answer, Backend, new_blueprint, shown
from nvo3.api.precondition import guard
from nvo3.api.schema import ChangeQuery, NoQuery, PendingItem, SettingsItem, SettingsPatch
from nvo3.ovsdb import command


def blueprint(backend: Backend) -> APIBlueprint:
    """Return the routes."""
    routes = new_blueprint("settings", "settings")

    @routes.get("/v1/settings", responses={200: SettingsItem})
    def show_settings(query: NoQuery) -> Answer:
        """Show the settings."""
        return shown(SettingsItem.of(backend.view.settings), backend.view.settings)

    @routes.patch("/v1/settings", responses={200: SettingsItem, 202: PendingItem})
    def set_settings(body: SettingsPatch, query: ChangeQuery) -> Answer:
        """Change the settings."""
        settings = command.set_settings(backend.northbound, **body.given(), guard=guard())
        backend.settle(query, "the settings are stored")
        return shown(SettingsItem.of(settings), settings)

    return routes

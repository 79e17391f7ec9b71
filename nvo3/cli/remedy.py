"""What to do about an error of the API, where that is clear."""

import re

from nvo3.api.client import ENVIRONMENT, ApiError, ApiUnreachable

_BY_DETAIL = (
    (409, r" is in use by (\d+ )?networks? ", "delete those first, as in `nvo3 network delete TENANT/NETWORK`"),
    (409, r" is in use by (\d+ )?ports? ", "delete those first, as in `nvo3 port delete TENANT/NETWORK/PORT`"),
    (409, r"^vni: \d+: taken", "`nvo3 network list --vni` shows by which, and without --vni a free one is taken"),
    (409, r"^mac: .*taken", "`nvo3 port list --mac` shows by which, and without --mac one is chosen"),
    (409, r"^addresses.*: .*taken", "`nvo3 port list --address` shows by which, and without --address one is chosen"),
    (409, r"^name: ", "choose another, or change that one with `set`"),
    (503, r"", "nothing is known to be changed; try again, and if it stays so see the controller's log"),
    (202, r" not in force ", "nothing is lost; `nvo3 hypervisor list` says what holds it up"),
    (202, r" not connected ", "nothing is lost; it goes on trying, see `nvo3 hypervisor list`"),
    (202, r" is not up ", "a guest's interface has to carry external_ids:iface-id=UUID of the port"),
)


def remedy(error: ApiError) -> str:
    """Return what to do; nothing where the error says it all."""
    if isinstance(error, ApiUnreachable):
        return f"start the controller with `ryu-manager nvo3_app.py`, or name its API by --api or {ENVIRONMENT}"
    if error.status == 404 and (match := re.match(r"(tenant|network|port|hypervisor) .* does not exist", error.detail)):
        return f"see `nvo3 {match[1]} list`"
    if "nvo3 " in error.detail:
        return ""
    return next((text for status, pattern, text in _BY_DETAIL if error.status == status and re.search(pattern, error.detail)), "")

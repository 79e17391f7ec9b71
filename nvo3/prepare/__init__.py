"""Prepares a bare machine once: Debian packages, a Python environment, Open vSwitch with our patches.

Standard library only, since it runs before anything else is there.  What it makes lies in a cache outside the
checkout (`cache`).
`steps` says which command needs what and starts it; `packages`, `venv`, `fastpath` and `ovs` each make one thing.
"""

from nvo3.prepare.cache import new_progress
from nvo3.prepare.errors import PrepareError, Terminated, ToolFailed
from nvo3.prepare.ovs import ensure_ovs
from nvo3.prepare.packages import TEST_PACKAGES, ensure_packages
from nvo3.prepare.progress import Progress
from nvo3.prepare.steps import launch, needs_of, needs_of_agent, needs_of_manager, reported
from nvo3.prepare.venv import ensure_venv

__all__ = [
    "TEST_PACKAGES",
    "PrepareError",
    "Progress",
    "Terminated",
    "ToolFailed",
    "ensure_ovs",
    "ensure_packages",
    "ensure_venv",
    "launch",
    "needs_of",
    "needs_of_agent",
    "needs_of_manager",
    "new_progress",
    "reported",
]

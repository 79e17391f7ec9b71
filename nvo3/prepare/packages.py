"""Debian packages that a hypervisor, the lab and the build need.

Only what dpkg does not know as installed is installed.  The answer is remembered together with dpkg's state, so that
asking again costs no process.
"""

import contextlib
import os
import re
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from nvo3.prepare import cache, distribution, tool
from nvo3.prepare.errors import PrepareError, ToolFailed
from nvo3.prepare.progress import Progress

T = TypeVar("T")

# Name and use, a word or two each.
_BUILD = {
    "gcc": "build",
    "make": "build",
    "libc6-dev": "build",
    "libssl-dev": "OVS: TLS",
    "libcap-ng-dev": "OVS: --user",
    "patch": "OVS: our series",
    "autoconf": "OVS: patches to Makefile.am",
    "automake": "OVS: patches to Makefile.am",
    "libtool": "OVS: patches to Makefile.am",
}
_RUN = {
    "python3-venv": "environment",
    "python3-dev": "agent: its fast path",
    "iproute2": "lab: namespaces",
    "iputils-ping": "lab: ping",
    "nftables": "lab: NIC silencing",
    "ethtool": "lab: offloads",
    "kmod": "lab: tun module",
    "iperf3": "bench",
    "sockperf": "bench latency",
    "procps": "diagnosis",
    "tcpdump": "diagnosis",
    "tshark": "diagnosis",
}
_TEST = {
    "clang": "fuzzing",
    "libclang-rt-dev": "fuzzing",
    "openssl": "OVS's tests: ovs-pki",
    "isc-dhcp-client": "our tests: DHCP",
    "python3-scapy": "OVS's tests: packets",
    "python3-sortedcontainers": "OVS's tests: its Python IDL",
    "qemu-system-x86": "a real guest",
    "curl": "the walk of docs/api.md",
    "mandoc": "man pages",
    "systemd": "units: systemd-analyze",
    "udhcpc": "our tests: DHCP",
}
BUILD_PACKAGES = tuple(_BUILD)
PACKAGES = (*_BUILD, *_RUN)
TEST_PACKAGES = tuple(_TEST)  # `nvo3 test` asks for them itself
STEPS = 1
SPACE_BYTES = 1_000_000_000  # 120 packages on a minimal installation, downloads included
DPKG_STATUS = Path("/var/lib/dpkg/status")
_APT_LISTS = Path("/var/lib/apt/lists")
_LOCK_TIMEOUT_S = 600  # an unattended upgrade may hold dpkg's lock
_NETWORK_TROUBLE = re.compile(
    r"Could not resolve|Could not connect|Unable to connect|Connection (?:failed|refused|timed out)|"
    r"Cannot initiate the connection|Temporary failure|Network is unreachable|No route to host|Proxy|timed out"
)


def ready() -> bool:
    """Whether every package is installed."""
    return not missing()


def missing(names: Sequence[str] = PACKAGES) -> list[str]:
    """Return those of the packages that are not installed.  Raises PrepareError on a system without dpkg."""
    stamp = _stamp(names)
    if stamp and _remembered() == stamp:
        return []
    absent = _ask_dpkg(names)
    if not absent and stamp and names is PACKAGES:
        _remember(stamp)
    return absent


def _ask_dpkg(names: Sequence[str]) -> list[str]:
    try:
        reply = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *names],
            check=False,
            capture_output=True,
            text=True,
        )
    except OSError:
        distribution.codename()
        raise PrepareError("dpkg-query cannot be started: install Debian's package 'dpkg'") from None
    installed = {line.split()[0] for line in reply.stdout.splitlines() if line.endswith(" installed")}
    return [name for name in names if name not in installed]


def _stamp(names: Sequence[str]) -> str:
    """Return a text that changes with the packages asked for and with anything that dpkg does; empty without dpkg."""
    try:
        status = DPKG_STATUS.stat()
    except OSError:
        return ""
    return f"{cache.digest([(' '.join(names), b'')])} {status.st_mtime_ns} {status.st_size} {status.st_ino}"


def _remembered() -> str:
    try:
        return (cache.root() / "packages").read_text(encoding="utf-8")
    except OSError:
        return ""


def _remember(stamp: str) -> None:
    # A speed-up only: without it dpkg is asked again.
    with contextlib.suppress(OSError, PrepareError):
        (cache.directory() / "packages").write_text(stamp, encoding="utf-8")


def ensure_packages(progress: Progress | None = None, names: Sequence[str] = PACKAGES) -> None:
    """Install what is missing.  Raises PrepareError: not root, not Debian, mirror unreachable, no space."""
    if not missing(names):
        return
    distribution.codename()
    _require_root(missing(names))
    progress = progress or cache.new_progress()
    with cache.locked("packages", progress):
        absent = missing(names)
        if not absent:
            return
        cache.require_space(SPACE_BYTES, "Debian packages", Path("/usr"))
        with progress.step(f"Install {len(absent)} Debian packages"):
            _install(absent, progress)
        if still := missing(names):
            raise PrepareError(f"apt-get did not install {' '.join(still)}: see {progress.log.path}")


def _require_root(absent: Sequence[str]) -> None:
    if os.geteuid() != 0:
        raise PrepareError(f"missing Debian packages, and only root can install them: run 'sudo apt-get install {' '.join(absent)}'")


def _install(names: Sequence[str], progress: Progress) -> None:
    """Install packages; fetch the lists first where there are none, and again where they are outdated."""
    if any(_APT_LISTS.glob("*_Packages*")):
        try:
            return _apt_install(names, progress)
        except ToolFailed as failure:
            progress.log.write(f"{failure}; trying again with new package lists")
    outdated = _update_failure(progress)
    try:
        _apt_install(names, progress)
    except ToolFailed as failure:
        raise _explained(outdated or failure) from None


def _update_failure(progress: Progress) -> ToolFailed | None:
    """Fetch the package lists; return what failed.  A source that fails matters only if a package is then not found."""
    try:
        update(progress)
    except ToolFailed as failure:
        return failure
    return None


def update(progress: Progress) -> None:
    """Fetch the package lists of the machine.  Raises ToolFailed where one of its sources fails."""
    progress.detail("fetching package lists")
    apt(["-o", "APT::Update::Error-Mode=any", "update"], progress, failure="apt-get update failed")


def with_new_lists(attempt: Callable[[], T], progress: Progress) -> T:
    """Return what an attempt returns; where it fails, try once more with new package lists, which only root can fetch.

    Raises PrepareError.
    """
    try:
        return attempt()
    except PrepareError:
        if os.geteuid() != 0:
            raise
    try:
        update(progress)
    except ToolFailed as failure:
        raise explain_network(failure, "Debian's mirror") from None
    return attempt()


def _apt_install(names: Sequence[str], progress: Progress) -> None:
    counter = _AptCounter(progress)
    apt(
        ["install", "-y", "--no-install-recommends", *names],
        progress,
        failure="apt-get install failed",
        on_line=counter.see,
        dies_with_us=False,
    )


def apt(
    arguments: Iterable[str],
    progress: Progress,
    *,
    failure: str,
    on_line: tool.LineHandler | None = None,
    dies_with_us: bool = True,
    cwd: Path | None = None,
) -> list[str]:
    """Run apt-get without questions, in English.  Returns its lines; raises ToolFailed."""
    options = [
        "-q",
        "-o",
        "Dpkg::Use-Pty=0",
        "-o",
        f"DPkg::Lock::Timeout={_LOCK_TIMEOUT_S}",
        "-o",
        "Acquire::Retries=2",
    ]
    return tool.run(
        ["apt-get", *options, *arguments],
        progress,
        failure=failure,
        env=tool.environment(DEBIAN_FRONTEND="noninteractive", APT_LISTCHANGES_FRONTEND="none", NEEDRESTART_MODE="l"),
        on_line=on_line,
        dies_with_us=dies_with_us,
        cwd=cwd,
    )


def _explained(failure: ToolFailed) -> PrepareError:
    return explain_network(failure, "Debian's mirror")


def explain_network(failure: ToolFailed, whom: str) -> PrepareError:
    """Turn a failure of apt-get into one that names the network, where its output says so."""
    trouble = next((line for line in reversed(failure.tail) if _NETWORK_TROUBLE.search(line)), "")
    if not trouble:
        return failure
    reason = re.sub(r"^[EWN]: |^Err:\d+ ", "", trouble.strip())
    return ToolFailed(
        f"{whom} cannot be reached ({reason}): check the network, /etc/apt/sources.list* and proxies",
        failure.tail,
        failure.log,
    )


class _AptCounter:
    """Tells from apt-get's output how far an installation is."""

    _TOTAL = re.compile(r"^\d+ upgraded, (\d+) newly installed")
    _PHASES = {"Get:": "downloaded", "Unpacking ": "unpacked", "Setting up ": "set up"}

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._total = 0
        self._counts = dict.fromkeys(self._PHASES, 0)

    def see(self, line: str) -> None:
        if match := self._TOTAL.match(line):
            self._total = int(match[1])
        for prefix, phase in self._PHASES.items():
            if line.startswith(prefix):
                self._counts[prefix] += 1
                self._progress.detail(f"{self._counts[prefix]}/{self._total} packages {phase}")

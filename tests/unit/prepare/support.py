"""Helpers of the preparation's tests: a source tree that builds in a second, a display that keeps what it shows.

The small tree stands for Open vSwitch in all but size: `configure`, `make`, `make install` and a daemon that says its
version.
"""

import io
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from nvo3.prepare.progress import Log, Progress

CHECKOUT = Path(__file__).resolve().parents[3]

_CONFIGURE = """#!/bin/sh
for option; do case $option in --prefix=*) prefix=${option#--prefix=} ;; esac; done
echo "configuring for $prefix"
sed "s,@prefix@,$prefix," Makefile.in > Makefile
"""
# GATE: a named pipe that the build reads first, so that a test can hold it half-way.
_MAKEFILE = """
prefix = @prefix@
all:
\t@if [ -n "$$GATE" ]; then echo waiting; exec cat "$$GATE"; fi
\t@echo "cc -c lib/a.c -o lib/a.o"
\t@cat lib/a.c
\t@cp lib/a.c lib/a.o
check: all
\t@echo "testsuite: $(TESTSUITEFLAGS)"
install:
\tmkdir -p $(DESTDIR)$(prefix)/sbin
\tprintf '#!/bin/sh\\necho "ovs-vswitchd (Open vSwitch) %s"\\n' @version@ > $(DESTDIR)$(prefix)/sbin/ovs-vswitchd
\tchmod 755 $(DESTDIR)$(prefix)/sbin/ovs-vswitchd
\tcp lib/a.c $(DESTDIR)$(prefix)/a.c
"""


class Display(Progress):
    """A progress display that keeps what it shows."""

    def __init__(self, directory: Path, live: bool = False) -> None:
        self.output = io.StringIO()
        self.now = 0.0
        super().__init__(Log(lambda: directory), stream=self.output, live=live, clock=lambda: self.now)

    @property
    def lines(self) -> list[str]:
        return self.output.getvalue().splitlines()


def write_tree(top: Path, version: str = "3.5.0", name: str = "openvswitch") -> Path:
    """Write the small source tree and return it."""
    (top / "lib").mkdir(parents=True)
    (top / "lib" / "a.c").write_text("one\ntwo\nthree\n")
    (top / "configure.ac").write_text(f"AC_PREREQ(2.63)\nAC_INIT({name}, {version}, bugs@example.org)\n")
    (top / "configure").write_text(_CONFIGURE)
    (top / "boot.sh").write_text("echo booted > booted\n")
    (top / "Makefile.in").write_text(_MAKEFILE.replace("@version@", version))
    return top


def write_tarball(path: Path, tree: Path) -> Path:
    subprocess.run(["tar", "-czf", path, "-C", tree.parent, tree.name], check=True)
    return path


def wait_for(condition: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
    """Return once a condition holds; fail the test when it does not in time."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"after {timeout_s} s still not: {what}"
        time.sleep(0.02)


def start_python(code: str, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
    """Start a Python process on this checkout; stdout and stderr together in a pipe."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )

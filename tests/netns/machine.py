"""A virtual machine on a hypervisor of a lab: qemu without KVM, a vNIC of virtio-net on a TAP, commands by a virtio-serial port."""

import json
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from nvo3.lab import Lab, system
from nvo3.lab.node import silence
from tests.netns.guest_image import Image

QEMU = "qemu-system-x86_64"
_BOOT_S = 120.0  # a busy machine that has to interpret every instruction
_MEMORY_MB = 512

Done = subprocess.CompletedProcess[str]


class Machine:
    """A machine that runs from the constructor on; it ends with `kill`, with this process, and with the lab.

    tap, mtu: the hypervisor's end of its vNIC, which exists when the constructor returns, and as long as the machine.
    """

    def __init__(self, lab: Lab, hypervisor: str, image: Image, tap: str, mtu: int, mac: str, console: Path) -> None:
        self.tap = tap
        self._image = image
        self._console = console
        self._seen = 0
        self._space = lab.ns(hypervisor)
        self._answers: dict[int, Future[Done]] = {}
        self._channel, theirs = socket.socketpair()
        with theirs:
            # This process may be killed: then the machine is, too.
            argv = ["setpriv", "--pdeathsig", "KILL", *self._argv(theirs.fileno(), mac)]
            self._process = lab.popen(
                hypervisor, argv, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
        threading.Thread(target=self._receive, daemon=True).start()
        try:
            self._prepare_tap(mtu)
        except BaseException:
            self.kill()
            raise

    def _argv(self, channel: int, mac: str) -> list[str]:
        argv = [QEMU, "-accel", "tcg", "-cpu", "max", "-m", str(_MEMORY_MB), "-nodefaults", "-no-user-config", "-no-reboot"]
        argv += ["-display", "none", "-serial", f"file:{self._console}"]
        argv += ["-kernel", str(self._image.kernel), "-initrd", str(self._image.initrd), "-append", "console=ttyS0 panic=-1 quiet"]
        argv += ["-netdev", f"tap,id=net,ifname={self.tap},script=no,downscript=no,vnet_hdr=on"]
        argv += ["-device", f"virtio-net-pci,netdev=net,mac={mac},romfile=", "-device", "virtio-rng-pci"]
        argv += ["-chardev", f"socket,id=channel,fd={channel}", "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=channel"]
        return argv

    def _prepare_tap(self, mtu: int) -> None:
        """Do what a manager of virtual machines does before the guest runs."""
        there = system.wait_until(lambda: self.has_tap() or self._process.poll() is not None, 20) and self.has_tap()
        assert there, f"{QEMU} made no {self.tap}: {self._end()}"
        silence(self._space, [self.tap])
        system.ip([f"link set {self.tap} arp off mtu {mtu} up"], self._space)

    def has_tap(self) -> bool:
        """Tell whether the hypervisor's end of the vNIC is there."""
        links = json.loads(system.run(["ip", "-n", self._space, "-json", "link", "show"]))
        return self.tap in {link["ifname"] for link in links}

    # Its end

    def kill(self) -> None:
        """End it as a crash would."""
        self._process.send_signal(signal.SIGKILL)
        self._end()

    def _end(self) -> str:
        """Wait for its end; return what qemu said."""
        output, _ = self._process.communicate(timeout=20)
        self._channel.close()
        return output

    # Inside

    def start(self, argv: Sequence[str], *, console: bool = False) -> "Future[Done]":
        """Start a command; the result is there when it has ended.  console: where its output goes instead of into the result."""
        number = len(self._answers)
        answer: Future[Done] = Future()
        self._answers[number] = answer
        request: dict[str, Any] = {"id": number, "argv": list(argv), "environment": self._image.environment, "console": console}
        self._channel.sendall(json.dumps(request).encode() + b"\n")
        return answer

    def start_python(self, *arguments: str, console: bool = False) -> "Future[Done]":
        """Start Python in it."""
        return self.start([self._image.python, "-P", *arguments], console=console)

    def run(self, argv: Sequence[str], *, timeout_s: float = 60, check: bool = True) -> Done:
        """Run a command to its end.  check: it must succeed."""
        done = self.start(argv).result(timeout_s)
        assert not check or not done.returncode, f"{' '.join(argv)}: {done.stderr or done.stdout}"
        return done

    def await_boot(self) -> None:
        """Wait until commands can be run."""
        self.run(["ip", "link", "show", "dev", "eth0"], timeout_s=_BOOT_S)

    def _receive(self) -> None:
        with self._channel.makefile("rb") as lines:
            try:
                for line in lines:
                    said = json.loads(line)
                    answer = self._answers[said["id"]]
                    answer.set_result(subprocess.CompletedProcess([], said["status"], said["stdout"], said["stderr"]))
            except OSError:  # it was killed
                pass
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(RuntimeError("the machine is gone: its console may say why"))

    def new_console_output(self) -> str:
        """Return what it said on its console since this was asked last."""
        text = self._console.read_text(errors="replace") if self._console.exists() else ""
        said, self._seen = text[self._seen :], len(text)
        return said


def lacking() -> str:
    """Return why this machine cannot run one, if so."""
    return "" if shutil.which(QEMU) else f"no {QEMU}: run by 'bin/nvo3 test'"

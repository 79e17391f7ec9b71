"""What a sample costs in CPU time.

The kernel here accounts by process and by kind of work, and the two overlap: a process that sends also runs the softirqs
which carry its packets on, and they count as its own time.  So the vswitchds' time and the softirqs' do not add up; the
machine's busy time has each once.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from nvo3.bench.bed import CLIENT, SERVER, Bed

# /proc/stat, first line (proc(5)): of these fields busy is what is neither idle, nor waiting, nor another machine's.
_FIELDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_BUSY = ("user", "nice", "system", "irq", "softirq")


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds.

    sender_s, receiver_s: of the switch at the sending and at the receiving guest, all threads.  softirq_s, machine_s: of
    the whole machine, in softirqs (ksoftirqd included) and in all that it did.
    """

    sender_s: float
    receiver_s: float
    softirq_s: float
    machine_s: float

    @property
    def vswitchd_s(self) -> float:
        return self.sender_s + self.receiver_s

    def since(self, before: Self) -> "Cost":
        """Return what was used from `before` to this."""
        return Cost(
            self.sender_s - before.sender_s,
            self.receiver_s - before.receiver_s,
            self.softirq_s - before.softirq_s,
            self.machine_s - before.machine_s,
        )


def used(bed: Bed) -> Cost:
    """Return what was used so far."""
    ticks = dict(zip(_FIELDS, map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]), strict=False))
    rate = os.sysconf("SC_CLK_TCK")
    return Cost(
        sender_s=bed.cpu_seconds(CLIENT),
        receiver_s=bed.cpu_seconds(SERVER),
        softirq_s=ticks["softirq"] / rate,
        machine_s=sum(ticks[name] for name in _BUSY) / rate,
    )

"""The size of the machine's socket buffers, for a while.

`net.core.rmem_default` and `wmem_default` belong to the machine: in a network namespace they can only be read.  A process
of its own keeps them, and puts them back when we are done with them or gone, however we went.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from nvo3.lab.errors import LabError

_DIRECTORY = "/proc/sys/net/core"
_SET = "set"
_RESTORE_S = 10.0

# Run by flock(1), so that two who want this do so one after the other.  It waits for the end of its standard input,
# which comes also if we are killed.
_KEEPER = f"""
cd {_DIRECTORY} || exit
rmem=$(cat rmem_default) wmem=$(cat wmem_default)
trap '' INT TERM HUP
trap 'echo $rmem >rmem_default; echo $wmem >wmem_default' EXIT
echo "$1" >rmem_default && echo "$1" >wmem_default && echo {_SET} && cat
"""


@contextmanager
def default_size(mib: int) -> Iterator[None]:
    """Give sockets that are opened meanwhile, by whomever on this machine, buffers of `mib` MiB each way.

    Raises LabError if the machine does not let us.
    """
    keeper = subprocess.Popen(
        ["flock", _DIRECTORY, "sh", "-c", _KEEPER, "sh", str(mib << 20)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert keeper.stdin and keeper.stdout and keeper.stderr
    try:
        with keeper.stdin:
            if keeper.stdout.readline().strip() != _SET:
                reason = " ".join(keeper.stderr.read().split())
                raise LabError(f"{_DIRECTORY}: {reason or 'not writable'}; --stock-buffers-mib 0 goes without")
            yield
    finally:
        keeper.wait(_RESTORE_S)
        keeper.stdout.close()
        keeper.stderr.close()

"""What `nvo3-agent show` prints: an agent's answer on its socket."""

import json
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nvo3.agent.errors import AgentError

_TIMEOUT_S = 10.0


def ask(path: Path) -> dict[str, Any]:
    """Return how the agent is whose socket this is.  Raises AgentError."""
    with socket.socket(socket.AF_UNIX) as agent:
        agent.settimeout(_TIMEOUT_S)
        try:
            agent.connect(str(path))
            data = b"".join(iter(lambda: agent.recv(1 << 16), b""))
        except (FileNotFoundError, ConnectionRefusedError):
            raise AgentError(f"no agent answers at {path}: is it running, and with this --run-dir?") from None
        except PermissionError:
            raise AgentError(f"{path}: no permission: run it as root") from None
        except OSError as error:
            raise AgentError(f"{path}: {error.strerror or error}") from None
    answer: dict[str, Any] = json.loads(data)
    return answer


def find(run_dir: Path) -> str:
    """Return the name of the only vNIC that has an agent.  Raises AgentError."""
    names = sorted(path.stem for path in run_dir.glob("*.sock"))
    if len(names) != 1:
        found = f"agents of {', '.join(names)}" if names else "no agent"
        raise AgentError(f"there is {found} in {run_dir}: say which by --vnic, or give another --run-dir")
    return names[0]


def table(answer: Mapping[str, Any]) -> str:
    """Return an answer as people read it: how the agent is, the flow table, and the counters that are not 0."""
    if "error" in answer:
        return f"{answer['vnic']}: {answer['error']}"
    underlay = answer["underlay"]
    head = {
        "vNIC": answer["vnic"],
        "TAP": answer["tap"],
        "MAC": answer["mac"],
        "STATE": answer["state"],
        "MTU": answer["mtu"],
        "OFFLOADS": ",".join(answer["offloads"]) or "-",
        "UNDERLAY": f"{underlay['address']} {underlay['mac']}" if underlay else "-",
        "UPTIME": f"{answer['uptime_s']:.0f} s",
        "ENTRIES": f"{len(answer['entries'])} of {answer['max_entries']}",
    }
    parts = [_pairs(head)]
    if answer["entries"]:
        parts.append(_columns([_HEADINGS, *map(_row, answer["entries"])]))
    counters = {name: value for name, value in (answer["counters"] | answer["control"]).items() if value}
    if counters:
        parts.append(_pairs(counters))
    return "\n\n".join(parts)


_HEADINGS = ("PRIORITY", "PACKETS", "BYTES", "AGE", "IDLE", "TIMEOUTS", "MATCH", "ACTIONS")


def _row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    timeouts = f"{entry['idle_timeout'] or '-'}/{entry['hard_timeout'] or '-'}"
    idle = "-" if entry["idle_s"] is None else f"{entry['idle_s']:.1f}"
    match = ",".join(f"{name}={value}" for name, value in entry["match"].items()) or "any"
    numbers = (entry["priority"], entry["packets"], entry["bytes"], f"{entry['age_s']:.1f}", idle, timeouts)
    return (*map(str, numbers), match, ",".join(entry["actions"]) or "drop")


def _columns(rows: Iterable[tuple[str, ...]]) -> str:
    lines = list(rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def _pairs(values: Mapping[str, object]) -> str:
    width = max(map(len, values))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in values.items())

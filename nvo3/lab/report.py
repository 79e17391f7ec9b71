"""What `lab up` and `lab status` say: as JSON, as tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nvo3.lab.matrix import Cell
from nvo3.lab.record import Guest

_MATRIX_MAX = 12  # guests whose matrix is still read with pleasure; of more, what is wrong is listed


@dataclass(frozen=True, slots=True)
class HypervisorReport:
    """encapsulations: best first.  connected: to the controller, by OVSDB and by OpenFlow."""

    name: str
    encapsulations: tuple[str, ...]
    connected: bool


@dataclass(frozen=True, slots=True)
class Report:
    """A lab as it is now.  problems: one line each, of what keeps it from being as it should."""

    api: str
    hypervisors: tuple[HypervisorReport, ...]
    guests: tuple[Guest, ...]
    matrix: tuple[Cell, ...]
    problems: tuple[str, ...] = ()

    @property
    def right(self) -> bool:
        """Every pair of guests is as expected."""
        return all(cell.right for cell in self.matrix)

    def as_json(self) -> dict[str, Any]:
        """Return the object that `--json` prints."""
        return {
            "api": self.api,
            "hypervisors": [
                {"name": one.name, "encapsulations": list(one.encapsulations), "connected": one.connected} for one in self.hypervisors
            ],
            "guests": [_guest(guest) for guest in self.guests],
            "matrix": [
                {"from": cell.source, "to": cell.target, "expected": cell.expected, "reachable": cell.reachable} for cell in self.matrix
            ],
        }


def _guest(guest: Guest) -> dict[str, Any]:
    return {
        "name": guest.name,
        "tenant": guest.tenant,
        "network": guest.network,
        "hypervisor": guest.hypervisor,
        "addresses": list(guest.plain_addresses),
    }


def render(report: Report) -> RenderableType:
    """Return the report as tables."""
    tables = [_hypervisor_table(report), _guest_table(report.guests)]
    if len(report.guests) <= _MATRIX_MAX:
        tables.append(_matrix_table(report))
    return Group(*tables, _verdict(report))


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column)
    return table


def _hypervisor_table(report: Report) -> Table:
    table = _table("hypervisor", "connected", "encapsulations")
    for one in report.hypervisors:
        table.add_row(one.name, "yes" if one.connected else Text("no", style="red"), ", ".join(one.encapsulations))
    return table


def _guest_table(guests: Sequence[Guest]) -> Table:
    table = _table("guest", "network", "hypervisor", "addresses")
    for guest in guests:
        table.add_row(guest.name, f"{guest.tenant}/{guest.network}", guest.hypervisor, ", ".join(guest.plain_addresses))
    return table


def _matrix_table(report: Report) -> Table:
    """A row per sender, a column per receiver: seen; where it is not as expected, expected too."""
    names = [guest.name for guest in report.guests]
    cells = {(cell.source, cell.target): cell for cell in report.matrix}
    table = _table("from \\ to", *names)
    for source in names:
        table.add_row(source, *(_cell(cells.get((source, target))) for target in names))
    return table


def _cell(cell: Cell | None) -> Text:
    if cell is None:
        return Text("·", style="dim")
    if not cell.right:
        return Text("LEAKS" if cell.reachable else "FAILS", style="bold red")
    return Text("reaches", style="green") if cell.reachable else Text("isolated", style="dim")


def _verdict(report: Report) -> Text:
    wrong = [cell for cell in report.matrix if not cell.right]
    lines = [f"{cell.source} -> {cell.target}: {cell.detail}" for cell in wrong[:20]]
    if wrong:
        lines.append(f"{len(wrong)} of {len(report.matrix)} pairs are not as expected.")
    else:
        lines.append(f"All {len(report.matrix)} pairs are as expected.")
    lines.append(f"API: {report.api}")
    return Text("\n".join(lines), style="bold red" if wrong else "")

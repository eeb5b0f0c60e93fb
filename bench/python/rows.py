"""The lines that a bench prints."""

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One thing measured."""

    name: str
    unit: str
    arcly: float
    floor: float | None = None
    """What cannot be beaten: the same without arcly."""
    at_most: float | None = None
    """The goal, if there is one."""

    @property
    def goal(self) -> str | None:
        """The goal as it is printed."""
        return None if self.at_most is None else f"<= {self.at_most:g}"

    @property
    def holds(self) -> bool | None:
        """Whether it is reached."""
        return None if self.at_most is None else self.arcly <= self.at_most

    def fields(self) -> dict[str, object]:
        """Return the row as it goes into the JSON object. There is no peer in Python."""
        floor = None if self.floor is None else round(self.floor, 3)
        row: dict[str, object] = {"name": self.name, "unit": self.unit, "arcly": round(self.arcly, 3), "peer": None}
        return row | {"floor": floor, "ratio": None, "goal": self.goal, "holds": self.holds}


def print_json(rows: list[Row]) -> None:
    """Print all rows as one object."""
    lines = ",\n  ".join(json.dumps(row.fields()) for row in rows)
    print(f'{{"rows": [\n  {lines}\n]}}')


def print_table(rows: list[Row]) -> None:
    """Print all rows for people."""
    print(f"{'':<66} {'unit':>10} {'arcly':>10} {'floor':>10} {'goal':>10} {'holds':>6}")
    for row in rows:
        floor = "-" if row.floor is None else f"{row.floor:.1f}"
        holds = {None: "", True: "yes", False: "NO"}[row.holds]
        print(f"{row.name:<66} {row.unit:>10} {row.arcly:>10.1f} {floor:>10} {row.goal or '':>10} {holds:>6}")

"""Computes `expected/` of this example without Millstream: the rows that are left once all changes are applied."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from oracle import folders, read_csv, write_json


def maker(name):
    if name.startswith("AIRBUS"):
        return "Airbus"
    return "McDonnell Douglas" if name.startswith("MCDONNELL") else name


def main():
    data, expected = folders(__file__)
    planes = read_csv(data / "planes.csv")
    lines = (data / "planes.csv").read_text().splitlines()[1:]
    write_json(expected / "rejected.ndjson", [{"raw": line} for plane, line in zip(planes, lines) if plane["built"] is None])

    groups = {}
    for plane in planes:
        if plane["built"] is not None and int(plane["seats"]) >= 50 and int(plane["engines"]) == 2:
            groups.setdefault(maker(plane["manufacturer"]), []).append((int(plane["built"]), int(plane["seats"])))
    makers = [
        {
            "maker": name,
            "planes": len(group),
            "decades": len({built // 10 for built, _ in group}),
            "largest": max(seats for _, seats in group),
            "seats": sum(seats for _, seats in group),
        }
        for name, group in groups.items()
        if len(group) >= 10
    ]
    write_json(expected / "changes.ndjson", [row for row in makers if row["seats"] >= 10000])


main()

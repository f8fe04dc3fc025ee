"""Computes `expected/` of this example without Millstream."""

import math
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from oracle import DAY, HOUR, folders, read_json, rfc3339, seconds, windows, write_json


def storms(rows):
    for position, row in enumerate(rows):
        kind = "fog" if row["visib"] < 1 else "wind" if row["wind_speed"] > 30 else None
        note = f"wind {math.floor(row['wind_speed'] + 0.5)} mph"
        yield row["origin"], kind, note, (seconds(row["observed"]), "weather.ndjson", position)


def delays(rows):
    for position, row in enumerate(rows):
        kind = "cancelled" if row["departed"] is None else "delay" if row["dep_delay"] >= 180 else None
        yield row["origin"], kind, row["flight"], (seconds(row["scheduled"]), "departures.ndjson", position)


def main():
    data, expected = folders(__file__)
    groups = {}
    for rows in (storms(read_json(data / "weather.ndjson")), delays(read_json(data / "departures.ndjson"))):
        for origin, kind, note, order in rows:
            if kind is not None:
                [start] = windows(order[0], DAY, DAY, 5 * HOUR)
                groups.setdefault((start, origin, kind), []).append((order, note))
    write_json(expected / "day_book.ndjson", [
        {
            "origin": origin,
            "kind": kind,
            "incidents": len(notes),
            # First and last go by event time; rows of one instant by the split's name, then by position.
            "first": min(notes)[1],
            "last": max(notes)[1],
            "window_start": rfc3339(start),
            "window_end": rfc3339(start + DAY),
        }
        for (start, origin, kind), notes in groups.items()
    ])


main()

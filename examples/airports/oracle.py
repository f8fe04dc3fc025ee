"""Computes `expected/` of this example without Millstream."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from oracle import DAY, HOUR, MINUTE, folders, mean, read_json, rfc3339, seconds, windows, write_csv, write_json

SIZE, SLIDE = 3 * HOUR, 30 * MINUTE


def main():
    data, expected = folders(__file__)
    groups = {}
    for row in read_json(data / "departures.ndjson"):
        if row["distance"] >= 1500:
            for start in windows(seconds(row["scheduled"]), SIZE, SLIDE):
                groups.setdefault((start, row["origin"]), []).append(row)
    load, days = [], {}
    for (start, origin), rows in groups.items():
        flights, cancelled = len(rows), sum(row["departed"] is None for row in rows)
        load.append({
            "origin": origin,
            "flights": flights,
            "cancelled": cancelled,
            "destinations": len({row["dest"] for row in rows}),
            "mean_delay": mean([row["dep_delay"] for row in rows if row["dep_delay"] is not None]),
            "miles": sum(row["distance"] for row in rows),
            "window_start": rfc3339(start),
            "window_end": rfc3339(start + SIZE),
        })
        # A result's event time is the last instant of its window. All times here are whole seconds, so one second will do.
        [day] = windows(start + SIZE - 1, DAY, DAY, 5 * HOUR)
        days.setdefault((day, origin), []).append((flights, cancelled))
    write_csv(expected / "load.csv", load)
    write_json(expected / "peaks.ndjson", [
        {
            "origin": origin,
            "most_flights": max(flights for flights, _ in day),
            "most_cancelled": max(cancelled for _, cancelled in day),
            "windows": len(day),
            "window_start": rfc3339(start),
            "window_end": rfc3339(start + DAY),
        }
        for (start, origin), day in days.items()
    ])


main()

"""Computes `expected/` of this example without Millstream."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from oracle import DAY, HOUR, folders, mean, read_csv, read_json, rfc3339, seconds, windows, write_csv, write_json


def day_of(at):
    [day] = windows(at, DAY, DAY, 5 * HOUR)
    return day


def bounds(day):
    return {"window_start": rfc3339(day), "window_end": rfc3339(day + DAY)}


def sight(observations, origin, at):
    """What could be seen: the newest observation of the airport that is not younger."""
    valid = [row for row in observations.get(origin, []) if row["at"] <= at]
    if not valid:
        return "unknown"
    return "poor" if max(valid, key=lambda row: row["at"])["visib"] < 3 else "good"


def delays(flights, weather, airlines):
    observations, days = {}, {}
    for row in weather:
        observations.setdefault(row["origin"], []).append({"at": seconds(row["observed"]), **row})
    for row in flights:
        group = (day_of(row["at"]), airlines[row["carrier"]], sight(observations, row["origin"], row["at"]))
        days.setdefault(group, []).append(row["dep_delay"])
    for (day, name, seen), group in days.items():
        known = [delay for delay in group if delay is not None]
        yield {"name": name, "sight": seen, "flights": len(group), "mean_delay": mean(known), **bounds(day)}


def turnarounds(flights):
    by_aircraft, days = {}, {}
    for row in flights:
        if row["tailnum"] is not None:
            by_aircraft.setdefault(row["tailnum"], []).append(row)
    for row in flights:
        others = by_aircraft.get(row["tailnum"], [])
        found = [o for o in others if o["flight"] != row["flight"] and 0 <= o["at"] - row["at"] <= 12 * HOUR]
        for other in found:
            days.setdefault((day_of(other["at"]), row["carrier"]), []).append(other["at"] - row["at"])
        if not found:
            days.setdefault((day_of(row["at"]), row["carrier"]), []).append(None)
    for (day, carrier), group in days.items():
        pairs = [gap for gap in group if gap is not None]
        yield {"carrier": carrier, "pairs": len(pairs), "single": len(group) - len(pairs), "shortest": min(pairs, default=None), **bounds(day)}


def main():
    data, expected = folders(__file__)
    flights = [{**row, "at": seconds(row["scheduled"])} for row in read_json(data / "departures.ndjson")]
    airlines = {row["carrier"]: row["name"] for row in read_csv(data / "airlines.csv")}
    write_csv(expected / "delays.csv", list(delays(flights, read_json(data / "weather.ndjson"), airlines)))
    write_json(expected / "turnarounds.ndjson", list(turnarounds(flights)))


main()

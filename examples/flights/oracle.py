"""Computes `expected/` of this example without Millstream. `--max-delay HOURS` instead prints what another patience would give."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from oracle import DAY, HOUR, folders, mean, read_json, rfc3339, seconds, windows, with_watermark, write_csv, write_json

COLUMNS = ["flight", "carrier", "origin", "scheduled", "departed", "dep_delay"]


def departed(row):
    return None if row["departed"] is None else seconds(row["departed"])


def by_carrier(rows, size, offset, max_delay):
    """Rows grouped by carrier and window, and the rows that were late for their window."""
    groups, late = {}, []
    for row, at, watermark in with_watermark(rows, departed, max_delay):
        [start] = windows(at, size, size, offset)
        if start + size <= watermark:
            late.append({name: row[name] for name in COLUMNS})
        else:
            groups.setdefault((start, row["carrier"]), []).append(row["dep_delay"])
    return groups, late


def result(carrier, start, delays):
    return {
        "carrier": carrier,
        "flights": len(delays),
        "mean_delay": mean(delays),
        "worst": max(delays),
        "over_an_hour": sum(delay >= 60 for delay in delays),
        "window_start": rfc3339(start),
        "window_end": rfc3339(start + HOUR),
    }


def summary(rows, max_delay):
    """The table on stdout: the month by carrier."""
    groups, _ = by_carrier(rows, 31 * DAY, 20 * DAY + 5 * HOUR, max_delay)
    for (_, carrier), delays in groups.items():
        if len(delays) >= 100:
            over = sum(delay >= 60 for delay in delays)
            yield {
                "carrier": carrier,
                "flights": len(delays),
                "mean_delay": round(mean(delays), 1),
                "worst": max(delays),
                "percent_over_an_hour": round(100.0 * over / len(delays), 1),
            }


def main():
    data, expected = folders(__file__)
    rows = read_json(data / "departures.ndjson")
    if "--max-delay" in sys.argv:
        hours = int(sys.argv[sys.argv.index("--max-delay") + 1])
        groups, late = by_carrier(rows, HOUR, 0, hours * HOUR)
        print(f"max_delay {hours}h: {len(late)} late, {sum(map(len, groups.values()))} in {len(groups)} rows")
        return
    groups, late = by_carrier(rows, HOUR, 0, 6 * HOUR)
    write_csv(expected / "delays.csv", [result(carrier, start, delays) for (start, carrier), delays in groups.items()])
    write_json(expected / "late.ndjson", late)
    write_json(expected / "summary.ndjson", summary(rows, 6 * HOUR))


main()

"""What the expected outputs of the examples are computed with: the semantics of docs/semantics.md, written down again, naively.

Nothing here knows Millstream; each example's `oracle.py` is a reading of its topology with these few tools and Python's
standard library. Run one with `python3 examples/NAME/oracle.py` to write its `expected/` anew.
"""

import csv
import datetime
import json
import pathlib
from fractions import Fraction

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
MINUTE, HOUR, DAY = 60, 3600, 86400


def seconds(text):
    """RFC 3339 text as whole seconds since 1970 (no file here has fractions)."""
    return int((datetime.datetime.fromisoformat(text.replace("Z", "+00:00")) - EPOCH).total_seconds())


def rfc3339(at):
    """Whole seconds since 1970 as RFC 3339 text."""
    return (EPOCH + datetime.timedelta(seconds=at)).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_json(path):
    """The rows of a file with one JSON object a line."""
    with open(path) as lines:
        return [json.loads(line) for line in lines]


def read_csv(path):
    """The rows of a CSV file with a header; an empty field is null."""
    with open(path, newline="") as lines:
        return [{name: text or None for name, text in row.items()} for row in csv.DictReader(lines)]


def with_watermark(rows, time_of, max_delay):
    """Each row that has an event time, with that time and the watermark of its split just before the row was read."""
    greatest = None
    for row in rows:
        at = time_of(row)
        if at is None:
            continue
        yield row, at, float("-inf") if greatest is None else greatest - max_delay
        greatest = at if greatest is None else max(greatest, at)


def windows(at, size, slide, offset=0):
    """The starts of all windows [start, start + size) that contain the instant."""
    last = (at - offset) // slide * slide + offset
    return [start for start in range(last, at - size, -slide)]


def mean(values):
    """The exact mean, rounded once; null of nothing."""
    return float(Fraction(sum(values), len(values))) if values else None


def write_json(path, rows):
    """One object a line, sorted, so that a diff says what has changed."""
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(line + "\n" for line in sorted(json.dumps(row) for row in rows)))


def write_csv(path, rows):
    """A header and one line for each row, sorted."""
    path.parent.mkdir(exist_ok=True)
    text = lambda value: "" if value is None else str(value)
    lines = sorted(",".join(text(value) for value in row.values()) for row in rows)
    path.write_text("".join(line + "\n" for line in [",".join(rows[0])] + lines))


def folders(script):
    """Where the data is, and where the script's expected output goes."""
    here = pathlib.Path(script).parent
    return here.parent / "data", here / "expected"

#!/usr/bin/env python3
"""Millstream and its peers on the same Nexmark queries and the same file, in one sitting.

    benches/peers/run.py                      all engines, all queries, medians of five runs
    benches/peers/run.py --engines millstream,timely --queries q1 --runs 3
    benches/peers/run.py --report docs        writes the table into docs/performance.md as well

Needs cargo, and for Flink a JDK of version 17 and pip. All engines read the file of all events (NDJSON, the type first) with two workers;
Flink reads it dealt out to two files, as it gives a local file to one reader. They take turns, run by run. First each
result is compared: the number of rows, and a sum over them that does not depend on their order.

Time is user and system time of the whole process, from start to end; of Flink, that of a run in a JVM that has run the query
before. What is shown is million events for each second of it.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
QUERIES = ["q1", "q2", "q3", "q5_counts", "q5", "q8"]
ENGINES = ["millstream", "timely", "renoir", "flink"]
WORKERS = 2
# How often Flink runs a query before its runs count.
WARM_UP = 3
FLINK = "apache-flink-libraries==2.3.0"
# What Flink's own scripts open to it.
JAVA_OPENS = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in
              ["java.lang", "java.net", "java.io", "java.nio", "sun.nio.ch", "java.lang.reflect", "java.text", "java.time", "java.util",
               "java.util.concurrent", "java.util.concurrent.atomic", "java.util.concurrent.locks"]]
BEGIN, END = "<!-- peers: written by the command above -->", "<!-- end of peers -->"

# The number of a row of each query, as in src/result.rs.
NUMBERS = {
    "q1": lambda row: (row["auction"] * 31 + row["bidder"]) * 31 + round(float(row["price"]) * 1000),
    "q2": lambda row: row["auction"] * 31 + row["price"],
    "q3": lambda row: row["id"],
    "q5_counts": lambda row: row["auction"] * 31 + row["num"],
    "q5": lambda row: row["auction"] * 31 + row["num"],
    "q8": lambda row: row["id"],
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--queries", default=",".join(QUERIES))
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--report", type=pathlib.Path, help="folder of performance.md, to write the table there")
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "nexmark")
    arguments = parser.parse_args()
    engines, queries = arguments.engines.split(","), arguments.queries.split(",")
    data = arguments.data.resolve()
    document = arguments.report and arguments.report / "performance.md"
    if document and (BEGIN not in document.read_text() or END not in document.read_text()):
        sys.exit(f"{document} has no line `{BEGIN}` and a line `{END}`, between which to write")
    known = {"millstream": Millstream, "timely": lambda *of: Rust("timely", *of), "renoir": lambda *of: Rust("renoir", *of), "flink": Flink}
    running = {name: known[name](data, arguments.events) for name in engines}
    for query in queries:
        compare(query, running)
    rates = measure(queries, running, arguments.runs, arguments.events, data)
    text = table(queries, engines, rates)
    print(text)
    if document:
        old = document.read_text()
        document.write_text(f"{old.split(BEGIN)[0]}{BEGIN}\n\n{text}\n\n{END}{old.split(END)[1]}")


def compare(query, running):
    """Ends with an error unless all engines give the same rows."""
    answers = {name: engine.answer(query) for name, engine in running.items()}
    print(f"{query}: {answers}", file=sys.stderr)
    if len(set(answers.values())) != 1:
        sys.exit(f"{query}: the engines do not give the same")


def measure(queries, running, runs, events, data):
    """Million events for each CPU second, by query and engine; the engines take turns."""
    rates = {}
    for query in queries:
        write_anew(data, events)
        sessions = {name: engine.session(query) for name, engine in running.items()}
        seconds = {name: [] for name in running}
        for _ in range(runs):
            for name, session in sessions.items():
                seconds[name].append(next(session))
        for session in sessions.values():
            session.close()
        for name, found in seconds.items():
            rates[query, name] = events / statistics.median(found) / 1e6
        print(f"{query}: {seconds}", file=sys.stderr)
    return rates


def write_anew(data, events):
    """Puts copies in the place of the files of events. What has lain in the system's cache for a while lies there in small pages, and takes up to
    three times as long to copy out as when it has just been written in large pieces."""
    for file in [data / f"events-{events}.ndjson", *(data / f"events-{events}-by-two").glob("*.ndjson")]:
        copy = file.with_name(f"{file.name}.partial")
        with open(file, "rb") as old, open(copy, "wb", buffering=0) as new:
            shutil.copyfileobj(old, new, 1 << 20)
            # Else it would be written to disk while somebody measures.
            os.fsync(new.fileno())
        copy.replace(file)


def table(queries, engines, rates):
    """Markdown; beside each peer how many times as much Millstream does."""
    lines = ["| query | " + " | ".join(engines) + " |", "|---|" + "---:|" * len(engines)]
    for query in queries:
        cells = []
        for engine in engines:
            times = rates.get((query, "millstream"), 0) / rates[query, engine]
            shown = f"{rates[query, engine]:.2f}"
            cells.append(shown if engine == "millstream" or not times else f"{shown} (× {times:.1f})")
        lines.append(f"| {query} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def run(command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options).stdout


def cpu_seconds(command):
    """User and system time of a process."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"failed: {command}")
    return usage.ru_utime + usage.ru_stime


def numbers(query, files):
    """Rows of JSON, and the sum of their numbers."""
    rows = total = 0
    for file in files:
        with open(file) as lines:
            for line in lines:
                rows += 1
                total += NUMBERS[query](json.loads(line))
    return rows, total % 2**64


def target():
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"


class Millstream:
    """The engine of this repository, by its own benchmark."""

    def __init__(self, data, events):
        run(["cargo", "build", "--release", "--locked", "--workspace", "--bins"], cwd=ROOT)
        self.data, self.events = data, events

    def command(self, query, *more):
        return [target() / "nexmark", "--queries", query, "--modes", "merged", "--workers", str(WORKERS), "--events", str(self.events),
                "--data", self.data, *more]

    def answer(self, query):
        result = self.data / "result.ndjson"
        run(self.command(query, "--write", result))
        answer = numbers(query, [result])
        result.unlink()
        return answer

    def session(self, query):
        while True:
            yield cpu_seconds(self.command(query, "--here"))


class Rust:
    """An engine of the program `peers`."""

    def __init__(self, engine, data, events):
        # In a folder of its own in the target directory of this repository.
        run(["cargo", "build", "--release", "--locked", "--target-dir", target().parent / "peers"], cwd=HERE)
        self.engine, self.file = engine, merged(data, events)

    def command(self, query):
        return [target().parent / "peers/release/millstream-peers", self.engine, query, self.file, str(WORKERS)]

    def answer(self, query):
        rows, total = run(self.command(query)).split()
        return int(rows), int(total)

    def session(self, query):
        while True:
            yield cpu_seconds(self.command(query))


class Flink:
    """Flink SQL in one JVM; its jars come from PyPI."""

    def __init__(self, data, events):
        self.home, self.results = data / "flink", data / "flink-result"
        jars = self.home / "pyflink/lib"
        if not jars.exists():
            run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", self.home, FLINK])
        run(["javac", "-cp", f"{jars}/*", "-d", self.home, HERE / "flink/Peers.java"])
        self.java = ["java", "-Xmx4g", *JAVA_OPENS, "-cp", f"{jars}/*:{self.home}", "Peers"]
        self.events = dealt(merged(data, events), data / f"events-{events}-by-two")

    def answer(self, query):
        shutil.rmtree(self.results, ignore_errors=True)
        run([*self.java, query, self.events, self.results], input="\n")
        # What is written last keeps the name of a part that is going on until its end.
        answer = numbers(query, [file for file in self.results.rglob("*part*") if file.is_file()])
        shutil.rmtree(self.results)
        return answer

    def session(self, query):
        turns = 0
        with subprocess.Popen([*self.java, query, self.events], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            # It runs once for each line, and waits while the others have their turn.
            while True:
                process.stdin.write("\n")
                process.stdin.flush()
                seconds = float(process.stdout.readline().split()[1])
                if WARM_UP < (turns := turns + 1):
                    yield seconds


def merged(data, events):
    """The file of all events, made by Millstream's benchmark."""
    file = data / f"events-{events}.ndjson"
    if not file.exists():
        run(["cargo", "build", "--release", "--locked", "--workspace", "--bins"], cwd=ROOT)
        run([target() / "nexmark", "--queries", "q2", "--modes", "merged", "--runs", "1", "--workers", "1", "--events", str(events),
             "--data", data])
    return file


def dealt(file, folder):
    """The lines of a file by turns in as many files as there are workers, ten thousand (a second of event time) at a time."""
    if not folder.exists():
        partial = folder.with_suffix(".partial")
        partial.mkdir(parents=True, exist_ok=True)
        parts = [open(partial / f"events-{number}.ndjson", "wb") for number in range(WORKERS)]
        with open(file, "rb") as lines:
            for number, line in enumerate(lines):
                parts[number // 10_000 % WORKERS].write(line)
        for part in parts:
            part.close()
        partial.rename(folder)
    return folder


if __name__ == "__main__":
    started = time.monotonic()
    main()
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)

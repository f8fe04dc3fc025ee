#!/usr/bin/env python3
"""Compares what the topologies of this folder give with what DuckDB says to the same question on the same events.

    EVENTS=1000000 check.py MILLSTREAM FOLDER [QUERY ...]

MILLSTREAM is the binary, FOLDER takes the events and the results. For each query the rows that are left once every change is
applied must be those of `qN.sql`, as a multiset; fractions are compared to nine digits. Needs the PyPI package `duckdb`.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import duckdb

HERE = Path(__file__).resolve().parent


def run(binary, name, out):
    """Runs a topology; gives the seconds that it took."""
    started = time.monotonic()
    ended = subprocess.run([binary, "run", str(HERE / f"{name}.toml")], env={**os.environ, "OUT": str(out)}, capture_output=True, text=True)
    if ended.returncode != 0:
        sys.exit(f"{name}: exit status {ended.returncode}\n{ended.stderr}")
    return time.monotonic() - started


def read_events(database, out):
    for stream in ["person", "auction", "bid"]:
        sample = f"select * from read_json_auto('{out}/{stream}.ndjson', format = 'newline_delimited', sample_size = 1000)"
        database.execute(f"create table {stream} as {sample}")
        for column, kind in database.execute(f"select column_name, data_type from duckdb_columns() where table_name = '{stream}'").fetchall():
            if column in ("date_time", "expires") and kind != "TIMESTAMP":
                database.execute(f"alter table {stream} alter {column} type timestamp")


def rounded(column, kind):
    """A column as it is compared."""
    if kind in ("DOUBLE", "FLOAT"):
        return f"case when {column} = 0 then 0 else round({column}, 8 - cast(floor(log10(abs({column}))) as int)) end as {column}"
    return f"cast({column} as {kind}) as {column}"


def differences(database, query, out):
    """Rows of one side only: how many, and the first of each."""
    sql = (HERE / f"{query}.sql").read_text().replace("{folder}", str(HERE))
    database.execute(f"create or replace temp table expected as {sql.rstrip()}")
    columns = database.execute("describe expected").fetchall()
    kinds = {name: kind for name, kind, *_ in columns}
    compared = ", ".join(rounded(name, kind) for name, kind in kinds.items())
    names = ", ".join(kinds)
    declared = ", ".join(f"{name}: '{kind}'" for name, kind in kinds.items())
    path = f"{out}/{query}.ndjson"
    with open(path) as result:
        updating = '"_weight"' in result.readline()
    weight = ", _weight: 'BIGINT'" if updating else ""
    read = f"read_json('{path}', format = 'newline_delimited', columns = {{{declared}{weight}}})"
    if updating:
        # Each row as often as its weights say; a sum below nothing shows as a row that is missing.
        left = f"select {names}, sum(_weight) as n from {read} group by all having n <> 0"
        if database.execute(f"select count(*) from ({left}) where n < 0").fetchall()[0][0]:
            return f"{query}: a row is withdrawn that was never there"
        found = f"select {names} from ({left}), range(cast(n as bigint))"
    else:
        found = f"select {names} from {read}"
    database.execute(f"create or replace temp table found as select {compared} from ({found})")
    database.execute(f"create or replace temp table wanted as select {compared} from expected")
    missing = database.execute("from wanted except all from found").fetchall()
    unexpected = database.execute("from found except all from wanted").fetchall()
    rows = database.execute("select count(*) from wanted").fetchall()[0][0]
    if rows == 0:
        return f"{query}: DuckDB gives no row, so that nothing is compared"
    if missing or unexpected:
        return f"{query}: of {rows} rows {len(missing)} missing, such as {missing[:1]}; {len(unexpected)} unexpected, such as {unexpected[:1]}"
    print(f"{query}: {rows} rows as in DuckDB", end="")
    return None


def main():
    binary, out = sys.argv[1], Path(sys.argv[2]).resolve()
    queries = sys.argv[3:] or sorted((path.stem for path in HERE.glob("q*.toml")), key=lambda name: int(name[1:]))
    out.mkdir(parents=True, exist_ok=True)
    run(binary, "events", out)
    database = duckdb.connect()
    read_events(database, out)
    wrong = []
    for query in queries:
        seconds = run(binary, query, out)
        difference = differences(database, query, out)
        if difference is None:
            print(f" ({seconds:.1f} s)")
        else:
            print(difference)
            wrong.append(query)
    if wrong:
        sys.exit(f"wrong: {', '.join(wrong)}")
    print(f"{len(queries)} passed, 0 failed")


main()

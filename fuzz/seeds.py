"""Writes what the fuzz targets start from into fuzz/corpus: the topologies, expressions and rows that are in the repository.

Run it anywhere: `python3 fuzz/seeds.py`. It only adds files.
"""

import hashlib
import json
import pathlib
import re
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
CORPUS = ROOT / "fuzz" / "corpus"

# Kinds of expressions, as the target `expression` numbers them.
VALUE, CONDITION, ITEM, ORDER, AGGREGATE = range(5)


def write(target: str, data: bytes) -> None:
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


def topologies():
    for folder in ("examples", "config", "framework/cli/tests"):
        for path in sorted((ROOT / folder).rglob("*.toml")):
            if path.name != "Cargo.toml":
                yield path.read_text(encoding="utf-8", errors="replace")


def within_reach(text: str) -> str:
    """The same topology over the files that the target has."""
    text = re.sub(r'"[^"]*\.(ndjson|jsonl)"', '"data/rows.ndjson"', text)
    return re.sub(r'"[^"]*\.csv"', '"data/rows.csv"', text)


def yaml(value, indent: int = 0) -> str:
    """A value in block style; texts and numbers as in JSON, which YAML understands."""
    pad = "  " * indent
    if isinstance(value, dict) and value:
        return "".join(f"\n{pad}{json.dumps(key)}: {yaml(item, indent + 1)}" for key, item in value.items())
    if isinstance(value, list) and value:
        return "".join(f"\n{pad}- {yaml(item, indent + 1)}" for item in value)
    return json.dumps(value, ensure_ascii=False, default=str)


def seed_topologies() -> None:
    for text in topologies():
        text = within_reach(text)
        write("topology_file", b"\0" + text.encode())
        try:
            tree = tomllib.loads(text)
        except tomllib.TOMLDecodeError:
            continue
        write("topology_file", b"\1" + yaml(tree).lstrip("\n").encode())
        write("topology_file", b"\2" + json.dumps(tree, indent=1, ensure_ascii=False, default=str).encode())


def texts(value, key: str = ""):
    """All texts of a tree with their keys."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from texts(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item, key)
    elif isinstance(value, str):
        yield key, value


def seed_expressions() -> None:
    kinds = {"where": [CONDITION], "having": [CONDITION], "on": [CONDITION], "columns": [ITEM], "order": [ORDER], "compute": [AGGREGATE],
             "by": [VALUE, ITEM]}
    # Columns of the target in the place of those of the topology, so that most are typed.
    numbers = ["n", "m", "small", "i", "d", "dec"]
    for text in topologies():
        try:
            found = list(texts(tomllib.loads(text)))
        except tomllib.TOMLDecodeError:
            continue
        for key, expression in found:
            for kind in kinds.get(key, []):
                write("expression", bytes([kind]) + expression.encode())
                names = iter(numbers * 20)
                typed = re.sub(r"\b(?!count|as|and|or|not|sum|avg|min|max|case|when|then|else|end|null|is|in|like)[a-z_]+\b(?!\s*\()(?!')",
                               lambda _: next(names), expression)
                write("expression", bytes([kind]) + typed.encode())
    rust = (ROOT / "framework/expr/tests/scalar").glob("*.rs")
    for path in sorted(rust):
        for expression in re.findall(r'"((?:[^"\\\n]|\\.)+)"', path.read_text(encoding="utf-8")):
            expression = expression.replace('\\"', '"').replace("\\\\", "\\")
            expression = re.sub(r"#[a-z]", lambda hole: {"#n": "n", "#t": "s", "#z": "ts", "#i": "interval '1 day'", "#d": "d",
                                                        "#c": "b"}.get(hole.group(), "n"), expression)
            write("expression", bytes([VALUE]) + expression.encode())
    for function in ["count(*)", "count(n)", "count(distinct s)", "sum(n)", "sum(dec)", "avg(d)", "min(s)", "max(ts)", "first_value(n)",
                     "last_value(s)", "stddev(n)", "variance(d)", "median(n)", "approx_distinct(s)", "approx_percentile_cont(d, 0.9)",
                     "array_agg(n order by s desc)", "string_agg(s, ',')", "bool_and(b)", "bool_or(b)", "sum(n) filter (where n > 1)"]:
        write("expression", bytes([AGGREGATE]) + f"{function} as x".encode())


def seed_rows() -> None:
    good = ['{"a":1,"b":"x","c":1.5,"d":true,"e":"2013-01-01T10:00:00Z"}', '{"a":-9223372036854775808,"c":1e308,"d":false}',
            '{"f":1357034400000,"g":"1.234","h":{"x":[1,null]},"i":[1,2,null],"j":{"a":1,"b":["x"]},"k":"2013-01-01"}',
            '{"l":"00ff","m":-32768,"n":0.1,"o":"90m","z":"\\u00e9\\n"}', '{"a":"x","a":1}', '{ "a" : 1 , "b" : "äö" }\r', "{", "[]", "", "null"]
    write("json_decoder", "\n".join(good).encode())
    for line in good:
        write("json_decoder", "\n".join([line] * 3).encode())
    for path in sorted(ROOT.rglob("*.ndjson")):
        if "target" not in path.parts:
            write("json_decoder", b"\n".join(path.read_bytes().split(b"\n")[:4]))
    fields = [["1", "2.5", "2013-01-01T10:00:00Z", "1.234", "[1,2]", '{"x":1}', "2013-01-01", "true", "90m", "1357034400", '{"a":1}', "00ff"],
              ["x", "", "yz"], ["a,b", 'quo"te', "line\nend"], ["", "äö", "'"]]
    def field(text: str) -> str:
        plain = not text or all(special not in text for special in ',"\n')
        return text if plain else '"' + text.replace('"', '""') + '"'
    lines = [",".join(map(field, record)) for record in fields]
    write("csv_decoder", "\n".join(lines).encode())
    write("csv_decoder", "\n".join([lines[0]] * 3).encode())
    write("csv_decoder", "\r\n".join(lines[1:]).encode())


if __name__ == "__main__":
    seed_topologies()
    seed_expressions()
    seed_rows()
    for folder in sorted(CORPUS.iterdir()):
        print(folder.name, sum(1 for _ in folder.iterdir()))

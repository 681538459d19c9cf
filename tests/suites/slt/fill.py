#!/usr/bin/env python3
"""Makes the .slt files: what each query must answer is what DuckDB answers.

    pip install duckdb==2.0.0 && tests/suites/slt/fill.py

A file is described in `cases.py` by its statements in steps and by its queries, which are asked after
each step. The files are what the tests read; this is only how they were made.
"""

import datetime
import sys
from pathlib import Path

import duckdb

sys.dont_write_bytecode = True
from cases import CASES  # noqa: E402

HERE = Path(__file__).resolve().parent


def main():
    for case in CASES:
        lines = [f"# {case.about}", ""]
        database = duckdb.connect()
        for step in case.steps:
            for statement in step:
                database.execute(statement)
                lines += ["statement ok", statement, ""]
            lines += ["statement ok", "FLUSH", ""]
            for query in case.queries:
                answer = database.execute(query)
                types = "".join(kind(column[1]) for column in answer.description)
                rows = ["  ".join(text(value) for value in row) for row in answer.fetchall()]
                lines += [f"query {types} rowsort", query, "----", *sorted(rows), ""]
        (HERE / f"{case.name}.slt").write_text("\n".join(lines))


def kind(type):
    name = str(type)
    if name in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"):
        return "I"
    return "R" if name in ("FLOAT", "DOUBLE") or name.startswith("DECIMAL") else "T"


def text(value):
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, float):
        return str(int(value)) if value == int(value) else repr(value)
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")
    if isinstance(value, list):
        return "{" + ",".join(text(one) for one in value) + "}"
    return str(value) or "(empty)"


if __name__ == "__main__":
    main()

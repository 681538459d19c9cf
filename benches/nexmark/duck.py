"""Answers NEXMark queries by DuckDB: duck.py FOLDER, with a Parquet file a table and a .sql file a query.

Prints a line a query: its name, the rows of the answer, and the seconds that they took on one thread.
"""

import re
import sys
import time
from pathlib import Path

import duckdb

# What DuckDB calls by another name.
WORDS = [
    (r"date_bin\(INTERVAL '10 seconds', ", "time_bucket(INTERVAL '10 seconds', "),
    (r"date_bin\(INTERVAL '2 seconds', ", "time_bucket(INTERVAL '2 seconds', "),
    (r"to_char\(", "strftime("),
    (r"regexp_match\(url, '([^']*)'\)\[2\] IS NOT NULL", r"regexp_matches(url, '\1')"),
    (r"regexp_match\(url, '([^']*)'\)\[2\]", r"regexp_extract(url, '\1', 2)"),
    (r"character_length\(", "length("),
]


def main():
    folder = Path(sys.argv[1])
    database = duckdb.connect()
    database.execute("SET threads = 1")
    for path in folder.glob("*.parquet"):
        database.execute(f"CREATE TABLE {path.stem} AS SELECT * FROM '{path}'")
    for path in sorted(folder.glob("*.sql")):
        query = path.read_text().split(" AS\n", 1)[1].rstrip().rstrip(";")
        for theirs, ours in WORDS:
            query = re.sub(theirs, ours, query)
        start = time.monotonic()
        database.execute(f"CREATE OR REPLACE TABLE answer AS {query}")
        seconds = time.monotonic() - start
        rows = database.execute("SELECT count(*) FROM answer").fetchone()[0]
        print(path.stem, rows, f"{seconds:.6f}")


if __name__ == "__main__":
    main()

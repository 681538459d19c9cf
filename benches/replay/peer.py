"""Runs in the virtual environment of the peers: asks one of them a question, and prints JSON.

    peer.py duckdb|polars CASE FORMAT DATA CORES
    peer.py convert DATA            makes CSV and Parquet of the generated JSON lines, by DuckDB
"""

import json
import os
import sys
import time
from pathlib import Path

from cases import CASES, PARTS, normal

COLUMNS = {
    "events": {
        "event": "VARCHAR", "user_id": "VARCHAR", "product_id": "VARCHAR", "category": "VARCHAR",
        "price": "DECIMAL(18,2)", "quantity": "INTEGER", "timestamp": "TIMESTAMP"},
    "products": {"product_id": "VARCHAR", "category": "VARCHAR", "timestamp": "TIMESTAMP"},
    "stock_movements": {"product_id": "VARCHAR", "change": "INTEGER", "location": "VARCHAR"},
}
# The columns of the events that a question reads.
READ = {
    "a": ["event", "category", "price", "quantity"],
    "b": ["event", "user_id", "product_id", "category", "price", "quantity", "timestamp"],
    "c": ["product_id", "price", "quantity"],
    "d": ["event", "user_id", "price", "quantity"],
}

DUCKDB = {
    "revenue_by_category": """
        SELECT category, sum(price * quantity), count(*)
        FROM events WHERE event = 'purchase' GROUP BY category""",
    "sales_by_category_and_hour": """
        SELECT category, date_trunc('hour', timestamp), sum(price * quantity), sum(quantity), count(*)
        FROM events WHERE event = 'purchase' GROUP BY ALL""",
    "top_products": """
        SELECT product_id, sum(price * quantity) AS revenue, sum(quantity)
        FROM events WHERE event = 'purchase' GROUP BY product_id
        ORDER BY revenue DESC, product_id LIMIT 10""",
    "inventory_by_location": """
        SELECT location, sum(units), sum(movements), count(*) FILTER (units < 0)
        FROM (SELECT location, product_id, sum(change) AS units, count(*) AS movements
              FROM stock_movements GROUP BY ALL)
        GROUP BY location""",
    "behaviour_by_hour": """
        SELECT date_trunc('hour', timestamp), count(*) FILTER (event = 'view'),
          count(*) FILTER (event = 'add_to_cart'), count(*) FILTER (event = 'purchase')
        FROM events GROUP BY ALL""",
    "users_by_event": """
        SELECT event, count(DISTINCT user_id), count(*) FROM events GROUP BY event""",
    "revenue_by_current_category": """
        SELECT p.category, sum(e.price * e.quantity), count(*)
        FROM events e JOIN (
          SELECT product_id, arg_max(category, timestamp) AS category FROM products GROUP BY product_id
        ) p ON p.product_id = e.product_id
        GROUP BY p.category""",
    "users": """
        SELECT user_id, count(*), count(*) FILTER (event = 'purchase'),
          sum(price * quantity) FILTER (event = 'purchase')
        FROM events GROUP BY user_id""",
}


def paths(case, folder, form, table):
    return [str(path) for name, path in CASES[case].inputs(folder, form) if name == table]


def relation(table, files, form, columns):
    """A table function of DuckDB that reads some columns of a table."""
    types = {name: COLUMNS[table][name] for name in columns}
    if form == "jsonl":
        return f"read_json({files}, format = 'newline_delimited', columns = {types})"
    if form == "csv":
        return f"read_csv({files}, header = true, columns = {COLUMNS[table]})"
    return f"read_parquet({files})"


def ask_duckdb(case, form, data, cores):
    import duckdb

    start = time.monotonic()
    connection = duckdb.connect(config={"threads": cores, "preserve_insertion_order": "false"})
    # Several questions to text are quicker if it is read into a table once; Parquet is read as often
    # as it is asked, and so is what is asked once.
    kept = len(CASES[case].views) > 1 and form != "parquet"
    for table in CASES[case].tables:
        columns = READ[case] if table == "events" else list(COLUMNS[table])
        source = relation(table, paths(case, data / form, form, table), form, columns)
        made = "TEMP TABLE" if kept else "TEMP VIEW"
        connection.execute(f"CREATE {made} {table} AS SELECT {', '.join(columns)} FROM {source}")
    answers = {view: connection.execute(DUCKDB[view]).fetchall() for view in CASES[case].views}
    return time.monotonic() - start, answers


def ask_polars(case, form, data, cores):
    os.environ["POLARS_MAX_THREADS"] = str(cores)
    import polars as pl

    start = time.monotonic()
    questions = polars_questions(pl, case, form, data)
    answers = pl.collect_all(list(questions.values()), engine="streaming")
    return time.monotonic() - start, {
        view: answer.rows() for view, answer in zip(questions, answers)}


def polars_questions(pl, case, form, data):
    """The same questions as lazy frames. Polars reads decimals of text as doubles here."""
    types = {"VARCHAR": pl.String, "DECIMAL(18,2)": pl.Float64, "INTEGER": pl.Int64, "TIMESTAMP": pl.String}

    def scan(table):
        files = paths(case, data / form, form, table)
        schema = {name: types[kind] for name, kind in COLUMNS[table].items()}
        if form == "jsonl":
            if table == "events":
                schema = {name: schema[name] for name in READ[case]}
            return pl.scan_ndjson(files, schema=schema)
        if form == "csv":
            return pl.scan_csv(files, schema=schema)
        return pl.scan_parquet(files)

    def hour():
        if form == "parquet":
            return pl.col("timestamp").dt.truncate("1h")
        return pl.col("timestamp").str.slice(0, 13) + ":00:00"

    events = scan("events").select(READ[case])
    sales = events.filter(pl.col("event") == "purchase")
    value = pl.col("price") * pl.col("quantity")
    is_sale = pl.col("event") == "purchase"
    made = {
        "revenue_by_category": lambda: sales.group_by("category").agg(value.sum(), pl.len()),
        "sales_by_category_and_hour": lambda: sales.group_by("category", hour().alias("hour")).agg(
            value.sum(), pl.col("quantity").sum(), pl.len()),
        "top_products": lambda: sales.group_by("product_id").agg(
            value.sum().alias("revenue"), pl.col("quantity").sum()).sort(
            "revenue", "product_id", descending=[True, False]).head(10),
        "inventory_by_location": lambda: scan("stock_movements").group_by("location", "product_id").agg(
            pl.col("change").sum().alias("units"), pl.len().alias("movements")).group_by("location").agg(
            pl.col("units").sum(), pl.col("movements").sum(), (pl.col("units") < 0).sum().alias("short")),
        "behaviour_by_hour": lambda: events.group_by(hour().alias("hour")).agg(
            (pl.col("event") == "view").sum().alias("views"),
            (pl.col("event") == "add_to_cart").sum().alias("carts"),
            is_sale.sum().alias("purchases")),
        "users_by_event": lambda: events.group_by("event").agg(pl.col("user_id").n_unique(), pl.len()),
        "revenue_by_current_category": lambda: events.join(
            scan("products").group_by("product_id").agg(
                pl.col("category").sort_by("timestamp").last()),
            on="product_id").group_by("category").agg(value.sum(), pl.len()),
        "users": lambda: events.group_by("user_id").agg(
            pl.len(), is_sale.sum().alias("purchases"),
            pl.when(is_sale.any()).then(value.filter(is_sale).sum()).alias("spent")),
    }
    return {view: made[view]() for view in CASES[case].views}


def convert(data):
    """Writes every generated file as CSV and as Parquet."""
    import duckdb

    connection = duckdb.connect()
    for table, columns in COLUMNS.items():
        for stem in [table] + [f"{table}-{part:02}" for part in range(PARTS)]:
            source = data / "jsonl" / f"{stem}.jsonl"
            if not source.exists():
                continue
            read = relation(table, [str(source)], "jsonl", columns)
            text = ", ".join(
                f"strftime({name}, '%Y-%m-%dT%H:%M:%S.%gZ') AS {name}" if kind == "TIMESTAMP" else name
                for name, kind in columns.items())
            for form, select, how in [
                ("csv", text, "FORMAT csv, HEADER"),
                ("parquet", "*", "FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880"),
            ]:
                target = data / form / f"{stem}.{form}"
                target.parent.mkdir(exist_ok=True)
                connection.execute(f"COPY (SELECT {select} FROM {read}) TO '{target}' ({how})")


def main():
    what, *rest = sys.argv[1:]
    if what == "convert":
        return convert(Path(rest[0]))
    case, form, data, cores = rest[0], rest[1], Path(rest[2]), int(rest[3])
    ask = {"duckdb": ask_duckdb, "polars": ask_polars}[what]
    seconds, answers = ask(case, form, data, cores)
    peak_mib = peak()
    answers = {view: [[normal(v) for v in row] for row in rows] for view, rows in answers.items()}
    json.dump({"seconds": seconds, "peak_mib": peak_mib, "answers": answers}, sys.stdout)


def peak():
    """The most memory that this process has had, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    main()

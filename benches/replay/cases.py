"""The questions that are timed, and the form in which answers are compared."""

from decimal import Decimal
from pathlib import Path

PARTS = 10


class Case:
    """A question: a script, the views that answer it, and where its tables are read from."""

    def __init__(self, title, script, views, tables, parts=False):
        self.title, self.script, self.views = title, script, views
        self.tables, self.parts = tables, parts

    def inputs(self, folder: Path, form):
        """Tables with their files, in the order in which they arrive."""
        if not self.parts:
            return [(table, folder / f"{table}.{form}") for table in self.tables]
        return [
            (table, folder / f"{table}-{part:02}.{form}")
            for part in range(PARTS)
            for table in self.tables
        ]


CASES = {
    "a": Case(
        "one aggregate", "aggregate.sql", ["revenue_by_category"], ["events"]),
    "b": Case(
        "three subjects", "subjects.sql",
        ["sales_by_category_and_hour", "top_products", "inventory_by_location", "behaviour_by_hour",
         "users_by_event"],
        ["events", "stock_movements"]),
    # Products are re-filed between one part of the events and the next.
    "c": Case(
        "join with re-filed products", "join.sql", ["revenue_by_current_category"],
        ["products", "events"], parts=True),
    "d": Case(
        "100,000 users", "users.sql", ["users"], ["events"]),
}


def normal(value):
    """A value as text that does not depend on who wrote it: numbers to the cent, times to the second."""
    if value is None:
        return ""
    if hasattr(value, "isoformat"):
        return value.isoformat(sep=" ")[:19]
    if isinstance(value, (int, float, Decimal)):
        return number(value)
    text = str(value)
    if len(text) >= 19 and text[4] == "-" and text[10] in "T ":
        return text[:19].replace("T", " ")
    try:
        return number(text)
    except ArithmeticError:
        return text


def number(value):
    return str(Decimal(str(value)).quantize(Decimal("0.01")).normalize() + 0)

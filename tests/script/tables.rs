//! `CREATE TABLE`: types, keys and clauses.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};

use crate::{check_fault, faults, names, script};

#[test]
fn types_are_those_of_the_planner() {
    let list = |inner| DataType::List(Arc::new(Field::new("item", inner, true)));
    let cases = [
        ("BOOLEAN", DataType::Boolean),
        ("bool", DataType::Boolean),
        ("TINYINT", DataType::Int8),
        ("SMALLINT", DataType::Int16),
        ("INT", DataType::Int32),
        ("INTEGER", DataType::Int32),
        ("BIGINT", DataType::Int64),
        ("REAL", DataType::Float32),
        ("FLOAT", DataType::Float32),
        ("DOUBLE", DataType::Float64),
        ("DOUBLE PRECISION", DataType::Float64),
        ("TEXT", DataType::Utf8),
        ("VARCHAR", DataType::Utf8),
        ("STRING", DataType::Utf8),
        ("DATE", DataType::Date32),
        ("TIMESTAMP", DataType::Timestamp(TimeUnit::Nanosecond, None)),
        (
            "TIMESTAMP WITHOUT TIME ZONE",
            DataType::Timestamp(TimeUnit::Nanosecond, None),
        ),
        ("DECIMAL", DataType::Decimal128(38, 10)),
        ("DECIMAL(12)", DataType::Decimal128(12, 0)),
        ("DECIMAL(18, 2)", DataType::Decimal128(18, 2)),
        ("NUMERIC(38, 38)", DataType::Decimal128(38, 38)),
        ("TEXT[]", list(DataType::Utf8)),
        ("INT[][]", list(list(DataType::Int32))),
        ("ARRAY<BIGINT>", list(DataType::Int64)),
        ("ARRAY<ARRAY<DATE>>", list(list(DataType::Date32))),
        (
            "STRUCT<Sku TEXT, \"Net Price\": DECIMAL(9, 2), tags ARRAY<TEXT>>[]",
            list(DataType::Struct(Fields::from(vec![
                Field::new("sku", DataType::Utf8, true),
                Field::new("Net Price", DataType::Decimal128(9, 2), true),
                Field::new("tags", list(DataType::Utf8), true),
            ]))),
        ),
    ];
    for (sql, expected) in cases {
        let script = script(&format!("CREATE TABLE t (c {sql} NOT NULL, d INT);"));
        assert_eq!(script.tables[0].columns[0].data_type, expected, "{sql}");
        assert!(!script.tables[0].columns[0].nullable, "{sql}");
        assert_eq!(
            script.tables[0].schema().field(0).data_type(),
            &expected,
            "{sql}"
        );
    }
}

#[test]
fn types_that_are_not_supported_say_what_to_write() {
    let cases = [
        (
            "VARCHAR(20)",
            "write TEXT: the length of a text is not checked",
        ),
        ("CHAR(2)", "write TEXT: the length of a text is not checked"),
        ("UUID", "write TEXT"),
        ("INT(11)", "write INT without a number"),
        (
            "INT UNSIGNED",
            "write BIGINT, or DECIMAL(20, 0) for numbers beyond it",
        ),
        ("TIMESTAMP(3)", "write TIMESTAMP: it keeps nanoseconds"),
        ("DATETIME", "write TIMESTAMP: it keeps nanoseconds"),
        (
            "TIMESTAMPTZ",
            "write TIMESTAMP: times with an offset are read as UTC",
        ),
        (
            "TIMESTAMP WITH TIME ZONE",
            "write TIMESTAMP: times with an offset are read as UTC",
        ),
        (
            "INT[3]",
            "write [] without a number: an array has any length",
        ),
        ("STRUCT", "write STRUCT<name type, ...>"),
        ("TIME", "write TEXT, or TIMESTAMP if it has a date"),
    ];
    for (sql, help) in cases {
        let found = faults(&format!("CREATE TABLE t (c {sql}, d INT);"));
        assert_eq!(found.faults.len(), 1, "{found}");
        assert!(found.faults[0].message.starts_with("type "), "{found}");
        assert!(
            found.faults[0].message.ends_with(" is not supported"),
            "{found}"
        );
        assert_eq!(found.faults[0].help.as_deref(), Some(help), "{found}");
        assert_eq!(
            (found.faults[0].origin.column, found.faults[0].length),
            (19, sql.len())
        );
    }
    let found = faults("CREATE TABLE t (c TXT, d MONEY, j JSON);");
    let helps = found
        .faults
        .iter()
        .map(|fault| fault.help.as_deref().unwrap_or_default());
    let helps = helps.collect::<Vec<_>>();
    assert!(
        helps[0].starts_with("write TEXT; the types are BOOLEAN, TINYINT"),
        "{found}"
    );
    assert!(
        helps[1].starts_with("the types are BOOLEAN, TINYINT"),
        "{found}"
    );
    assert!(
        helps[2].starts_with("write STRUCT<name type, ...> with the fields"),
        "{found}"
    );
}

#[test]
fn wrong_digits_and_structures_are_refused() {
    check_fault(
        "CREATE TABLE t (c «DECIMAL(39, 2)»);",
        "a DECIMAL cannot have 39 digits",
        "write a precision from 1 to 38",
    );
    check_fault(
        "CREATE TABLE t (c «DECIMAL(5, 6)»);",
        "a DECIMAL of 5 digits cannot have 6 of them after the point",
        "write a scale from 0 to 5",
    );
    check_fault(
        "CREATE TABLE t (c «STRUCT<INT>»);",
        "a field of type INT has no name",
        "write STRUCT<name type, ...>",
    );
    check_fault(
        "CREATE TABLE t (c «STRUCT<a INT, A TEXT>»);",
        "the structure has two fields `a`",
        "give one of them another name",
    );
}

#[test]
fn keys_make_columns_not_null_and_tables_upserted() {
    let script = script(
        "CREATE TABLE a (id TEXT PRIMARY KEY, n INT NULL);
         CREATE TABLE b (x TEXT, y INT NOT NULL, z DATE, CONSTRAINT k PRIMARY KEY (z, x));
         CREATE TABLE c (\"Group\" TEXT, Other INT COMMENT 'what else');",
    );
    let nullable = |table: usize| {
        script.tables[table]
            .columns
            .iter()
            .map(|column| column.nullable)
            .collect::<Vec<_>>()
    };
    assert_eq!(script.tables[0].primary_key, [0]);
    assert_eq!(nullable(0), [false, true]);
    assert_eq!(script.tables[1].primary_key, [2, 0]);
    assert_eq!(nullable(1), [false, false, false]);
    assert!(script.tables[2].is_append_only() && !script.tables[1].is_append_only());
    let columns = &script.tables[2].columns;
    assert_eq!(
        names(columns.iter().map(|column| &column.name)),
        ["Group", "other"]
    );
    assert_eq!(columns[1].comment.as_deref(), Some("what else"));
    assert_eq!(
        script.table("c").map(|(at, table)| (at, table.origin.line)),
        Some((2, 3))
    );
    assert!(script.table("C").is_none());
}

#[test]
fn tables_that_are_wrong_are_refused() {
    check_fault(
        "CREATE TABLE t (a INT, b TEXT, «a» DATE);",
        "table `t` has two columns `a`",
        "leave one out, or rename it",
    );
    check_fault(
        "CREATE TABLE t (a INT PRIMARY KEY, b INT «PRIMARY KEY»);",
        "the table has two primary keys",
        "write PRIMARY KEY (a, b) once, after the columns",
    );
    check_fault(
        "CREATE TABLE t (order_id INT, PRIMARY KEY («ordr_id»));",
        "table `t` has no column `ordr_id`",
        "write `order_id`",
    );
    check_fault(
        "CREATE TABLE t (a INT, b«)»;",
        "expected the column's type, found `)`",
        "write b TEXT, or another type",
    );
}

#[test]
fn clauses_of_other_systems_say_why_they_are_refused() {
    let cases = [
        (
            "a INT «DEFAULT» 3",
            "DEFAULT",
            "a field that a record lacks is NULL",
        ),
        (
            "a INT «UNIQUE»",
            "UNIQUE",
            "write PRIMARY KEY if a later row replaces",
        ),
        (
            "a INT «CHECK» (a > 0)",
            "CHECK",
            "rows are not refused for their values",
        ),
        (
            "a INT «REFERENCES» o (x)",
            "REFERENCES",
            "events arrive in any order",
        ),
        (
            "a INT, «FOREIGN KEY» (a) REFERENCES o (x)",
            "FOREIGN KEY",
            "events arrive in any order",
        ),
        (
            "a INT, «CONSTRAINT u UNIQUE» (a)",
            "UNIQUE",
            "write PRIMARY KEY if a later row",
        ),
        (
            "a INT «GENERATED» ALWAYS AS (1)",
            "GENERATED",
            "a table holds what records say",
        ),
    ];
    for (columns, clause, reason) in cases {
        let marked = format!("CREATE TABLE t ({columns}, z TEXT) WITH (dedup = 'z');");
        let found = faults(&marked.replace(['«', '»'], ""));
        let help = found.faults[0].help.clone().unwrap_or_default();
        assert!(help.contains(reason), "{found}");
        check_fault(
            &marked,
            &format!("{clause} is not supported in a table"),
            &help,
        );
    }
}

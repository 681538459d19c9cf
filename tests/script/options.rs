//! The options of tables.

use tillrace::script::{Dedup, TimeUnit};

use crate::{check_fault, script};

/// A fault of a table with the columns `id TEXT, at TIMESTAMP, day DATE, price DECIMAL(18, 2), gone
/// BOOLEAN` and the given options.
#[track_caller]
fn check_option_fault(options: &str, message: &str, help: &str) {
    let table = format!("CREATE TABLE t ({COLUMNS}) WITH ({options});");
    check_fault(&table, message, help);
}

const COLUMNS: &str = "id TEXT, at TIMESTAMP, day DATE, price DECIMAL(18, 2), gone BOOLEAN";

#[test]
fn options_of_tables_are_resolved() {
    let script = script(&format!(
        "CREATE TABLE seen ({COLUMNS}) WITH (
             event_time = 'At', dedup = 'id, \"day\"', dedup_horizon = '1 week 12 hours', time_unit = 's',
             fields = 'id = event_id | \"event id\", at = meta.sent.at, price = Price | \"it''s.\"\"x\"\".y\"'
         );
         CREATE TABLE kept (id TEXT PRIMARY KEY, gone BOOLEAN, at DATE)
             WITH (deleted = 'gone', event_time = 'at');"
    ));
    let seen = &script.tables[0];
    assert_eq!(seen.options.event_time, Some(1));
    let dedup = Dedup {
        columns: vec![0, 2],
        horizon_ms: Some(7 * 86_400_000 + 12 * 3_600_000),
    };
    assert_eq!(seen.options.dedup, Some(dedup));
    assert_eq!(seen.options.time_unit, TimeUnit::Seconds);
    assert_eq!(seen.columns[0].paths, [["event_id"], ["event id"]]);
    assert_eq!(seen.columns[1].paths, [["meta", "sent", "at"]]);
    assert_eq!(
        seen.columns[2].paths,
        [["day"]],
        "not named, so read from its own name"
    );
    assert_eq!(seen.columns[3].paths, [["Price"], ["it's.\"x\".y"]]);
    let kept = &script.tables[1];
    assert_eq!(
        (kept.options.deleted, kept.options.event_time),
        (Some(1), Some(2))
    );
    assert_eq!(kept.options.time_unit, TimeUnit::Milliseconds);
}

#[test]
fn horizons_have_units() {
    let horizon = |text: &str| {
        let script = script(&format!(
            "CREATE TABLE t ({COLUMNS}) WITH (event_time = 'at', dedup = 'id', dedup_horizon = '{text}');"
        ));
        script.tables[0]
            .options
            .dedup
            .clone()
            .and_then(|dedup| dedup.horizon_ms)
    };
    assert_eq!(horizon("90s"), Some(90_000));
    assert_eq!(horizon("250 ms"), Some(250));
    assert_eq!(
        horizon("1 Day 2 hours 3 min"),
        Some(86_400_000 + 7_200_000 + 180_000)
    );
    let options =
        |horizon: &str| format!("event_time = 'at', dedup = 'id', dedup_horizon = '{horizon}'");
    check_option_fault(
        &options("7 «dayz»"),
        "`dayz` is no unit of time",
        "write days",
    );
    check_option_fault(
        &options("2 «months»"),
        "`months` is no unit of time",
        "months and years differ in length: write days",
    );
    check_option_fault(
        &options("«d»ays"),
        "expected a whole number, found `d`",
        "write it like '7 days', '12 hours' or '90 seconds'",
    );
    check_option_fault(
        "event_time = 'at', dedup = 'id', dedup_horizon = «'0 days'»",
        "the horizon is zero, so nothing would be remembered",
        "write it like '7 days', '12 hours' or '90 seconds'",
    );
    check_option_fault(
        "event_time = 'at', dedup = 'id', dedup_horizon = «'99999999999 weeks'»",
        "the horizon is too long",
        "leave it out to remember ids for ever",
    );
    check_option_fault(
        "event_time = 'at', «dedup_horizon» = '7 days'",
        "there is no dedup for this horizon",
        "add dedup = 'column', or leave the horizon out",
    );
    check_option_fault(
        "dedup = 'id', «dedup_horizon» = '7 days'",
        "a horizon needs the time of events",
        "add event_time = 'column': a horizon is counted back from the newest event time",
    );
}

#[test]
fn options_that_are_wrong_are_refused() {
    check_option_fault(
        "«evnt_time» = 'at'",
        "a table has no option `evnt_time`",
        "write `event_time`",
    );
    check_option_fault(
        "«colour» = 'red'",
        "a table has no option `colour`",
        "the options of a table are `event_time`, `dedup`, `dedup_horizon`, `deleted`, \
         `time_unit`, `fields` and `held`",
    );
    check_option_fault(
        "dedup = 'id', «dedup» = 'at'",
        "option `dedup` is given twice",
        "leave one of them out",
    );
    check_option_fault(
        "event_time = «at»",
        "expected a value in single quotes, found `at`",
        "write it in single quotes: 'at'",
    );
    check_option_fault(
        "event_time «'at'»",
        "expected `=`, found `'at'`",
        "write event_time = '...'",
    );
    check_option_fault(
        "event_time = '«att»'",
        "table `t` has no column `att`",
        "write `at`",
    );
    check_option_fault(
        "event_time = '«price»'",
        "column `price` holds no time, so it cannot be the event time",
        "give the column the type TIMESTAMP or DATE, or name another one",
    );
    check_option_fault(
        "dedup = 'id, «prise»'",
        "table `t` has no column `prise`",
        "write `price`",
    );
    check_option_fault(
        "dedup = 'id, «id»'",
        "column `id` is named twice",
        "leave it out once",
    );
    check_option_fault(
        "dedup = 'id «a»t'",
        "expected `,`, found `a`",
        "write the columns with commas between them: 'a, b'",
    );
    check_option_fault(
        "«deleted» = 'gone'",
        "table `t` has no primary key to delete by",
        "give the table a PRIMARY KEY, which says what row is deleted",
    );
    check_option_fault(
        "time_unit = «'minutes'»",
        "`minutes` is no unit of time",
        "the units are `s`, `ms`, `us` and `ns`",
    );
    check_fault(
        "CREATE TABLE t (id TEXT PRIMARY KEY, at TIMESTAMP) WITH («dedup» = 'id');",
        "table `t` has a primary key",
        "leave dedup out: a row that repeats an earlier one replaces it, which changes nothing",
    );
    check_fault(
        "CREATE TABLE t (id TEXT PRIMARY KEY, at TIMESTAMP) WITH (deleted = '«at»');",
        "column `at` is not BOOLEAN, so it cannot mark a deletion",
        "give the column the type BOOLEAN, or name another one",
    );
    check_fault(
        "CREATE TABLE t (id BOOLEAN PRIMARY KEY) WITH (deleted = '«id»');",
        "column `id` is part of the primary key",
        "name a column outside the key: the key says which row is deleted",
    );
}

#[test]
fn wrong_field_paths_are_underlined_inside_the_text() {
    const HELP: &str = "write 'column = field, column = outer.inner | other'; a field's name \
                        stands in double quotes if it holds blanks or one of , | . =";
    const NAME: &str = "write a name, in double quotes if it holds blanks or one of , | . =";
    check_option_fault("fields = 'id «e»vent_id'", "expected `=`, found `e`", HELP);
    check_option_fault(
        "fields = 'id = a.«.»b'",
        "expected a field's name, found `.`",
        NAME,
    );
    check_option_fault(
        "fields = 'id = a |«,» at = b'",
        "expected a field's name, found `,`",
        NAME,
    );
    check_option_fault(
        "fields = 'id = event «i»d'",
        "expected `,`, `|` or `.`, found `i`",
        HELP,
    );
    check_option_fault(
        "fields = 'id = a,\n  «pric» = properties.price'",
        "table `t` has no column `pric`",
        "write `price`",
    );
    check_option_fault(
        "fields = 'id = \"it''s\", «id2» = x'",
        "table `t` has no column `id2`",
        "write `id`",
    );
    check_option_fault(
        "fields = 'id = a, «id» = b'",
        "column `id` is found twice",
        "write its alternatives together: column = a | b",
    );
    check_option_fault(
        "fields = 'id = «\"a, at = b»'",
        "a double quote is opened but not closed",
        "write `\"` after the name",
    );
    check_option_fault(
        "fields = 'id «=»'",
        "expected a field's name, found the end of the text",
        NAME,
    );
    check_option_fault(
        "fields = «''»",
        "expected a column's name, found the end of the text",
        NAME,
    );
}

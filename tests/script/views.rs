//! Views: their parts, and the relations that they read.

use datafusion::sql::sqlparser::ast::Spanned;
use datafusion::sql::sqlparser::tokenizer::Span;
use tillrace::script::Origin;

use crate::{check_fault, faults, names, script, view_names};

#[test]
fn views_keep_their_text_names_options_and_places() {
    let text = "CREATE TABLE t (id TEXT, n INT);
-- sales
CREATE MATERIALIZED VIEW Sales (\"Id\", total)
  WITH (chart = 'bar', x = 'Id', title = 'It''s sales', threshold = -2.5)
AS SELECT id, -- why not
  SUM(n) FROM t GROUP BY id;
CREATE VIEW plain AS (SELECT n FROM sales);";
    let script = script(text);
    assert_eq!(view_names(&script), ["sales", "plain"]);
    let (_, sales) = script.view("sales").unwrap();
    assert!(sales.materialized && !script.views[1].materialized);
    assert_eq!(
        sales.sql,
        "SELECT id, -- why not\n  SUM(n) FROM t GROUP BY id"
    );
    assert_eq!(names(&sales.column_names), ["Id", "total"]);
    let options = sales
        .options
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    assert_eq!(
        options.collect::<Vec<_>>(),
        ["chart=bar", "threshold=-2.5", "title=It's sales", "x=Id"]
    );
    let place = |origin: &Origin| (origin.line, origin.column);
    assert_eq!(place(&sales.origin), (3, 26));
    assert_eq!(place(&sales.query_origin), (5, 4));
    assert_eq!(script.views[1].sql, "(SELECT n FROM sales)");

    let select = sales.query.body.as_select().unwrap();
    let sum = sales.fault(select.projection[1].span(), "wrong", None);
    assert_eq!((place(&sum.origin), sum.length), ((6, 3), "SUM(n)".len()));
    let both = select.projection[0]
        .span()
        .union(&select.projection[1].span());
    assert_eq!(
        sales.fault(both, "wrong", None).length,
        "id, -- why not\n  SUM(n)".len()
    );
    let unknown = sales.fault(Span::empty(), "wrong", None);
    assert_eq!(
        (place(&unknown.origin), unknown.length),
        ((5, 4), "SELECT".len())
    );
}

#[test]
fn views_that_are_wrong_are_refused() {
    check_fault(
        "CREATE MATERIALIZED VIEW v WITH («chrt» = 'bar') AS SELECT 1;",
        "a view has no option `chrt`",
        "write `chart`",
    );
    check_fault(
        "CREATE VIEW v «WITH» (chart = 'bar') AS SELECT 1;",
        "a view that is not materialized has no options",
        "write CREATE MATERIALIZED VIEW: only a view that is kept can be shown",
    );
    check_fault(
        "CREATE VIEW v (a, «A») AS SELECT 1, 2;",
        "the view has two columns `a`",
        "give one of them another name",
    );
    check_fault(
        "CREATE VIEW v (a «INT») AS SELECT 1;",
        "expected `,` or `)`, found `INT`",
        "write only names here; the query gives their types",
    );
    check_fault(
        "CREATE MATERIALIZED VIEW v AS SELECT 1 AS a «WITH» (chart = 'bar');",
        "expected the end of the query, found `WITH`",
        "write WITH (...) before AS",
    );
    check_fault(
        "CREATE VIEW v «SELECT» 1;",
        "expected `(`, `WITH` or `AS`, found `SELECT`",
        "write CREATE MATERIALIZED VIEW name [(columns)] [WITH (options)] AS query",
    );
}

#[test]
fn syntax_faults_are_found_one_by_one() {
    check_fault(
        "CREATE VIEW v AS SELECT («1»;",
        "expected `)`, found the end of the statement",
        "",
    );
    check_fault(
        "CREATE VIEW v AS SELECT 1 a «b» c;",
        "expected the end of the query, found `b`",
        "a comma or an operator may be missing before it",
    );
    check_fault(
        "CREATE VIEW v AS SELECT 1 WHER«E»;",
        "expected an expression, found the end of the statement",
        "",
    );
    check_fault(
        "CREATE VIEW v AS SELECT CAST(1 «FROM» x);",
        "expected AS, found `FROM`",
        "",
    );
    check_fault(
        "CREATE VIEW v AS SELECT 1 AS a, 2 FROM x WHERE a IN (1, 2,«)»;",
        "expected an expression, found `)`",
        "leave out the comma before it",
    );
    check_fault(
        "CREATE VIEW v AS WITH a(«1») AS (SELECT 1) SELECT 1;",
        "expected identifier, found `1`",
        "",
    );
}

#[test]
fn reading_goes_on_after_a_fault() {
    let found = faults(
        "CREATE TABLE a (x INT,, y TEXT; CREATE VIEW b AS SELECT a FROM a WHERE;
         CREATE VIEW c AS SELECT * FROM a, d; CREATE TABLE d (x INT y TEXT) WITH (dedup = 'y');
         COMMENT ON TABLE d IS nothing; COMMENT ON COLUMN a.y IS 'lost with its comma';
         CREATE TABEL e (x INT);",
    );
    let expected = [
        (1, 23, "expected a column's name, found `,`"),
        (
            1,
            30,
            "expected `,` or `)` after a column, found the end of the statement",
        ),
        (
            1,
            70,
            "expected an expression, found the end of the statement",
        ),
        (
            2,
            69,
            "expected `,`, `)`, `NOT NULL`, `PRIMARY KEY` or `COMMENT`, found `y`",
        ),
        (
            3,
            32,
            "expected the comment's text in single quotes, found `nothing`",
        ),
        (4, 10, "CREATE TABEL is not supported"),
    ];
    let places = found.faults.iter().map(|fault| {
        (
            fault.origin.line,
            fault.origin.column,
            fault.message.as_str(),
        )
    });
    assert_eq!(places.collect::<Vec<_>>(), expected, "\n{found}");
    assert_eq!(found.faults[5].help.as_deref(), Some("write CREATE TABLE"));
}

#[test]
fn what_is_not_closed_hides_what_follows() {
    const HELP: &str =
        "close what is opened here: a text with ', a name with \", a comment with */";
    check_fault(
        "CREATE VIEW v AS SELECT * FROM later; CREATE TABLE later (x TEXT COMMENT «'»a);",
        "unterminated string literal",
        HELP,
    );
    check_fault(
        "CREATE VIEW v AS SELECT 1;\n  «/»* CREATE VIEW w AS SELECT * FROM x;\n\n",
        "unexpected eof while in a multi-line comment",
        HELP,
    );
}

#[test]
fn statements_without_a_semicolon_are_told_apart() {
    check_fault(
        "CREATE TABLE t (x INT«)»\nCREATE VIEW v AS SELECT x FROM t;",
        "`;` is missing after this statement",
        "write `;` after it",
    );
    let script = script("CREATE TABLE t (x INT);;\n;CREATE VIEW v AS SELECT x FROM t");
    assert_eq!((script.tables.len(), view_names(&script).len()), (1, 1));
    assert_eq!(script.views[0].sql, "SELECT x FROM t");
}

#[test]
fn other_statements_say_what_to_do_instead() {
    let cases = [
        (
            "«SELECT» 1",
            "give the query a name: CREATE MATERIALIZED VIEW name AS SELECT ...",
        ),
        (
            "«INSERT» INTO t VALUES (1)",
            "say on the command line where rows come from",
        ),
        (
            "«UPDATE» t SET x = 1",
            "a row changes when a later record for its PRIMARY KEY arrives",
        ),
        ("«DROP» TABLE t", "the statement that creates the name"),
        ("«SET» x = 1", "settings are options of the command line"),
        ("«EXPLAIN» SELECT 1", "tillrace explain"),
        ("«BEGIN»", "all views change together"),
    ];
    for (marked, reason) in cases {
        let found = faults(&marked.replace(['«', '»'], ""));
        let help = found.faults[0].help.clone().unwrap_or_default();
        assert!(help.contains(reason), "{found}");
        let word = &marked['«'.len_utf8()..marked.find('»').unwrap()];
        check_fault(
            marked,
            &format!("{word} is not a statement of a script"),
            &help,
        );
    }
    check_fault(
        "«CRATE» TABLE t (x INT)",
        "expected a statement, found `CRATE`",
        "write CREATE",
    );
    let created = [
        (
            "«CREATE INDEX» i ON t (x)",
            "INDEX",
            "what joins and groups need is found by itself",
        ),
        ("«CREATE SOURCE» s FROM x", "SOURCE", "--input table=path"),
        ("«CREATE SINK» s FROM x", "SINK", "--out"),
        (
            "«CREATE EXTERNAL» TABLE t",
            "EXTERNAL",
            "--input table=path",
        ),
        (
            "«CREATE TEMPORARY» TABLE t (x INT)",
            "TEMPORARY",
            "leave the word out",
        ),
        (
            "«CREATE FUNCTION» f() RETURNS INT",
            "FUNCTION",
            "write the expression in a view",
        ),
        (
            "«CREATE RECURSIVE» VIEW v AS SELECT 1",
            "RECURSIVE",
            "WITH RECURSIVE",
        ),
        ("«CREATE TABEL» t (x INT)", "TABEL", "write CREATE TABLE"),
    ];
    for (marked, kind, reason) in created {
        let found = faults(&marked.replace(['«', '»'], ""));
        let help = found.faults[0].help.clone().unwrap_or_default();
        assert!(help.contains(reason), "{found}");
        check_fault(marked, &format!("CREATE {kind} is not supported"), &help);
    }
    check_fault(
        "«CREATE OR REPLACE» TABLE t (x INT)",
        "nothing can be replaced",
        "leave out OR REPLACE: a script creates each name once",
    );
    check_fault(
        "CREATE TABLE «IF NOT EXISTS» t (x INT)",
        "nothing can exist before the script",
        "leave out IF NOT EXISTS: a script creates each name once",
    );
    check_fault(
        "CREATE TABLE t «AS» SELECT 1",
        "expected `(` and the columns, found `AS`",
        "write CREATE MATERIALIZED VIEW name AS ...: a table is filled by inputs",
    );
}

#[test]
fn relations_that_do_not_exist_suggest_near_ones() {
    const ORDERS: &str = "CREATE TABLE orders (x INT); CREATE TABLE daily_sales (x INT);\n";
    let check = |query: &str, message: &str, help: &str| {
        check_fault(&format!("{ORDERS}CREATE VIEW v AS {query};"), message, help);
    };
    check(
        "SELECT * FROM «order»",
        "there is no table or view `order`",
        "write `orders`",
    );
    check(
        "SELECT * FROM «Sales» s",
        "there is no table or view `sales`",
        "write `daily_sales`",
    );
    check(
        "SELECT * FROM «\"Orders\"»",
        "there is no table or view `Orders`",
        "write `orders`",
    );
    check(
        "SELECT * FROM orders WHERE x IN (SELECT x FROM «stock»)",
        "there is no table or view `stock`",
        "create it, or read one of those that there are: `daily_sales` and `orders`",
    );
    check(
        "SELECT * FROM «public.orders»",
        "there is no schema `public`",
        "write `orders`: tables and views have no schema here",
    );
    check(
        "SELECT * FROM «rejects»",
        "there is no table or view `rejects`",
        "write `tillrace.rejects`",
    );
    check(
        "SELECT * FROM «tillrace.input»",
        "there is no view `tillrace.input`",
        "write `tillrace.inputs`",
    );
    check_fault(
        "CREATE VIEW «v» AS SELECT * FROM 'orders.csv';",
        "a query does not read files",
        "write CREATE TABLE for it, and on the command line --input table=path",
    );
    check_fault(
        "CREATE TABLE «tillrace.rejects» (x INT);",
        "names in `tillrace` are kept for the engine's own views",
        "write `rejects`, or another name without a dot",
    );
    check_fault(
        "CREATE VIEW «shop.v» AS SELECT 1;",
        "a name has no schema here: all tables and views live side by side",
        "write `v`",
    );
}

#[test]
fn names_of_with_clauses_are_no_relations_where_they_are_in_scope() {
    let script = script(
        "CREATE TABLE orders (x INT); CREATE TABLE tree (id INT, parent INT);
         CREATE VIEW a AS WITH orders AS (SELECT x FROM orders), two AS (SELECT x FROM orders)
             SELECT * FROM two, orders, tillrace.rejects, tillrace.inputs, generate_series(1, 3) AS s;
         CREATE VIEW b AS WITH RECURSIVE up AS (SELECT id FROM tree UNION SELECT id FROM up),
             more AS (SELECT id FROM up) SELECT (SELECT MAX(id) FROM more) FROM up;",
    );
    assert_eq!(view_names(&script), ["a", "b"]);
    check_fault(
        "CREATE VIEW v AS SELECT * FROM (WITH inner_one AS (SELECT 1) SELECT 1) s, «inner_one»;",
        "there is no table or view `inner_one`",
        "create it: CREATE TABLE inner_one (...)",
    );
    check_fault(
        "CREATE VIEW v AS WITH first AS (SELECT * FROM «second»), second AS (SELECT 1) SELECT 1;",
        "there is no table or view `second`",
        "create it: CREATE TABLE second (...)",
    );
}

#[test]
fn clauses_that_would_be_passed_over_are_refused() {
    let check = |query: &str, clause: &str, help: &str| {
        let text = format!("CREATE TABLE t (x INT); CREATE VIEW v AS {query};");
        check_fault(&text, &format!("{clause} is not supported in a view"), help);
    };
    check(
        "SELECT x FROM «t» TABLESAMPLE (10)",
        "TABLESAMPLE",
        "leave it out, or write a WHERE that keeps some of the rows",
    );
    check(
        "SELECT x FROM t PREWHERE «x > 1»",
        "PREWHERE",
        "write WHERE",
    );
    check(
        "«SELECT x FROM t» SETTINGS a = 1",
        "SETTINGS",
        "leave it out: settings are options of the command line",
    );
}

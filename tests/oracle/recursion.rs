//! Recursive queries, chosen by hand.

use crate::fixed::{agrees, ends};

const TREE: &str = "
    CREATE TABLE c (id BIGINT, parent BIGINT, name TEXT);
    CREATE TABLE e (a BIGINT, b BIGINT);";

const STORY: &str = r#"
    c + {"id": 1, "parent": null, "name": "all"}
    c + {"id": 2, "parent": 1, "name": "shoes"}
    c + {"id": 3, "parent": 2, "name": "boots"}
    c + {"id": 4, "parent": 3, "name": "rubber"}
    c + {"id": 9, "parent": 8, "name": "lost"}
    e + {"a": 1, "b": 2}
    e + {"a": 2, "b": 3}

    e + {"a": 3, "b": 1}
    e + {"a": 4, "b": 5}
    c + {"id": 5, "parent": 1, "name": "hats"}
    c + {"id": 5, "parent": 1, "name": "hats"}

    e + {"a": 3, "b": 4}
    e + {"a": null, "b": 4}
    c - {"id": 2, "parent": 1, "name": "shoes"}
    c + {"id": 2, "parent": 5, "name": "shoes"}

    e - {"a": 2, "b": 3}
    c - {"id": 1, "parent": null, "name": "all"}

    e - {"a": 1, "b": 2}
    e + {"a": 2, "b": 2}
    c + {"id": 8, "parent": null, "name": "found"}
"#;

#[test]
fn trees_paths_and_components() {
    agrees(
        &format!(
            "{TREE}
            CREATE MATERIALIZED VIEW tree AS
                WITH RECURSIVE t(id, root, depth, path) AS (
                    SELECT id, id AS root, CAST(0 AS BIGINT), name FROM c WHERE parent IS NULL
                    UNION ALL
                    SELECT c.id, t.root, t.depth + 1, t.path || '/' || c.name
                    FROM c JOIN t ON c.parent = t.id)
                SELECT * FROM t;
            CREATE MATERIALIZED VIEW reached AS
                WITH RECURSIVE r(a, b) AS (
                    SELECT a, b FROM e UNION SELECT r.a, e.b FROM r JOIN e ON r.b = e.a)
                SELECT a, b FROM r;
            CREATE MATERIALIZED VIEW merged AS
                WITH RECURSIVE both_ways AS (
                    SELECT a, b FROM e UNION SELECT b, a FROM e),
                r(a, b) AS (
                    SELECT a, b FROM both_ways
                    UNION SELECT r.a, w.b FROM r JOIN both_ways w ON r.b = w.a)
                SELECT a, least(a, min(b)) AS leader, count(*) AS n FROM r WHERE a IS NOT NULL GROUP BY a;
            CREATE MATERIALIZED VIEW counted AS
                WITH RECURSIVE n(i) AS (
                    SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < 10)
                SELECT i, count(e.b) AS edges FROM n LEFT JOIN e ON e.a = n.i GROUP BY i;
            CREATE MATERIALIZED VIEW deep AS
                WITH RECURSIVE d(id, depth) AS (
                    SELECT id, 0 FROM c WHERE parent IS NULL
                    UNION
                    SELECT c.id, d.depth + 1 FROM d JOIN c ON c.parent = d.id
                    WHERE EXISTS (SELECT 1 FROM e WHERE e.a < c.id) AND d.depth < 3)
                SELECT depth, count(*) AS n FROM d GROUP BY depth;"
        ),
        STORY,
    );
}

#[test]
fn a_recursion_without_end_is_cut_off_and_says_so() {
    ends(
        &format!(
            "{TREE}
            CREATE MATERIALIZED VIEW v AS
                WITH RECURSIVE n(i) AS (
                    SELECT id FROM c UNION ALL SELECT i + 1 FROM n)
                SELECT count(*) AS n, max(i) AS most FROM n;"
        ),
        r#"
        c + {"id": 1}
        "#,
        "v",
        &["n=1001, most=1001"],
        1,
        "more than 1000 rounds",
    );
}

//! JSON, lists and records where they are known to go wrong.

use crate::fixed::agrees;

#[test]
fn json_in_text() {
    agrees(
        r#"CREATE TABLE t (id BIGINT, j TEXT);
         CREATE MATERIALIZED VIEW v AS SELECT id, json_get_str(j, 'a') AS a,
           json_get_int(j, 'b', 'c') AS c, j ->> 'a' AS t, json_length(j) AS l,
           json_contains(j, 'b') AS has, CAST(json_get(j, 'n') AS DOUBLE) AS n,
           j -> 'b' ->> 'c' AS deep FROM t;
         CREATE MATERIALIZED VIEW sums AS
           SELECT j ->> 'a' AS a, sum(json_get_int(j, 'b', 'c')) AS c FROM t GROUP BY j ->> 'a';
         CREATE MATERIALIZED VIEW found AS SELECT id FROM t WHERE json_contains(j, 'n');"#,
        r#"
        t + {"id": 1, "j": "{\"a\": \"x\", \"b\": {\"c\": 3}, \"n\": 1.5}"}
        t + {"id": 2, "j": "{\"a\": null, \"b\": {}}"}
        t + {"id": 3, "j": "no json"}
        t + {"id": 4, "j": null}

        t + {"id": 5, "j": "{\"a\": \"x\", \"b\": {\"c\": 4}}"}
        t - {"id": 1, "j": "{\"a\": \"x\", \"b\": {\"c\": 3}, \"n\": 1.5}"}"#,
    );
}

#[test]
fn lists_and_records() {
    agrees(
        "CREATE TABLE t (id BIGINT, tags TEXT[], at STRUCT<x BIGINT, y TEXT>);
         CREATE MATERIALIZED VIEW v AS SELECT id, array_length(tags) AS l, tags[1] AS first,
           array_has(tags, 'a') AS has, array_to_string(tags, '+') AS text, at['x'] AS x,
           array_sort(tags) AS sorted, named_struct('id', id, 'y', at['y']) AS r,
           map([id], [at['y']]) AS m FROM t;
         CREATE MATERIALIZED VIEW grouped AS SELECT at['y'] AS y, array_agg(id ORDER BY id) AS ids,
           count(DISTINCT tags) AS c FROM t GROUP BY at['y'];
         CREATE MATERIALIZED VIEW listed AS SELECT tags, count(*) AS c FROM t GROUP BY tags;",
        r#"
        t + {"id": 1, "tags": ["b", "a"], "at": {"x": 1, "y": "p"}}
        t + {"id": 2, "tags": [], "at": {"x": null, "y": "p"}}
        t + {"id": 3, "tags": null, "at": null}

        t + {"id": 4, "tags": ["b", "a"], "at": {"x": 2, "y": "q"}}
        t - {"id": 2, "tags": [], "at": {"x": null, "y": "p"}}"#,
    );
}

//! Conditions on the clock, chosen by hand.

use tillrace::oracle;
use tillrace::source::InputSpec;

use crate::fixed::{agrees, ends};
use crate::trial::planned;

const EVENTS: &str = "
    CREATE TABLE e (id BIGINT, k TEXT, at TIMESTAMP, ttl BIGINT, day DATE);
    CREATE TABLE u (k TEXT PRIMARY KEY, at TIMESTAMP, hours BIGINT);";

const STORY: &str = r#"
    now 2024-03-01T12:00:00
    e + {"id": 1, "k": "a", "at": "2024-03-01T11:58:00", "ttl": 60, "day": "2024-03-01"}
    e + {"id": 2, "k": "a", "at": "2024-03-01T12:00:00", "ttl": 600, "day": "2024-03-02"}
    e + {"id": 3, "k": "b", "at": "2024-03-01T12:10:00", "ttl": 3600, "day": "2024-02-29"}
    e + {"id": 4, "k": "b", "at": null, "ttl": 3600, "day": null}
    u + {"k": "a", "at": "2024-03-01T12:00:00", "hours": 1}

    now 2024-03-01T12:03:00

    e + {"id": 5, "k": "b", "at": "2024-03-01T12:02:59.999999999", "ttl": 1, "day": "2024-03-01"}
    e - {"id": 2, "k": "a", "at": "2024-03-01T12:00:00", "ttl": 600, "day": "2024-03-02"}

    now 2024-03-01T12:05:00

    now 2024-03-01T12:10:00
    u + {"k": "a", "at": "2024-03-01T12:09:00", "hours": 2}
    u + {"k": "b", "at": "2024-03-01T09:00:00", "hours": 2}

    e - {"id": 3, "k": "b", "at": "2024-03-01T12:10:00", "ttl": 3600, "day": "2024-02-29"}
    e + {"id": 6, "k": "c", "at": "2024-03-01T12:10:00", "ttl": 3600, "day": "2024-03-03"}

    now 2024-03-01T13:10:00

    now 2024-03-02T00:00:00

    now 2024-04-01T00:00:00
"#;

#[test]
fn bounds_of_each_form() {
    agrees(
        &format!(
            "{EVENTS}
            CREATE MATERIALIZED VIEW recent AS
                SELECT * FROM e WHERE at > now() - INTERVAL '5 minutes';
            CREATE MATERIALIZED VIEW between_bounds AS
                SELECT id FROM e WHERE at BETWEEN now() - INTERVAL '1 hour' AND now();
            CREATE MATERIALIZED VIEW per_row AS
                SELECT id FROM e WHERE now() < at + ttl * INTERVAL '1 second' AND at <= now();
            CREATE MATERIALIZED VIEW overdue AS
                SELECT id FROM e WHERE now() - ttl * INTERVAL '1 second' >= at;
            CREATE MATERIALIZED VIEW this_hour AS
                SELECT id FROM e WHERE date_trunc('hour', at) = date_trunc('hour', now());
            CREATE MATERIALIZED VIEW ten_minutes AS
                SELECT id FROM e WHERE date_bin(INTERVAL '10 minutes', at)
                    = date_bin(INTERVAL '10 minutes', now() - INTERVAL '10 minutes');
            CREATE MATERIALIZED VIEW today AS SELECT id FROM e WHERE day = current_date();
            CREATE MATERIALIZED VIEW not_yet AS SELECT id FROM e WHERE day > current_date;
            CREATE MATERIALIZED VIEW last_month AS
                SELECT id FROM e WHERE at > now() - INTERVAL '1 month';
            CREATE MATERIALIZED VIEW never AS SELECT id FROM e WHERE at > now() AND at < now();"
        ),
        STORY,
    );
}

#[test]
fn bounds_above_and_below_other_nodes() {
    agrees(
        &format!(
            "{EVENTS}
            CREATE VIEW recent AS SELECT * FROM e WHERE at > now() - INTERVAL '10 minutes';
            CREATE MATERIALIZED VIEW counted AS
                SELECT k, count(*) AS n, max(ttl) AS most FROM recent GROUP BY k;
            CREATE MATERIALIZED VIEW all_counted AS SELECT count(*) AS n FROM recent;
            CREATE MATERIALIZED VIEW joined AS
                SELECT e.id, u.hours FROM e JOIN u ON e.k = u.k
                WHERE now() < u.at + u.hours * INTERVAL '1 hour' AND e.at <= now();
            CREATE MATERIALIZED VIEW both_sides AS
                SELECT e.id FROM e JOIN u ON e.k = u.k
                    AND now() < e.at + u.hours * INTERVAL '10 minutes';
            CREATE MATERIALIZED VIEW kept AS
                SELECT e.id, u.hours FROM e
                LEFT JOIN (SELECT * FROM u WHERE at > now() - INTERVAL '1 hour') u ON e.k = u.k;
            CREATE MATERIALIZED VIEW quiet AS
                SELECT k, max(at) AS last FROM e GROUP BY k
                HAVING max(at) < now() - INTERVAL '4 minutes';
            CREATE MATERIALIZED VIEW there AS
                SELECT k FROM u WHERE EXISTS
                    (SELECT 1 FROM e WHERE e.k = u.k AND e.at > now() - INTERVAL '5 minutes');
            CREATE MATERIALIZED VIEW age AS
                SELECT id, c.now - at AS age FROM e CROSS JOIN tillrace.clock c;
            CREATE MATERIALIZED VIEW minute AS
                SELECT count(*) AS n FROM e
                JOIN (SELECT DISTINCT date_trunc('minute', now) AS now FROM tillrace.clock) c
                    ON date_trunc('minute', e.at) = c.now;
            CREATE MATERIALIZED VIEW latest AS
                SELECT id, k FROM recent ORDER BY at DESC LIMIT 1;"
        ),
        STORY,
    );
}

#[test]
fn expired_rows_are_gone_and_intervals_of_months_are_rejects() {
    ends(
        &format!(
            "{EVENTS}
            CREATE MATERIALIZED VIEW v AS
                SELECT id FROM e WHERE now() - ttl * INTERVAL '1 month' < at;"
        ),
        r#"
        now 2024-03-01T12:00:00
        e + {"id": 1, "k": "a", "at": "2024-03-01T11:58:00", "ttl": 60, "day": "2024-03-01"}
        e + {"id": 2, "k": "a", "at": "2024-03-01T12:58:00", "ttl": 0, "day": "2024-03-01"}
        "#,
        "v",
        &["id=2"],
        1,
        "months",
    );
}

#[test]
fn windows_of_time() {
    agrees(
        &format!(
            "{EVENTS}
            CREATE MATERIALIZED VIEW tumbling AS
                SELECT tumble(at, INTERVAL '2 minutes') AS w, count(*) AS n FROM e GROUP BY 1;
            CREATE MATERIALIZED VIEW hopping AS
                SELECT w, w + INTERVAL '6 minutes' AS ends, count(*) AS n, max(id) AS most FROM
                    (SELECT *, unnest(hop(at, INTERVAL '2 minutes', INTERVAL '6 minutes')) AS w FROM e)
                GROUP BY w;"
        ),
        STORY,
    );
}

#[test]
fn hopping_windows_are_those_that_hold_the_instant() {
    ends(
        &format!(
            "{EVENTS}
            CREATE MATERIALIZED VIEW v AS SELECT id, w FROM
                (SELECT *, unnest(hop(at, INTERVAL '2 minutes', INTERVAL '5 minutes')) AS w FROM e);"
        ),
        r#"
        e + {"id": 1, "at": "2024-03-01T12:00:59"}
        e + {"id": 2, "at": "2024-03-01T12:01:00"}
        "#,
        "v",
        &[
            "id=1, w=2024-03-01 11:56:00",
            "id=1, w=2024-03-01 11:58:00",
            "id=1, w=2024-03-01 12:00:00",
            "id=2, w=2024-03-01 11:58:00",
            "id=2, w=2024-03-01 12:00:00",
        ],
        0,
        "",
    );
}

const SALES: &str = "
    CREATE TABLE sales (id BIGINT, k TEXT, at TIMESTAMP);
    CREATE TABLE prices (k TEXT, at TIMESTAMP, price BIGINT, version BIGINT);";

const PRICES: &str = r#"
    prices + {"k": "a", "at": "2024-03-01T10:00:00", "price": 10, "version": 1}
    sales + {"id": 1, "k": "a", "at": "2024-03-01T09:00:00"}
    sales + {"id": 2, "k": "a", "at": "2024-03-01T10:00:00"}
    sales + {"id": 3, "k": "a", "at": "2024-03-01T12:00:00"}
    sales + {"id": 3, "k": "a", "at": "2024-03-01T12:00:00"}
    sales + {"id": 4, "k": "b", "at": "2024-03-01T12:00:00"}
    sales + {"id": 5, "k": null, "at": "2024-03-01T12:00:00"}
    sales + {"id": 6, "k": "a", "at": null}

    prices + {"k": "a", "at": "2024-03-01T11:00:00", "price": 12, "version": 1}
    prices + {"k": "b", "at": "2024-03-01T11:00:00", "price": null, "version": 1}
    prices + {"k": null, "at": "2024-03-01T11:00:00", "price": 1, "version": 1}
    prices + {"k": "a", "at": null, "price": 2, "version": 1}

    prices + {"k": "a", "at": "2024-03-01T11:00:00", "price": 13, "version": 2}
    prices + {"k": "a", "at": "2024-03-01T08:00:00", "price": 7, "version": 1}

    prices - {"k": "a", "at": "2024-03-01T11:00:00", "price": 13, "version": 2}
    sales - {"id": 3, "k": "a", "at": "2024-03-01T12:00:00"}
    sales + {"id": 7, "k": "a", "at": "2024-03-01T10:59:59.999999999"}

    prices - {"k": "a", "at": "2024-03-01T10:00:00", "price": 10, "version": 1}
    prices - {"k": "a", "at": "2024-03-01T11:00:00", "price": 12, "version": 1}
    prices - {"k": "b", "at": "2024-03-01T11:00:00", "price": null, "version": 1}
"#;

#[test]
fn what_held_at_a_time() {
    agrees(
        &format!(
            "{SALES}
            CREATE MATERIALIZED VIEW sold AS
                SELECT s.id, s.at, p.price, p.at AS since, CASE WHEN p.price IS NULL THEN -1 ELSE 2 END AS shown
                FROM sales s LEFT JOIN LATERAL
                    (SELECT price, at FROM prices WHERE prices.k = s.k AND prices.at <= s.at
                     ORDER BY at DESC, version DESC LIMIT 1) p ON true;
            CREATE MATERIALIZED VIEW priced AS
                SELECT s.id, p.price + 1 AS price
                FROM sales s JOIN LATERAL
                    (SELECT price * 2 AS price FROM prices q
                     WHERE q.k = s.k AND q.at < s.at AND q.price > 8
                     ORDER BY q.at DESC, q.version DESC LIMIT 1) p ON true;
            CREATE MATERIALIZED VIEW next_price AS
                SELECT s.id, p.price
                FROM sales s, LATERAL
                    (SELECT * FROM prices q WHERE q.k = s.k AND q.at >= s.at
                     ORDER BY q.at, q.version LIMIT 1) p;
            CREATE MATERIALIZED VIEW last_two AS
                SELECT s.id, p.price, p.version
                FROM sales s LEFT JOIN LATERAL
                    (SELECT * FROM prices q WHERE q.k = s.k AND q.at <= s.at
                     ORDER BY q.at DESC, q.version DESC LIMIT 2) p ON true;
            CREATE MATERIALIZED VIEW revenue AS
                SELECT s.k, sum(p.price) AS revenue, count(*) AS n
                FROM sales s LEFT JOIN LATERAL
                    (SELECT price FROM prices q WHERE q.k = s.k AND q.at <= s.at
                     ORDER BY q.at DESC, q.version DESC LIMIT 1) p ON true
                GROUP BY s.k;"
        ),
        PRICES,
    );
}

#[test]
fn sessions_are_runs_without_a_gap() {
    agrees(
        &format!(
            "{EVENTS}
            CREATE MATERIALIZED VIEW sessions AS
                SELECT k, session, count(*) AS n, max(at) AS ends FROM
                    (SELECT k, at, session_start(at, INTERVAL '4 minutes')
                        OVER (PARTITION BY k ORDER BY at) AS session FROM e WHERE at IS NOT NULL)
                GROUP BY k, session;
            CREATE MATERIALIZED VIEW by_lag AS
                SELECT k, at, max(CASE WHEN before IS NULL OR at - before > INTERVAL '4 minutes'
                                  THEN at END) OVER (PARTITION BY k ORDER BY at) AS session
                FROM (SELECT k, at, lag(at) OVER (PARTITION BY k ORDER BY at) AS before FROM e
                      WHERE at IS NOT NULL);
            CREATE MATERIALIZED VIEW differ AS
                (SELECT k, session FROM sessions EXCEPT SELECT k, session FROM by_lag)
                UNION ALL
                (SELECT k, session FROM by_lag EXCEPT SELECT k, session FROM sessions);
            CREATE MATERIALIZED VIEW none_differ AS SELECT count(*) AS n FROM differ;"
        ),
        STORY,
    );
}

#[test]
fn a_replay_ends_at_the_newest_event() {
    let plan = planned(
        "CREATE TABLE e (id BIGINT, at TIMESTAMP) WITH (event_time = 'at');
         CREATE TABLE u (id BIGINT, at TIMESTAMP);
         CREATE MATERIALIZED VIEW recent AS
            SELECT id, at FROM e WHERE at > now() - INTERVAL '5 minutes';
         CREATE MATERIALIZED VIEW per_minute AS
            SELECT tumble(at, INTERVAL '1 minute') AS minute, count(*) AS n FROM e
            WHERE at > now() - INTERVAL '1 hour' GROUP BY 1;
         CREATE MATERIALIZED VIEW open AS SELECT id FROM u WHERE at >= now();
         CREATE MATERIALIZED VIEW clock AS SELECT now FROM tillrace.clock;",
    );
    let plan = plan.unwrap_or_else(|faults| panic!("{faults}"));
    let folder = tempfile::tempdir().expect("there is room");
    let (events, others) = (folder.path().join("e"), folder.path().join("u"));
    let at = |second: usize| {
        let (hour, minute) = (second / 3_600, second / 60 % 60);
        format!("2024-03-01T{hour:02}:{minute:02}:{:02}", second % 60)
    };
    let line = |id: usize, second: usize| format!("{{\"id\": {id}, \"at\": \"{}\"}}\n", at(second));
    // The newest event stands in the middle of the file.
    let order = (0..2_000).map(|id| line(id, id * 7_919 % 20_000));
    std::fs::write(&events, order.collect::<String>()).expect("there is room");
    let hours = (0..20).map(|id| line(id, id * 1_111));
    std::fs::write(&others, hours.collect::<String>()).expect("there is room");
    let input = |table: &str, path: &std::path::Path| {
        InputSpec::parse(&format!("{table}={}", path.display())).expect("an input")
    };
    let specs = [input("e", &events), input("u", &others)];
    // 2024-03-01T04:00:00Z
    for as_of in [None, Some(1_709_265_600_000_000_000)] {
        let options = oracle::Options {
            seed: 7,
            rounds: 4,
            as_of,
        };
        let verdict = oracle::verify(&plan, &specs, &options).expect("it can be verified");
        assert!(verdict.difference.is_none(), "{:?}", verdict.difference);
        assert_eq!(verdict.views, 4);
    }
}

#[test]
fn sales_and_prices_in_any_order() {
    let plan = planned(
        "CREATE TABLE sales (id BIGINT, k TEXT, at TIMESTAMP);
         CREATE TABLE prices (k TEXT, at TIMESTAMP, price BIGINT);
         CREATE MATERIALIZED VIEW sold AS
            SELECT s.id, p.price FROM sales s LEFT JOIN LATERAL
               (SELECT price FROM prices WHERE prices.k = s.k AND prices.at <= s.at
                ORDER BY at DESC, price LIMIT 1) p ON true;
         CREATE MATERIALIZED VIEW before AS
            SELECT s.id, p.price FROM sales s JOIN LATERAL
               (SELECT price FROM prices WHERE prices.k = s.k AND prices.at < s.at
                ORDER BY at DESC, price LIMIT 1) p ON true;
         CREATE MATERIALIZED VIEW next AS
            SELECT s.id, p.at FROM sales s LEFT JOIN LATERAL
               (SELECT at FROM prices WHERE prices.k = s.k AND prices.at > s.at
                ORDER BY at LIMIT 1) p ON true;",
    );
    let plan = plan.unwrap_or_else(|faults| panic!("{faults}"));
    let folder = tempfile::tempdir().expect("there is room");
    let (sales, prices) = (folder.path().join("s"), folder.path().join("p"));
    let mut random = 1_u64;
    let mut below = |limit: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (random >> 33) % limit
    };
    // Few instants, so that many are equal.
    let mut at = || format!("2024-03-01T00:{:02}:{:02}", below(4), below(60));
    let times: Vec<String> = (0..1_600).map(|_| at()).collect();
    let sale = |id: usize| {
        let (key, at) = (id * 31 % 12, &times[id]);
        format!("{{\"id\": {id}, \"k\": \"k{key}\", \"at\": \"{at}\"}}\n")
    };
    let price = |id: usize| {
        let (key, at) = (id * 17 % 13, &times[1_000 + id]);
        format!(
            "{{\"k\": \"k{key}\", \"at\": \"{at}\", \"price\": {}}}\n",
            id % 50
        )
    };
    std::fs::write(&sales, (0..1_000).map(sale).collect::<String>()).expect("there is room");
    std::fs::write(&prices, (0..600).map(price).collect::<String>()).expect("there is room");
    let input = |table: &str, path: &std::path::Path| {
        InputSpec::parse(&format!("{table}={}", path.display())).expect("an input")
    };
    let specs = [input("sales", &sales), input("prices", &prices)];
    let options = oracle::Options {
        seed: 3,
        rounds: 6,
        as_of: None,
    };
    let verdict = oracle::verify(&plan, &specs, &options).expect("it can be verified");
    assert!(verdict.difference.is_none(), "{:?}", verdict.difference);
    assert_eq!(verdict.views, 3);
}

//! Views that ask for the clock move with it, whether or not anything arrives.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use tillrace::catalog::Snapshot;
use tillrace::source::InputSpec;

use crate::support::{is_soon, plan_of, start, when_taken};

/// Milliseconds since the Unix epoch, in so long.
fn in_ms(length: Duration) -> u128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    (since.expect("it is after 1970") + length).as_millis()
}

fn ids(snapshot: &Snapshot, view: &str) -> Vec<i64> {
    let rows = snapshot.rows(view).expect("the view exists");
    rows.column(0).as_primitive::<Int64Type>().values().to_vec()
}

#[test]
fn rows_come_and_go_when_nothing_arrives() {
    let plan = plan_of(
        "CREATE TABLE e (id BIGINT, until TIMESTAMP);
         CREATE MATERIALIZED VIEW standing AS SELECT id FROM e WHERE now() < until;
         CREATE MATERIALIZED VIEW over AS SELECT id FROM e WHERE until <= now();
         CREATE MATERIALIZED VIEW seconds AS
             SELECT CAST(date_part('epoch', now) AS BIGINT) AS second FROM tillrace.clock;",
    );
    for workers in [1, 4] {
        let folder = tempfile::tempdir().expect("there is room");
        let file = folder.path().join("e.jsonl");
        let (soon, late) = (
            in_ms(Duration::from_secs(2)),
            in_ms(Duration::from_secs(3_600)),
        );
        let events =
            format!("{{\"id\": 1, \"until\": {soon}}}\n{{\"id\": 2, \"until\": {late}}}\n");
        fs::write(&file, events).expect("there is room");
        let spec = InputSpec::parse(&format!("e={}", file.display())).expect("an input");
        let live = start(&plan, workers, &[spec], Vec::new());
        when_taken(&live, 2);
        let mut seconds = BTreeSet::new();
        let is_over = is_soon(|| {
            let snapshot = live.catalog().latest();
            let (standing, over) = (ids(&snapshot, "standing"), ids(&snapshot, "over"));
            let mut all = [standing, over.clone()].concat();
            all.sort_unstable();
            assert_eq!(all, [1, 2], "a row stands or is over");
            seconds.extend(ids(&snapshot, "seconds"));
            over == [1]
        });
        assert!(is_over, "the row's time does not come");
        assert!(!seconds.is_empty(), "the clock is not shown");
        live.stop().expect("it stops");
    }
}

//! The PostgreSQL protocol, as a driver speaks it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use tillrace::serve::{Limits, Token};
use tokio::runtime::Runtime;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Error, NoTls, SimpleQueryMessage};

use crate::support::{SHOP, Shop, local};

/// A shop, and a driver's connection to it.
pub struct Asked {
    // Before the runtime, which drives its connection.
    pub client: Client,
    pub runtime: Runtime,
    pub shop: Shop,
}

pub fn shop(tokens: Vec<Token>, limits: Limits) -> Shop {
    let mut config = local();
    config.pg = vec![(Ipv4Addr::LOCALHOST, 0).into()];
    config.tokens = tokens;
    config.limits = limits;
    Shop::with(SHOP, 2, config)
}

pub async fn connect(shop: &Shop, password: &str) -> Result<Client, Error> {
    let mut config = Config::new();
    config
        .host("127.0.0.1")
        .port(shop.pg_address().port())
        .user("ann")
        .dbname("tillrace")
        .password(password);
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

pub fn runtime() -> Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    runtime.expect("a runtime")
}

impl Asked {
    /// A shop that has sold three times, and somebody who may ask.
    pub fn stocked() -> Asked {
        let shop = shop(Vec::new(), Limits::default());
        let products = r#"[{"product_id":"p1","category":"toys","price":"12.50"},
            {"product_id":"p2","category":"books","price":"8"}]"#;
        shop.push("products", products);
        let sales = r#"[{"product_id":"p1","quantity":2,"amount":"25.00","at":"2024-05-01T10:00:00"},
            {"product_id":"p2","quantity":1,"amount":"8.00","at":"2024-05-01T11:00:00"},
            {"product_id":"p1","quantity":1,"amount":"12.50","at":"2024-05-02T10:00:00"}]"#;
        shop.push("sales", sales);
        let runtime = runtime();
        let client = runtime.block_on(connect(&shop, ""));
        Asked {
            client: client.expect("a connection"),
            runtime,
            shop,
        }
    }

    /// The rows of statements as text, a row a line, fields apart by `|`; NULL is `-`.
    pub fn rows(&self, sql: &str) -> Vec<String> {
        let messages = self.runtime.block_on(self.client.simple_query(sql));
        let messages = messages.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let line = |message| match message {
            SimpleQueryMessage::Row(row) => {
                let cells = (0..row.len()).map(|cell| row.get(cell).unwrap_or("-"));
                Some(cells.collect::<Vec<_>>().join("|"))
            }
            _ => None,
        };
        messages.into_iter().filter_map(line).collect()
    }

    /// The SQLSTATE of a failure, its message, and the place that it names.
    pub fn fault(&self, sql: &str) -> (String, String, Option<u32>) {
        let asked = self.runtime.block_on(self.client.simple_query(sql));
        let error = asked.err().unwrap_or_else(|| panic!("{sql} is answered"));
        told(&error)
    }
}

pub fn told(error: &Error) -> (String, String, Option<u32>) {
    let told = error.as_db_error().unwrap_or_else(|| panic!("{error:?}"));
    let position = told.position().map(|position| match position {
        tokio_postgres::error::ErrorPosition::Original(position) => *position,
        other => panic!("{other:?}"),
    });
    let code = told.code().code().to_owned();
    (code, told.message().to_owned(), position)
}

#[test]
fn statements_are_answered_with_text() {
    let asked = Asked::stocked();
    let by_category = ["toys|37.50|2", "books|8.00|1"];
    assert_eq!(asked.rows("SELECT * FROM by_category"), by_category);
    assert_eq!(asked.rows("SELECT 1; SELECT 2 AS b;"), ["1", "2"]);
    assert_eq!(asked.rows(" ; ").len(), 0);
    let kinds = asked.rows("SELECT * FROM kinds ORDER BY product_id");
    assert_eq!(kinds[0], "p1|t|12.5|2024-05-01|{toys,NULL}|-");
    let sql = "SELECT 1.0::double precision, 0.1::double precision + 0.2::double precision, 1e15::double precision,
        1e-5::double precision, 'inf'::double precision, 2.5::real, NULL::double precision, 0::double precision";
    let floats = "1|0.30000000000000004|1e+15|1e-05|Infinity|2.5|-|0";
    assert_eq!(asked.rows(sql), [floats]);
    let shown = asked.rows("SHOW MATERIALIZED VIEWS");
    assert!(shown.iter().any(|line| line.starts_with("by_category|")));
}

#[test]
fn faults_have_a_code_and_a_place() {
    let asked = Asked::stocked();
    let (code, message, place) = asked.fault("SELECT 1;\n SELECT x FROM by_category");
    assert_eq!((code.as_str(), place), ("42703", Some(19)), "{message}");
    let (code, message, place) = asked.fault("SELECT * FROM by_categori");
    assert_eq!((code.as_str(), place), ("42P01", Some(15)), "{message}");
    assert_eq!(asked.fault("SELECT 1 +").0, "42601");
    assert_eq!(asked.fault("SELECT 1 / 0").0, "22012");
    assert_eq!(asked.fault("SELECT nothing_of_this_name(1)").0, "42883");
    assert_eq!(asked.fault("FETCH ALL nowhere").0, "34000");
    // The connection goes on.
    assert_eq!(asked.rows("SELECT 1"), ["1"]);
}

#[test]
fn statements_are_prepared_and_given_values() {
    let asked = Asked::stocked();
    asked.runtime.block_on(async {
        let client = &asked.client;
        let sql = "SELECT category, sales, revenue::text FROM by_category WHERE sales > $1 AND category = $2";
        let statement = client.prepare(sql).await.expect("it can be prepared");
        let types: Vec<&str> = statement.params().iter().map(|t| t.name()).collect();
        assert_eq!(types, ["int8", "text"]);
        let columns: Vec<&str> = statement.columns().iter().map(|c| c.type_().name()).collect();
        assert_eq!(columns, ["text", "int8", "text"]);
        for (least, found) in [(1_i64, 1), (2, 0)] {
            let rows = client.query(&statement, &[&least, &"toys"]).await;
            assert_eq!(rows.expect("it is answered").len(), found);
        }
        let row = client.query_one("SELECT $1::int + 1, $2::text, $3::double precision", &[&41_i32, &"ü", &1.5_f64]);
        let row = row.await.expect("a row");
        assert_eq!((row.get::<_, i64>(0), row.get::<_, &str>(1), row.get::<_, f64>(2)), (42, "ü", 1.5));
        let nothing = client.query_one("SELECT $1::bigint IS NULL", &[&None::<i64>]).await;
        assert!(nothing.expect("a row").get::<_, bool>(0));
        let failed = client.prepare("SELECT nowhere FROM by_category").await.err();
        assert_eq!(failed.and_then(|error| error.code().cloned()), Some(SqlState::UNDEFINED_COLUMN));
        let rows = client.query("SELECT dear, about, tags, nothing FROM kinds ORDER BY product_id", &[]).await;
        let rows = rows.expect("rows in binary form");
        assert_eq!((rows[0].get::<_, bool>(0), rows[0].get::<_, f64>(1)), (true, 12.5));
        let tags: Vec<Option<String>> = rows[0].get(2);
        assert_eq!(tags, [Some("toys".to_owned()), None]);
        assert_eq!(rows[0].get::<_, Option<i32>>(3), None);
    });
}

#[test]
fn answers_are_fetched_in_parts() {
    let mut asked = Asked::stocked();
    asked.runtime.block_on(async {
        let transaction = asked.client.transaction().await.expect("a transaction");
        let portal = transaction
            .bind("SELECT product_id FROM all_sales ORDER BY at", &[])
            .await
            .expect("a portal");
        let mut parts = Vec::new();
        for _ in 0..3 {
            let rows = transaction.query_portal(&portal, 2).await.expect("rows");
            parts.push(rows.len());
        }
        assert_eq!(parts, [2, 1, 0]);
        transaction.commit().await.expect("it ends");
    });
    let sql =
        "BEGIN; DECLARE c CURSOR FOR SELECT product_id FROM all_sales ORDER BY at; FETCH 2 FROM c";
    assert_eq!(asked.rows(sql), ["p1", "p2"]);
    assert_eq!(asked.rows("FETCH ALL IN c"), ["p1"]);
    assert_eq!(asked.rows("CLOSE c; COMMIT").len(), 0);
    assert_eq!(asked.fault("FETCH 1 c").0, "34000");
}

#[test]
fn a_failed_transaction_is_to_be_ended() {
    let asked = Asked::stocked();
    asked.rows("BEGIN");
    assert_eq!(asked.fault("SELECT nowhere").0, "42703");
    assert_eq!(asked.fault("SELECT 1").0, "25P02");
    asked.rows("ROLLBACK");
    assert_eq!(asked.rows("SELECT 1"), ["1"]);
    asked.rows("SET application_name = 'tests'; SET TIME ZONE 'UTC'");
    assert_eq!(asked.rows("SHOW application_name"), ["tests"]);
    assert_eq!(asked.fault("SET client_encoding = 'LATIN1'").0, "22023");
}

#[test]
fn changes_are_subscribed_to_until_somebody_cancels() {
    let asked = Asked::stocked();
    let sql = "BEGIN; DECLARE c CURSOR FOR SUBSCRIBE by_category; FETCH 2 c";
    let first = asked.rows(sql);
    let rows: Vec<&str> = first
        .iter()
        .map(|row| row.split_once('|').expect("an epoch").1)
        .collect();
    assert_eq!(rows, ["1|toys|37.50|2", "1|books|8.00|1"]);
    assert_eq!(asked.rows("FETCH ALL c WITH (TIMEOUT = '1ms')").len(), 0);
    asked
        .shop
        .push("sales", r#"{"product_id":"p2","quantity":1,"amount":"1"}"#);
    let changes = asked.rows("FETCH 2 c");
    assert!(
        changes[0].ends_with("|-1|books|8.00|1") || changes[1].ends_with("|-1|books|8.00|1"),
        "{changes:?}"
    );
    asked.rows("COMMIT");
    asked.runtime.block_on(async {
        let client = &asked.client;
        let cancel = client.cancel_token();
        let copied = client
            .copy_out("COPY (SUBSCRIBE by_category) TO STDOUT")
            .await;
        let mut copied = std::pin::pin!(copied.expect("it begins"));
        let first = copied.next().await.expect("a line").expect("no fault");
        assert!(first.ends_with(b"toys\t37.50\t2\n"), "{first:?}");
        cancel
            .cancel_query(NoTls)
            .await
            .expect("the server listens");
        let ended = copied.try_collect::<Vec<_>>().await.expect_err("a fault");
        assert_eq!(ended.code(), Some(&SqlState::QUERY_CANCELED));
    });
    assert_eq!(asked.rows("SELECT 1"), ["1"]);
}

#[test]
fn tools_find_tables_and_columns() {
    let asked = Asked::stocked();
    // What psql asks for \d, shortened to what this looks at.
    let sql = "SELECT c.relname, CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' END
        FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r','p','v','m','S','f','') AND n.nspname <> 'pg_catalog' AND n.nspname !~ '^pg_toast'
          AND n.nspname <> 'information_schema' AND n.nspname = 'public'
          AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 1";
    let relations = asked.rows(sql);
    assert_eq!(relations[0], "all_sales|materialized view");
    assert!(
        relations.contains(&"products|table".to_owned()),
        "{relations:?}"
    );
    let sql = "SELECT column_name, data_type FROM information_schema.columns
        WHERE table_schema = 'public' AND table_name = 'by_category' ORDER BY ordinal_position";
    let columns = asked.rows(sql);
    assert_eq!(columns.len(), 3, "{columns:?}");
    let sql = "SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod) FROM pg_catalog.pg_attribute a
        JOIN pg_catalog.pg_class c ON a.attrelid = c.oid WHERE c.relname = 'by_category' AND a.attnum > 0 ORDER BY a.attnum";
    assert_eq!(
        asked.rows(sql),
        ["category|text", "revenue|numeric", "sales|bigint"]
    );
    assert_eq!(asked.rows("SELECT current_database()"), ["tillrace"]);
    assert!(asked.rows("SELECT version()")[0].starts_with("PostgreSQL 16"));
}

#[test]
fn a_token_is_the_password() {
    let tokens = vec![
        Token::new("read-secret", true, false),
        Token::new("write-secret", true, true),
    ];
    let shop = shop(tokens, Limits::default());
    let runtime = runtime();
    for (password, code) in [("", "28P01"), ("guess", "28P01"), ("read-secre", "28P01")] {
        let refused = runtime.block_on(connect(&shop, password));
        let Err(error) = refused else {
            panic!("{password} is taken");
        };
        // The driver does not send an empty password.
        let found = error.code().map_or("28P01", SqlState::code);
        assert_eq!(found, code, "{password}");
    }
    for password in ["read-secret", "write-secret"] {
        let client = runtime
            .block_on(connect(&shop, password))
            .expect("it may ask");
        let rows = runtime.block_on(client.simple_query("SELECT 1"));
        assert!(rows.is_ok());
        drop(client);
    }
}

#[test]
fn a_statement_that_takes_too_long_is_ended() {
    let limits = Limits {
        query: Duration::from_millis(200),
        ..Limits::default()
    };
    let shop = shop(Vec::new(), limits);
    let runtime = runtime();
    let client = runtime.block_on(connect(&shop, "")).expect("a connection");
    let sql = "SELECT count(*) FROM generate_series(1, 100000000000)";
    let error = runtime.block_on(client.simple_query(sql)).err();
    let (code, message, _) = told(&error.expect("it is ended"));
    assert_eq!(code, "57014", "{message}");
}

#[test]
fn what_is_no_message_ends_the_connection_and_no_more() {
    let asked = Asked::stocked();
    for bytes in [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".as_slice(),
        &[0, 0, 0, 4],
        &[0xff; 64],
        &[
            0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f, 0xff, 0xff, 0xff, 0xff, 0, 3, 0, 0,
        ],
    ] {
        let mut stream = TcpStream::connect(asked.shop.pg_address()).expect("a connection");
        stream.write_all(bytes).expect("it is sent");
        stream
            .shutdown(std::net::Shutdown::Write)
            .expect("it can be");
        let mut all = Vec::new();
        // Whatever comes back, it comes to an end.
        let _ = stream.read_to_end(&mut all);
    }
    assert_eq!(asked.rows("SELECT 1"), ["1"]);
}

#[test]
fn the_server_tells_whoever_is_connected_that_it_stops() {
    let Asked {
        client,
        runtime,
        shop,
    } = Asked::stocked();
    shop.close();
    let error = runtime.block_on(client.simple_query("SELECT 1"));
    assert!(error.is_err() && client.is_closed());
}

#[test]
fn tools_may_ask_for_what_there_is_not() {
    let asked = Asked::stocked();
    // Parts of what psql and SQLAlchemy ask: of storage, sequences, collations and indexes.
    for sql in [
        "SELECT c.relkind, pg_catalog.array_to_string(c.reloptions || array(select 'toast.' || x from \
         pg_catalog.unnest(tc.reloptions) x), ', ') FROM pg_catalog.pg_class c \
         LEFT JOIN pg_catalog.pg_class tc ON (c.reltoastrelid = tc.oid)",
        "SELECT CASE WHEN a.attidentity <> '' THEN (SELECT json_build_object('start', s.seqstart) \
         FROM pg_catalog.pg_sequence s WHERE s.seqrelid = a.attrelid) END FROM pg_catalog.pg_attribute a",
        "SELECT a.attname FROM pg_catalog.pg_attribute a WHERE (SELECT t.typcollation FROM pg_catalog.pg_type t \
         WHERE t.oid = a.atttypid) <> a.attcollation",
        "SELECT typinput = 'pg_catalog.array_in'::regproc FROM pg_catalog.pg_type",
        "SELECT nspname FROM pg_catalog.pg_namespace WHERE nspname NOT LIKE 'pg/_%' ESCAPE '/'",
    ] {
        asked.rows(sql);
    }
    let indexes = "SELECT unnest(i.indkey) AS attnum, i.indexrelid FROM pg_catalog.pg_index i";
    assert_eq!(asked.rows(indexes).len(), 0);
    let definition = "SELECT pg_catalog.pg_get_viewdef(c.oid, true), pg_catalog.obj_description(c.oid, 'pg_class')
        FROM pg_catalog.pg_class c WHERE c.relname = 'by_category'";
    let told = asked.rows(definition);
    assert!(
        told[0].starts_with("SELECT category,") && told[0].ends_with("|Revenue by category."),
        "{told:?}"
    );
}

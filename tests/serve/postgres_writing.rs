//! The PostgreSQL protocol, as a driver writes by it: rows, relations, and who may do so.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use bytes::Bytes;
use futures::{SinkExt, TryStreamExt};
use rustls::pki_types::ServerName;
use tillrace::serve::{Limits, TlsFiles, Token};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error};

use crate::postgres::{Asked, connect, runtime, shop, told};
use crate::support::{SHOP, Shop, local};

const STOCK: &str =
    "CREATE TABLE stock (sku TEXT PRIMARY KEY, pieces INT NOT NULL, price DECIMAL(10,2))";

/// A request for TLS (PostgreSQL documentation, 53.7, `SSLRequest`).
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

impl Asked {
    /// A shop with a table that holds nothing yet.
    fn with_stock() -> Asked {
        let asked = Asked::stocked();
        asked.rows(STOCK);
        asked
    }

    /// How many rows a statement with values says that it changed.
    fn does(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> u64 {
        let done = self.runtime.block_on(self.client.execute(sql, values));
        done.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    }

    /// What is in stock.
    fn stock(&self) -> Vec<String> {
        self.rows("SELECT * FROM stock ORDER BY sku")
    }
}

#[test]
fn rows_are_inserted_changed_and_deleted() {
    let asked = Asked::with_stock();
    let insert = "INSERT INTO stock (sku, pieces) VALUES ($1, $2)";
    assert_eq!(asked.does(insert, &[&"a", &3_i32]), 1);
    assert_eq!(asked.does(insert, &[&"b", &4_i32]), 1);
    asked.rows("INSERT INTO stock VALUES ('c', 5, 1.5), ('d', 6, NULL)");
    assert_eq!(asked.stock(), ["a|3|-", "b|4|-", "c|5|1.50", "d|6|-"]);
    let update = "UPDATE stock SET pieces = pieces + $1 WHERE pieces > $2";
    assert_eq!(asked.does(update, &[&10_i32, &4_i32]), 2);
    assert_eq!(asked.does("DELETE FROM stock WHERE sku = $1", &[&"a"]), 1);
    assert_eq!(asked.does("DELETE FROM stock WHERE sku = $1", &[&"z"]), 0);
    assert_eq!(asked.stock(), ["b|4|-", "c|15|1.50", "d|16|-"]);
    // A row takes the place of another with its key.
    assert_eq!(asked.does(insert, &[&"b", &1_i32]), 1);
    assert_eq!(asked.stock()[0], "b|1|-");
    let missing = "INSERT INTO stock (sku) VALUES ('e')";
    assert_eq!(asked.fault(missing).0, "23502");
    assert_eq!(asked.fault("INSERT INTO by_category VALUES (1)").0, "42809");
    asked.rows("TRUNCATE stock");
    assert_eq!(asked.stock().len(), 0);
}

async fn copy(client: &Client, sql: &str, pieces: &[&'static str]) -> Result<u64, Error> {
    let sink = client.copy_in::<_, Bytes>(sql).await?;
    let mut sink = std::pin::pin!(sink);
    for piece in pieces {
        sink.send(Bytes::from_static(piece.as_bytes())).await?;
    }
    sink.finish().await
}

#[test]
fn rows_are_copied_in() {
    let asked = Asked::with_stock();
    let client = &asked.client;
    let copied =
        |sql: &str, pieces: &[&'static str]| asked.runtime.block_on(copy(client, sql, pieces));
    let text = copied("COPY stock FROM STDIN", &["a\t1\t1.50\nb", "\t2\t\\N\n"]);
    assert_eq!(text.expect("it is copied"), 2);
    let csv = "COPY stock (pieces, sku) FROM STDIN WITH (FORMAT csv, HEADER true)";
    let csv = copied(csv, &["pieces,sku\n3,\"c, d\"\n"]);
    assert_eq!(csv.expect("it is copied"), 1);
    let expected = ["a|1|1.50", "b|2|-", "c, d|3|-"];
    assert_eq!(asked.stock(), expected);
    // Nothing of a copy with a fault is taken, and the connection goes on.
    let broken = copied("COPY stock FROM STDIN", &["e\t1\t1\n", "f\tmany\t1\n"]);
    assert_eq!(told(&broken.expect_err("many is no number")).0, "22P02");
    assert_eq!(asked.fault("COPY nothing FROM STDIN").0, "42P01");
    assert_eq!(asked.stock(), expected);
}

#[test]
fn relations_come_and_go() {
    let asked = Asked::with_stock();
    asked.rows("INSERT INTO stock VALUES ('a', 3, 2), ('b', 4, 1)");
    asked.rows("CREATE VIEW worth AS SELECT sku, pieces * price AS worth FROM stock");
    asked.rows(
        "CREATE MATERIALIZED VIEW total AS SELECT sum(worth) AS total, count(*) AS n FROM worth",
    );
    assert_eq!(asked.rows("SELECT * FROM total"), ["10.00|2"]);
    let rows = asked.runtime.block_on(
        asked
            .client
            .query("SELECT sku FROM worth ORDER BY sku", &[]),
    );
    assert_eq!(rows.expect("rows").len(), 2);
    asked.rows("DELETE FROM stock WHERE sku = 'a'");
    assert_eq!(asked.rows("SELECT * FROM total"), ["4.00|1"]);
    assert_eq!(
        asked.fault("CREATE VIEW worth AS SELECT 1 AS one").0,
        "42P07"
    );
    let (code, message, place) = asked.fault("CREATE VIEW bad AS SELECT skku FROM stock");
    assert!(place.is_some(), "{code} {message}");
    assert_eq!(asked.fault("DROP VIEW worth").0, "2BP01");
    assert_eq!(asked.fault("DROP TABLE worth").0, "42809");
    asked.rows("DROP MATERIALIZED VIEW total; DROP VIEW worth; DROP TABLE stock");
    assert_eq!(asked.fault("SELECT * FROM worth").0, "42P01");
    asked.rows("DROP VIEW IF EXISTS worth");
    assert_eq!(asked.fault("DROP VIEW worth").0, "42P01");
}

#[test]
fn a_driver_that_streams_rows_follows_a_view() {
    let asked = Asked::stocked();
    asked.runtime.block_on(async {
        let nothing = std::iter::empty::<&(dyn ToSql + Sync)>();
        let rows = asked.client.query_raw("SUBSCRIBE by_product", nothing);
        let mut rows = std::pin::pin!(rows.await.expect("it begins"));
        let mut units = Vec::new();
        for _ in 0..2 {
            let row = rows.try_next().await.expect("no fault").expect("a row");
            units.push((row.get::<_, i64>("diff"), row.get::<_, i64>("units")));
        }
        units.sort_unstable();
        assert_eq!(units, [(1, 1), (1, 3)]);
        let writer = connect(&asked.shop, "").await.expect("a connection");
        let sale = "INSERT INTO sales VALUES ('p2', 4, 32, NULL)";
        assert_eq!(writer.execute(sale, &[]).await.expect("it is written"), 1);
        let mut changes = Vec::new();
        for _ in 0..2 {
            let row = rows.try_next().await.expect("no fault").expect("a row");
            let change = (row.get::<_, i64>("diff"), row.get::<_, i64>("units"));
            changes.push((change, row.get::<_, String>("product_id")));
        }
        changes.sort_unstable();
        let p2 = "p2".to_owned();
        assert_eq!(changes, [((-1, 1), p2.clone()), ((1, 5), p2)]);
        let cancel = asked.client.cancel_token();
        let cancelled = cancel.cancel_query(tokio_postgres::NoTls).await;
        cancelled.expect("the server listens");
        let ended = rows.try_next().await.expect_err("a fault");
        assert_eq!(ended.code(), Some(&SqlState::QUERY_CANCELED));
    });
}

/// How many rows a statement finds with a value of a type that the client says.
async fn count(client: &Client, sql: &str, said: Type, value: &(dyn ToSql + Sync)) -> i64 {
    let statement = client.prepare_typed(sql, &[said]).await.expect(sql);
    let row = client.query_one(&statement, &[value]).await.expect(sql);
    row.get(0)
}

#[test]
fn numbers_may_be_of_another_type_than_their_column() {
    let asked = Asked::with_stock();
    asked.runtime.block_on(async {
        let client = &asked.client;
        let write = async |sql: &str, said: Type, value: &(dyn ToSql + Sync)| {
            let statement = client.prepare_typed(sql, &[said]).await.expect(sql);
            client.execute(&statement, &[value]).await
        };
        let price = "INSERT INTO stock VALUES ('a', 3, $1)";
        write(price, Type::FLOAT8, &12.35_f64)
            .await
            .expect("it fits");
        let price = "INSERT INTO stock VALUES ('b', 4, $1)";
        write(price, Type::INT8, &7_i64).await.expect("it fits");
        // As in PostgreSQL, what is written is rounded.
        let price = "INSERT INTO stock VALUES ('c', 5, $1)";
        write(price, Type::FLOAT8, &1.006_f64)
            .await
            .expect("it fits");
        let price = "INSERT INTO stock VALUES ('d', 6, $1)";
        write(price, Type::FLOAT8, &None::<f64>)
            .await
            .expect("it fits");
        let pieces = "INSERT INTO stock VALUES ('e', $1, 1)";
        write(pieces, Type::FLOAT8, &6.0_f64)
            .await
            .expect("it fits");
        let refused = write(pieces, Type::FLOAT8, &6.5_f64).await;
        assert_eq!(told(&refused.expect_err("not a whole number")).0, "22003");
        let refused = write(pieces, Type::INT8, &(1_i64 << 40)).await;
        assert_eq!(told(&refused.expect_err("too large")).0, "22003");

        // What is compared is not.
        let above = "SELECT count(*) FROM stock WHERE price >= $1";
        assert_eq!(count(client, above, Type::FLOAT8, &12.35_f64).await, 1);
        assert_eq!(count(client, above, Type::FLOAT8, &12.351_f64).await, 0);
        assert_eq!(count(client, above, Type::FLOAT8, &12.349_f64).await, 1);
        assert_eq!(count(client, above, Type::INT4, &7_i32).await, 2);
        let above = "SELECT count(*) FROM stock WHERE pieces > $1";
        assert_eq!(count(client, above, Type::FLOAT8, &4.5_f64).await, 3);
        assert_eq!(count(client, above, Type::INT8, &(1_i64 << 40)).await, 0);

        // Columns are what the client was told, or the statement fails.
        let sum = "SELECT price + $1 FROM stock WHERE sku = 'b'";
        let sum = client.prepare_typed(sum, &[Type::FLOAT8]).await;
        let sum = sum.expect("it can be prepared");
        let refused = client.query(&sum, &[&0.001_f64]).await;
        assert_eq!(told(&refused.expect_err("it is a float")).0, "42804");
    });
    let expected = ["a|3|12.35", "b|4|7.00", "c|5|1.01", "d|6|-", "e|6|1.00"];
    assert_eq!(asked.stock(), expected);
}

#[test]
fn a_token_that_reads_does_not_write() {
    let tokens = vec![
        Token::new("read-secret", true, false),
        Token::new("write-secret", true, true),
    ];
    let shop = shop(tokens, Limits::default());
    let runtime = runtime();
    runtime.block_on(async {
        let writer = connect(&shop, "write-secret").await.expect("it may ask");
        let reader = connect(&shop, "read-secret").await.expect("it may ask");
        let begin = format!("{STOCK}; INSERT INTO stock VALUES ('a', 1, 1)");
        let done = writer.batch_execute(&begin).await;
        done.expect("it may write");
        for sql in [
            "INSERT INTO stock VALUES ('b', 1, 1)",
            "UPDATE stock SET pieces = 2",
            "DELETE FROM stock",
            "TRUNCATE stock",
            "COPY stock FROM STDIN",
            "CREATE VIEW v AS SELECT sku FROM stock",
            "CREATE TABLE t (a INT)",
            "DROP TABLE stock",
            "COMMENT ON TABLE stock IS 'Ours.'",
        ] {
            let refused = reader.batch_execute(sql).await.expect_err(sql);
            assert_eq!(told(&refused).0, "42501", "{sql}");
            let refused = reader.execute(sql, &[]).await.expect_err(sql);
            assert_eq!(told(&refused).0, "42501", "{sql}");
        }
        let rows = reader.query("SELECT * FROM stock", &[]).await;
        assert_eq!(rows.expect("it may read").len(), 1);
    });
}

/// The bytes of a message of a client.
fn message(kind: Option<u8>, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("a short message");
    let mut bytes: Vec<u8> = kind.into_iter().collect();
    bytes.extend(length.to_be_bytes());
    bytes.extend(body);
    bytes
}

/// The first message of a server that is of a kind.
fn first(stream: &mut impl Read, kind: u8) -> Vec<u8> {
    loop {
        let mut head = [0; 5];
        stream.read_exact(&mut head).expect("a message");
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        let mut body = vec![0; length as usize - 4];
        stream.read_exact(&mut body).expect("a message");
        if head[0] == kind {
            return body;
        }
        assert_ne!(head[0], b'E', "{}", String::from_utf8_lossy(&body));
    }
}

#[test]
fn whoever_asks_for_tls_has_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]);
    let made = made.expect("a certificate");
    let files = TlsFiles {
        certificate: folder.path().join("cert.pem"),
        key: folder.path().join("key.pem"),
    };
    fs::write(&files.certificate, made.cert.pem()).expect("a file");
    fs::write(&files.key, made.signing_key.serialize_pem()).expect("a file");
    let mut config = local();
    config.pg = vec![([127, 0, 0, 1], 0).into()];
    config.tls = Some(files);
    let shop = Shop::with(SHOP, 1, config);

    let mut stream = TcpStream::connect(shop.pg_address()).expect("a connection");
    stream.write_all(&SSL_REQUEST).expect("it is sent");
    let mut yes = [0];
    stream.read_exact(&mut yes).expect("an answer");
    assert_eq!(yes, *b"S");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let client = rustls::ClientConnection::new(Arc::new(client), name).expect("a client");
    let mut stream = rustls::StreamOwned::new(client, stream);
    let startup = message(None, b"\0\x03\0\0user\0ann\0database\0tillrace\0\0");
    stream.write_all(&startup).expect("it is sent");
    first(&mut stream, b'Z');
    let query = message(Some(b'Q'), b"SELECT 41 + 1\0");
    stream.write_all(&query).expect("it is sent");
    assert!(first(&mut stream, b'D').ends_with(b"42"));

    // Where there is no certificate, the client is told.
    let shop = self::shop(Vec::new(), Limits::default());
    let mut stream = TcpStream::connect(shop.pg_address()).expect("a connection");
    stream.write_all(&SSL_REQUEST).expect("it is sent");
    let mut no = [0];
    stream.read_exact(&mut no).expect("an answer");
    assert_eq!(no, *b"N");
}

//! Tokens, TLS, origins, limits.

use std::fs;
use std::net::TcpStream;
use std::sync::Arc;

use tillrace::serve::{ServeError, Server, TlsFiles, Token};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::support::{Events, SHOP, Shop, agent, answer, local, raw};

fn guarded() -> Shop {
    let mut config = local();
    config.tokens = vec![
        Token::new("read-secret", true, false),
        Token::new("write-secret", false, true),
        Token::new("both-secret", true, true),
    ];
    Shop::with(SHOP, 1, config)
}

#[test]
fn asks_for_a_token_with_the_right() {
    let shop = guarded();
    let get = |path: &str, token: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        let headers = if token.is_empty() {
            &headers[..0]
        } else {
            &headers[..]
        };
        let answer = shop.get_with(path, headers);
        (
            answer.status,
            answer.header("www-authenticate").map(str::to_owned),
        )
    };
    for path in [
        "/views",
        "/views/by_product",
        "/status",
        "/graph",
        "/metrics",
        "/views/by_product/schema",
    ] {
        assert_eq!(get(path, ""), (401, Some("Bearer".to_owned())), "{path}");
        assert_eq!(get(path, "guess").0, 401, "{path}");
        assert_eq!(get(path, "read-secre").0, 401, "{path}");
        assert_eq!(get(path, "write-secret").0, 403, "{path}");
        assert_eq!(get(path, "read-secret").0, 200, "{path}");
        assert_eq!(get(path, "both-secret").0, 200, "{path}");
    }
    for path in ["/", "/healthz", "/openapi.json"] {
        assert_eq!(get(path, "").0, 200, "{path}");
    }
    let post = |path: &str, token: &str, body: &str| {
        let bearer = format!("Bearer {token}");
        shop.post(path, &[("authorization", &bearer)], body.as_bytes())
            .status
    };
    let sale = r#"{"product_id":"p1","quantity":1}"#;
    assert_eq!(post("/ingest/sales", "read-secret", sale), 403);
    assert_eq!(post("/ingest/sales", "write-secret", sale), 200);
    assert_eq!(post("/sql", "write-secret", "SELECT 1"), 403);
    assert_eq!(post("/sql", "read-secret", "SELECT 1"), 200);
}

#[test]
fn takes_a_token_in_the_query_string_for_changes_only() {
    let shop = guarded();
    assert_eq!(shop.get("/views?token=read-secret").status, 401);
    assert_eq!(
        shop.get("/views/by_product/changes?token=guess").status,
        401
    );
    let mut events = Events::open(&shop, "/views/by_product/changes?token=read-secret", "");
    assert_eq!(events.next().expect("an event").kind, "snapshot");
    let url = format!(
        "ws://{}/views/by_product/changes?token=read-secret",
        shop.address
    );
    assert!(tungstenite::connect(url).is_ok());
    let url = format!("ws://{}/views/by_product/changes", shop.address);
    assert!(tungstenite::connect(url).is_err());
}

#[test]
fn keeps_pages_of_other_origins_out() {
    let shop = Shop::open();
    let from = |origin: &str| {
        shop.post("/ingest/sales", &[("origin", origin)], b"")
            .status
    };
    assert_eq!(from("https://evil.example"), 403);
    assert_eq!(from("null"), 403);
    assert_eq!(from(&format!("http://{}", shop.address)), 200);
    // A name that resolves to this machine but belongs to somebody else.
    let request = "GET /views HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert!(raw(shop.address, request.as_bytes()).starts_with("HTTP/1.1 403"));
    let request = "GET /views HTTP/1.1\r\nHost: localhost:1\r\nConnection: close\r\n\r\n";
    assert!(raw(shop.address, request.as_bytes()).starts_with("HTTP/1.1 200"));
    let views = shop.get_with("/views", &[("origin", "https://evil.example")]);
    assert_eq!(views.header("access-control-allow-origin"), None);
}

#[test]
fn lets_allowed_origins_in() {
    let mut config = local();
    config.allowed_origins = vec!["https://shop.example".to_owned()];
    let shop = Shop::with(SHOP, 1, config);
    let views = shop.get_with("/views", &[("origin", "https://shop.example")]);
    assert_eq!(
        views.header("access-control-allow-origin"),
        Some("https://shop.example")
    );
    let other = shop.get_with("/views", &[("origin", "https://evil.example")]);
    assert_eq!(other.header("access-control-allow-origin"), None);
    let push = shop.post("/ingest/sales", &[("origin", "https://shop.example")], b"");
    assert_eq!(push.status, 200);
    let mut config = local();
    config.allowed_origins = vec!["shop".to_owned()];
    let started = Server::start(config, Arc::clone(&shop.live));
    assert!(matches!(started, Err(ServeError::Origin(_))));
}

#[test]
fn hardens_answers_and_leaks_nothing() {
    let shop = guarded();
    for path in [
        "/",
        "/views",
        "/nothing",
        "/assets/../Cargo.toml",
        "/assets/%2e%2e%2fCargo.toml",
    ] {
        let answer = shop.get(path);
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(policy.starts_with("default-src 'self'"), "{path}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let text = answer.text();
        assert!(
            !text.contains("secret") && !text.contains("/work"),
            "{path}: {text}"
        );
    }
    assert_eq!(shop.get("/assets/..%2fCargo.toml").status, 404);
}

#[test]
fn speaks_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    let files = TlsFiles {
        certificate: folder.path().join("cert.pem"),
        key: folder.path().join("key.pem"),
    };
    fs::write(&files.certificate, made.cert.pem()).expect("a file");
    fs::write(&files.key, made.signing_key.serialize_pem()).expect("a file");
    let mut config = local();
    config.tls = Some(files.clone());
    let shop = Shop::with(SHOP, 1, config);
    let root = Certificate::from_der(made.cert.der()).to_owned();
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&[root]))
        .build();
    let client: ureq::Agent = ureq::Agent::config_builder().tls_config(tls).build().into();
    let url = format!("https://localhost:{}/views", shop.address.port());
    let views = answer(client.get(url).call());
    assert_eq!(views.status, 200);
    assert!(views.json()["views"].is_array());
    // Whoever does not know the certificate, or speaks plainly, gets nothing.
    let url = format!("https://localhost:{}/views", shop.address.port());
    assert!(agent().get(url).call().is_err());
    assert!(agent().get(shop.url("/views")).call().is_err());

    fs::write(&files.key, "nonsense").expect("a file");
    let mut config = local();
    config.tls = Some(files);
    let started = Server::start(config, Arc::clone(&shop.live));
    assert!(matches!(started, Err(ServeError::Tls { .. })));
}

#[test]
fn an_address_that_others_reach_demands_something() {
    let shop = Shop::open();
    let mut config = local();
    config.listen = vec![([0, 0, 0, 0], 0).into()];
    let started = Server::start(config.clone(), Arc::clone(&shop.live));
    assert!(matches!(started, Err(ServeError::Exposed { .. })));
    config.tokens = vec![Token::new("secret", true, false)];
    Server::start(config.clone(), Arc::clone(&shop.live)).expect("a token is demanded");
    config.tokens.clear();
    config.open = true;
    Server::start(config, Arc::clone(&shop.live)).expect("it is said to be open");
}

#[test]
fn says_which_address_is_taken() {
    let shop = Shop::open();
    let mut config = local();
    config.listen = vec![shop.address];
    let started = Server::start(config, Arc::clone(&shop.live));
    let Err(ServeError::Listen { address, .. }) = started else {
        panic!("two servers on one port");
    };
    assert_eq!(address, shop.address);
    let mut config = local();
    config.listen.clear();
    let started = Server::start(config, Arc::clone(&shop.live));
    assert!(matches!(started, Err(ServeError::Nowhere)));
}

#[test]
fn turns_away_connections_that_are_too_many() {
    let mut config = local();
    config.limits.connections = 2;
    let shop = Shop::with(SHOP, 1, config);
    let mut first = Events::open(&shop, "/views/by_product/changes", "");
    let mut second = Events::open(&shop, "/views/by_product/changes", "");
    assert_eq!(first.next().expect("an event").kind, "snapshot");
    assert_eq!(second.next().expect("an event").kind, "snapshot");
    let mut third = TcpStream::connect(shop.address).expect("the system takes it");
    let mut rest = Vec::new();
    // Closed without a word.
    let read = std::io::Read::read_to_end(&mut third, &mut rest);
    assert!(read.is_err() || rest.is_empty());
    drop((first, second));
}

//! Status, graph, metrics, the page, the document.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use crate::support::Shop;

#[test]
fn says_how_the_run_goes() {
    let shop = Shop::stocked();
    assert_eq!(shop.get("/healthz").text(), "ok\n");
    assert_eq!(shop.get("/readyz").status, 200);
    let status = shop.json("/status");
    assert_eq!(status["state"], "live");
    assert_eq!(status["workers"], 2);
    // Counted just after readers can see the epoch.
    while shop.json("/status")["epochs_published"] == 0 {
        std::thread::yield_now();
    }
    assert!(status["memory_bytes"].as_u64() > Some(1 << 20));
    let input = &status["inputs"][0];
    assert_eq!(input["table"], "products");
    assert_eq!(input["location"], "POST /ingest/products");
    assert_eq!(
        (&input["kind"], &input["state"]),
        (&json!("live"), &json!("live"))
    );
    assert_eq!((&input["rows"], &input["rejects"]), (&json!(2), &json!(0)));
}

#[test]
fn shows_the_dataflow() {
    let shop = Shop::open();
    let graph = shop.json("/graph");
    let nodes = graph["nodes"].as_array().expect("nodes");
    let of_kind = |kind: &str| nodes.iter().filter(|node| node["kind"] == kind).count();
    assert!(of_kind("Input") >= 2 && of_kind("Join") >= 1 && of_kind("Reduce") >= 2);
    let ids: Vec<_> = nodes.iter().map(|node| node["id"].clone()).collect();
    for node in nodes {
        let inputs = node["inputs"].as_array().expect("inputs");
        assert!(inputs.iter().all(|input| ids.contains(input)));
        assert!(node["state"].is_string() && node["bounded"].is_boolean());
        assert!(node["stats"].is_null() || node["stats"].is_object());
    }
    assert!(nodes.iter().any(|node| node["name"] == "by_category"));
    assert!(
        nodes
            .iter()
            .any(|node| node["name"] == "sales" && node["kind"] == "Input")
    );
}

#[test]
fn tells_metrics_that_prometheus_reads() {
    let shop = Shop::stocked();
    shop.push(
        "sales",
        r#"[{"product_id":"p1","quantity":2,"amount":"25.00","at":"2024-05-01"}, 7]"#,
    );
    shop.json("/views/by_category");
    assert_eq!(shop.get("/views/none").status, 404);
    let answer = shop.get("/metrics");
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let text = answer.text();
    let mut types: BTreeMap<&str, &str> = BTreeMap::new();
    let mut samples: BTreeMap<&str, f64> = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert!(
                types.insert(name, kind).is_none(),
                "{name} is told of twice"
            );
        } else if !line.starts_with("# HELP ") {
            let (series, value) = line.rsplit_once(' ').expect("a sample");
            let value = value
                .parse()
                .unwrap_or_else(|_| panic!("no number: {line}"));
            assert!(
                samples.insert(series, value).is_none(),
                "{series} is told of twice"
            );
            let name = series.split('{').next().expect("a name");
            let base = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end));
            let known = types.contains_key(name)
                || base.is_some_and(|b| types.get(b) == Some(&"histogram"));
            assert!(known, "{name} has no type");
        }
    }
    let sales = "{input=\"1\",table=\"sales\",location=\"POST /ingest/sales\",kind=\"pushed\"}";
    assert_eq!(
        samples[format!("tillrace_input_rows_total{sales}").as_str()],
        1.0
    );
    assert_eq!(
        samples[format!("tillrace_input_rejects_total{sales}").as_str()],
        1.0
    );
    assert_eq!(samples["tillrace_view_rows{view=\"by_category\"}"], 1.0);
    assert_eq!(
        samples["tillrace_http_request_seconds_count{route=\"/views/{name}\",status=\"404\"}"],
        1.0
    );
    assert_eq!(
        samples["tillrace_http_request_seconds_bucket{route=\"/views/{name}\",status=\"200\",le=\"+Inf\"}"],
        1.0
    );
    assert!(samples.contains_key("tillrace_epochs_total") && samples["tillrace_ready"] == 1.0);
}

#[test]
fn serves_the_page_and_lets_browsers_keep_it() {
    let shop = Shop::open();
    let page = shop.get("/");
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let tag = page.header("etag").expect("a tag").to_owned();
    let again = shop.get_with("/", &[("if-none-match", &tag)]);
    assert_eq!((again.status, again.body.len()), (304, 0));
    let other = shop.get_with("/", &[("if-none-match", "\"other\"")]);
    assert_eq!(other.status, 200);
    assert_eq!(shop.get("/assets/index.html").body, page.body);
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/serve/dashboard"));
    let mut served = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(inner) = folders.pop() {
        for file in std::fs::read_dir(inner).expect("the folder") {
            let path = file.expect("a file").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).expect("within the folder");
            let asset = shop.get(&format!("/assets/{}", name.display()));
            let content = std::fs::read(&path).expect("a file");
            assert!(
                asset.body == content,
                "{} is not as it is on disk",
                name.display()
            );
            assert!(asset.header("content-type").is_some());
            served += 1;
        }
    }
    assert!(served > 0);
}

#[test]
fn describes_itself() {
    let shop = Shop::open();
    let document = shop.json("/openapi.json");
    let paths = document["paths"].as_object().expect("paths");
    for path in [
        "/views",
        "/views/{name}",
        "/views/{name}/schema",
        "/views/{name}/changes",
        "/sql",
        "/ingest/{table}",
        "/graph",
        "/status",
        "/metrics",
        "/healthz",
        "/readyz",
    ] {
        assert!(paths.contains_key(path), "{path}");
    }
    assert_eq!(document["info"]["title"], "Tillrace");
}

#[test]
fn takes_no_more_once_it_stops() {
    let shop = Shop::stocked();
    let address = shop.address;
    shop.close();
    assert!(std::net::TcpStream::connect(address).is_err());
}

//! The dashboard: a page and its parts, in the binary.

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use include_dir::{Dir, include_dir};
use xxhash_rust::xxh3::xxh3_64;

use super::problem::Problem;

static FOLDER: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/src/serve/dashboard");

/// The parts by their paths, each with a tag that changes when it does.
static ASSETS: LazyLock<HashMap<String, Asset>> = LazyLock::new(|| {
    let mut assets = HashMap::new();
    collect(&FOLDER, &mut assets);
    assets
});

struct Asset {
    bytes: &'static [u8],
    tag: HeaderValue,
    media_type: &'static str,
}

fn collect(folder: &'static Dir<'static>, assets: &mut HashMap<String, Asset>) {
    for file in folder.files() {
        let path = file.path().to_string_lossy().replace('\\', "/");
        let tag = format!("\"{:016x}\"", xxh3_64(file.contents()));
        let asset = Asset {
            bytes: file.contents(),
            tag: HeaderValue::from_str(&tag).expect("a tag is ASCII"),
            media_type: media_type(&path),
        };
        assets.insert(path, asset);
    }
    for folder in folder.dirs() {
        collect(folder, assets);
    }
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "webmanifest" => "application/manifest+json",
        _ => "text/plain; charset=utf-8",
    }
}

/// The page.
pub(super) async fn index(headers: HeaderMap) -> Response {
    serve("index.html", &headers)
}

/// A part of the page.
pub(super) async fn asset(Path(path): Path<String>, headers: HeaderMap) -> Response {
    serve(&path, &headers)
}

fn serve(path: &str, headers: &HeaderMap) -> Response {
    let Some(asset) = ASSETS.get(path) else {
        let message = "the page has no such part";
        return Problem::new(StatusCode::NOT_FOUND, "unknown_path", message).into_response();
    };
    let known = headers.get(header::IF_NONE_MATCH);
    let known = known.and_then(|known| known.to_str().ok());
    let tag = asset.tag.to_str().unwrap_or_default();
    // A weak tag is what a proxy that packs the answer makes of it.
    let is_known = known.is_some_and(|known| {
        let mut tags = known
            .split(',')
            .map(|tag| tag.trim().trim_start_matches("W/"));
        tags.any(|known| known == tag || known == "*")
    });
    let head = [
        (header::ETAG, asset.tag.clone()),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    if is_known {
        return (StatusCode::NOT_MODIFIED, head).into_response();
    }
    let media_type = HeaderValue::from_static(asset.media_type);
    let kind = [(header::CONTENT_TYPE, media_type)];
    (head, kind, asset.bytes).into_response()
}

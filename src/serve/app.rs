//! What all requests share, and which path is answered by what.

use std::any::Any;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::{Semaphore, watch};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::predicate::{DefaultPredicate, Predicate, SizeAbove};
use tower_http::compression::{CompressionLayer, CompressionLevel};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::config::{ServeConfig, ServeError};
use super::pg::catalogue;
use super::problem::Problem;
use super::status::{Rates, Readiness};
use super::traffic::Traffic;
use super::{
    assets, changes, decisions, graph, guard, ingest, metrics, openapi, sql, status, views, why,
};
use crate::engine::{Live, chain};
use crate::session::{SessionLimits, Sessions};

/// What all requests share.
pub(super) struct App {
    config: ArcSwap<Setup>,
    pub(super) live: Arc<Live>,
    pub(super) traffic: Traffic,
    pub(super) rates: Rates,
    pub(super) readiness: Readiness,
    pub(super) sessions: Arc<Sessions>,
    /// Whoever follows changes holds one.
    pub(super) followers: Arc<Semaphore>,
    /// Held by whoever is told why a number changed.
    pub(super) reasons: Semaphore,
    closing: watch::Sender<bool>,
}

/// What may change while requests are answered: each keeps what it began with.
pub(super) struct Setup {
    config: ServeConfig,
    origins: Vec<HeaderValue>,
}

impl Deref for Setup {
    type Target = ServeConfig;

    fn deref(&self) -> &ServeConfig {
        &self.config
    }
}

impl Setup {
    /// # Errors
    /// If an allowed origin is none.
    fn new(config: ServeConfig) -> Result<Arc<Setup>, ServeError> {
        let origin = |origin: &String| {
            let value = HeaderValue::from_str(origin).ok();
            let value = value.filter(|_| origin.contains("://") && !origin.ends_with('/'));
            value.ok_or_else(|| ServeError::Origin(origin.clone()))
        };
        let origins = config.allowed_origins.iter().map(origin);
        let origins = origins.collect::<Result<_, _>>()?;
        Ok(Arc::new(Setup { config, origins }))
    }
}

impl App {
    /// The state of a server that is about to start.
    ///
    /// # Errors
    /// If an allowed origin is none, or DataFusion has no session.
    pub(super) fn new(config: ServeConfig, live: Arc<Live>) -> Result<Arc<App>, ServeError> {
        let limits = SessionLimits {
            queries: config.limits.queries,
            query_bytes: config.limits.query_bytes,
        };
        let start = |error: &dyn std::error::Error| ServeError::Start(chain(error));
        let sessions = Sessions::new(Arc::clone(&live), limits);
        let mut sessions = sessions.map_err(|error| start(&error))?;
        let relations = match config.pg.is_empty() {
            true => None,
            false => Some(catalogue::add_to(&mut sessions).map_err(|error| start(&error))?),
        };
        let sessions = Arc::new(sessions);
        if let Some(relations) = relations {
            relations.are_of(&sessions);
        }
        decisions::want_indexes(live.catalog());
        Ok(Arc::new(App {
            followers: Arc::new(Semaphore::new(config.limits.followers)),
            config: ArcSwap::new(Setup::new(config)?),
            live,
            traffic: Traffic::default(),
            rates: Rates::default(),
            readiness: Readiness::default(),
            sessions,
            reasons: Semaphore::new(1),
            closing: watch::Sender::new(false),
        }))
    }

    /// How it is set up, for as long as a request takes.
    pub(super) fn config(&self) -> Arc<Setup> {
        self.config.load_full()
    }

    /// Takes over another setup.
    ///
    /// # Errors
    /// If an allowed origin is none.
    pub(super) fn reconfigure(&self, config: ServeConfig) -> Result<(), ServeError> {
        self.config.store(Setup::new(config)?);
        Ok(())
    }

    /// Tells everybody that the server stops.
    pub(super) fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Whether the server stops.
    pub(super) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// Returns when the server stops.
    pub(super) async fn closed(&self) {
        let mut closing = self.closing.subscribe();
        // The sender is part of the app, which is here.
        let _ = closing.wait_for(|closing| *closing).await;
    }

    /// Whether a page of this origin may ask.
    pub(super) fn allows_origin(&self, origin: &HeaderValue) -> bool {
        self.config().origins.contains(origin)
    }
}

/// The paths and what answers them.
pub(super) fn router(app: &Arc<App>) -> Router {
    let compression = CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(DefaultPredicate::new().and(SizeAbove::new(2048)));
    let router = Router::new()
        .route("/", get(assets::index))
        .route("/assets/{*path}", get(assets::asset))
        .route("/views", get(views::list))
        .route("/views/{name}", get(views::rows))
        .route("/views/{name}/schema", get(views::schema))
        .route("/views/{name}/changes", get(changes::changes))
        .route("/views/{name}/by/{column}/{key}", get(decisions::by_key))
        .route("/views/{name}/why", get(why::why))
        .route("/decisions/{key}", get(decisions::decision))
        .route("/sql", post(sql::sql))
        .route("/ingest/{table}", post(ingest::ingest))
        .route("/graph", get(graph::graph))
        .route("/status", get(status::status))
        .route("/metrics", get(metrics::metrics))
        .route("/healthz", get(status::healthz))
        .route("/readyz", get(status::readyz))
        .route("/openapi.json", get(openapi::document))
        .fallback(no_path)
        .method_not_allowed_fallback(no_method)
        .with_state(Arc::clone(app))
        .layer(compression)
        .layer(from_fn_with_state(Arc::clone(app), guard::time_limit))
        .layer(from_fn_with_state(Arc::clone(app), guard::admit))
        .layer(CatchPanicLayer::custom(panicked));
    router
        .layer(cors(app))
        .layer(from_fn(guard::harden))
        .layer(from_fn_with_state(Arc::clone(app), guard::observe))
}

fn cors(app: &Arc<App>) -> CorsLayer {
    const SHOWN: [&str; 4] = [
        "tillrace-epoch",
        "tillrace-closed-at",
        "tillrace-newest-event-time",
        "tillrace-total",
    ];
    let app = Arc::clone(app);
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin, _| {
            app.allows_origin(origin)
        }))
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::CONTENT_ENCODING,
            HeaderName::from_static("last-event-id"),
        ])
        .expose_headers(SHOWN.map(HeaderName::from_static))
        .max_age(Duration::from_secs(600))
}

async fn no_path() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "unknown_path",
        "there is nothing at this path; /openapi.json lists what there is",
    )
}

async fn no_method() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "wrong_method",
        "this path does not answer to this method",
    )
}

/// In a program that embeds the server, a panic spoils one answer and no more. What it was is in
/// the log of the panic hook.
fn panicked(_panic: Box<dyn Any + Send + 'static>) -> Response {
    Problem::internal("the request could not be answered", &"a panic").into_response()
}

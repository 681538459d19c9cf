//! An engine with sessions, and statements asked of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::ScalarValue;
use tillrace::engine::{Config, Live, LiveConfig, Ticks, Wiring};
use tillrace::plan::{self, Purpose};
use tillrace::script::{self, Functions};
use tillrace::session::{Outcome, Session, SessionError, SessionLimits, Sessions};
use tokio::runtime::{Builder, Runtime};

/// An engine with sessions.
pub struct Desk {
    pub live: Arc<Live>,
    pub sessions: Arc<Sessions>,
    runtime: Runtime,
}

/// One client of it.
pub struct Client<'a> {
    desk: &'a Desk,
    session: Session,
}

impl Desk {
    /// An engine that is started with a script.
    pub fn open(script: &str, workers: usize) -> Desk {
        Desk::limited(script, workers, None)
    }

    /// The same with a limit on the memory of the process.
    pub fn limited(script: &str, workers: usize, memory_limit: Option<u64>) -> Desk {
        Desk::of(script, Functions::default(), workers, memory_limit)
    }

    /// An engine in a program that brings functions along.
    pub fn with_functions(script: &str, functions: Functions) -> Desk {
        Desk::of(script, functions, 1, None)
    }

    fn of(script: &str, functions: Functions, workers: usize, memory_limit: Option<u64>) -> Desk {
        let mut sources = script::Sources::default();
        sources.insert(PathBuf::from("test.sql"), script.to_owned());
        let script = script::parse(sources).unwrap_or_else(|faults| panic!("{faults}"));
        let script = script::Script {
            functions,
            ..script
        };
        let purpose = Purpose::of_sessions(&script);
        let plan = plan::plan_for(Arc::new(script), &purpose);
        let plan = plan.unwrap_or_else(|faults| panic!("{faults}"));
        let config = LiveConfig {
            engine: Config {
                workers,
                ..Config::default()
            },
            ticks: Ticks::default(),
            keep: Default::default(),
            memory_limit,
        };
        let live = Live::start(Arc::new(plan), config, Wiring::default());
        let live = live.unwrap_or_else(|error| panic!("{error}"));
        let sessions = Sessions::new(Arc::clone(&live), SessionLimits::default());
        let sessions = Arc::new(sessions.unwrap_or_else(|error| panic!("{error}")));
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("there are threads");
        Desk {
            live,
            sessions,
            runtime,
        }
    }

    /// A client that may write.
    pub fn client(&self) -> Client<'_> {
        Client {
            desk: self,
            session: self.sessions.open(true),
        }
    }

    /// Waits for something.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(async {
            let waited = tokio::time::timeout(Duration::from_secs(60), future).await;
            waited.expect("it does not take a minute")
        })
    }
}

impl Client<'_> {
    /// What comes of a statement.
    pub fn outcome(&mut self, sql: &str) -> Result<Outcome, SessionError> {
        self.with(sql, &[])
    }

    /// What comes of a statement with parameters.
    pub fn with(&mut self, sql: &str, values: &[ScalarValue]) -> Result<Outcome, SessionError> {
        let desk = self.desk;
        desk.wait(self.session.execute(sql, values))
    }

    /// What is said of a statement that is done.
    #[track_caller]
    pub fn does(&mut self, sql: &str) -> String {
        match self.outcome(sql) {
            Ok(Outcome::Tag(tag)) => tag,
            Ok(other) => panic!("{sql}\nis {other:?}"),
            Err(error) => panic!("{sql}\n{error:?}"),
        }
    }

    /// What is said of a statement that fails: SQLSTATE and message.
    #[track_caller]
    pub fn fails(&mut self, sql: &str) -> (String, String) {
        match self.outcome(sql) {
            Ok(outcome) => panic!("{sql}\ndoes not fail: {outcome:?}"),
            Err(error) => (error.sqlstate().to_owned(), error.message().to_owned()),
        }
    }

    /// The rows of a query, each a text with bars between its values.
    #[track_caller]
    pub fn rows(&mut self, sql: &str) -> Vec<String> {
        match self.outcome(sql) {
            Ok(Outcome::Rows(rows)) => {
                let rows = self.desk.wait(rows.collect(1_000_000));
                lines(&rows.unwrap_or_else(|error| panic!("{sql}\n{error:?}")))
            }
            Ok(other) => panic!("{sql}\nis {other:?}"),
            Err(error) => panic!("{sql}\n{error:?}"),
        }
    }

    /// The session itself.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }
}

/// Rows as texts with bars between their values.
pub fn lines(rows: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("null");
    let columns = rows.columns().iter();
    let columns = columns.map(|column| ArrayFormatter::try_new(column, &options));
    let columns: Vec<_> = columns
        .map(|column| column.expect("it can be shown"))
        .collect();
    let line = |row| {
        let values = columns.iter().map(|column| column.value(row).to_string());
        values.collect::<Vec<_>>().join("|")
    };
    (0..rows.num_rows()).map(line).collect()
}

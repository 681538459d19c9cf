//! The records of sample files, and the disorder in which a network may bring them.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use tillrace::script::Table;
use tillrace::source::InputSpec;

/// One input's records.
pub struct Lines {
    /// The first line of a CSV file.
    pub header: Option<String>,
    /// The others, without line ends.
    pub records: Vec<String>,
}

impl Lines {
    pub fn read(spec: &InputSpec) -> Lines {
        let text = fs::read_to_string(&spec.location);
        let text = text.unwrap_or_else(|error| panic!("{}: {error}", spec.location));
        let mut records: Vec<String> = text.lines().map(str::to_owned).collect();
        let is_csv = spec.location.ends_with(".csv");
        let header = is_csv.then(|| records.remove(0));
        Lines { header, records }
    }

    /// The name of the format.
    pub fn format(&self) -> &'static str {
        if self.header.is_some() {
            "csv"
        } else {
            "jsonl"
        }
    }

    /// The records in another order, but for those of one identity, which keep theirs; where the
    /// table drops what comes again, some come again.
    pub fn shuffled(&self, table: &Table, random: &mut ChaCha8Rng) -> Vec<String> {
        let mut records = self.records.clone();
        let is_dropped = |record: &String| self.identity(table, record).is_some();
        if table.options.dedup.is_some() {
            let again = self.records.iter().filter(|record| is_dropped(record));
            let again: Vec<String> = again
                .filter(|_| random.random_ratio(1, 10))
                .cloned()
                .collect();
            records.extend(again);
        }
        let mut places: Vec<usize> = (0..records.len()).collect();
        places.shuffle(random);
        let mut by_identity: HashMap<String, Vec<usize>> = HashMap::new();
        for (place, &record) in places.iter().enumerate() {
            if let Some(identity) = self.identity(table, &records[record]) {
                by_identity.entry(identity).or_default().push(place);
            }
        }
        for of_one in by_identity.into_values() {
            let mut sorted: Vec<usize> = of_one.iter().map(|&place| places[place]).collect();
            sorted.sort_unstable();
            for (place, record) in of_one.into_iter().zip(sorted) {
                places[place] = record;
            }
        }
        places
            .into_iter()
            .map(|record| records[record].clone())
            .collect()
    }

    /// What makes a record the same as another; none if nothing does.
    fn identity(&self, table: &Table, record: &str) -> Option<String> {
        let columns = match &table.options.dedup {
            Some(dedup) => &dedup.columns,
            None => &table.primary_key,
        };
        if columns.is_empty() {
            return None;
        }
        let fields = self.fields(record);
        let parts = columns.iter().map(|&column| {
            let mut paths = table.columns[column].paths.iter();
            let found = paths.find_map(|path| fields.get(path.first()?));
            found.map(Value::to_string)
        });
        parts
            .collect::<Option<Vec<String>>>()
            .map(|parts| parts.join("\n"))
    }

    fn fields(&self, record: &str) -> serde_json::Map<String, Value> {
        let Some(header) = &self.header else {
            let value = serde_json::from_str(record).expect("the samples are JSON");
            let Value::Object(mut fields) = value else {
                panic!("no object: {record}");
            };
            fields.retain(|_, value| !value.is_null());
            return fields;
        };
        assert!(!record.contains('"'), "a record with quotes: {record}");
        let named = header.split(',').zip(record.split(','));
        named
            .map(|(name, value)| (name.to_owned(), Value::from(value)))
            .collect()
    }
}

/// The text of records, each with its line end, below the header if there is one.
pub fn text(header: Option<&String>, records: &[String]) -> Vec<u8> {
    let lines = header.into_iter().chain(records);
    lines
        .flat_map(|line| [line.as_bytes(), b"\n"].concat())
        .collect()
}

/// Sends bytes over one connection, in small pieces that end anywhere, with pauses.
pub fn trickle(address: SocketAddr, bytes: &[u8], seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut connection = TcpStream::connect(address).expect("a connection is made");
    connection.set_nodelay(true).expect("it can be set");
    let mut rest = bytes;
    while !rest.is_empty() {
        let length = random.random_range(1..4000).min(rest.len());
        connection
            .write_all(&rest[..length])
            .expect("the pieces are taken");
        rest = &rest[length..];
        if random.random_ratio(1, 8) {
            thread::sleep(Duration::from_micros(random.random_range(1..800)));
        }
    }
}

//! Where the records that are no rows lie.
//!
//! The rows of `tillrace.rejects` flow in; lines of text flow out, a place and a reason each.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;

/// The system's view of rejected records.
pub const VIEW: &str = "tillrace.rejects";

/// How packed files and Parquet begin. In them a position is no place in the file's own lines.
const NO_PLAIN_TEXT: [&[u8]; 3] = [&[0x1f, 0x8b], &[0x28, 0xb5, 0x2f, 0xfd], b"PAR1"];

/// The first rejects as `orders.jsonl at byte 1234 (line 17): reason`.
pub fn describe(rejects: &RecordBatch, limit: usize) -> Vec<String> {
    let text = |name: &str| {
        rejects
            .column_by_name(name)
            .and_then(|column| column.as_string_opt::<i32>())
    };
    let (Some(files), Some(reasons)) = (text("file"), text("reason")) else {
        return Vec::new();
    };
    let (inputs, tables) = (text("input"), text("table"));
    let positions = rejects
        .column_by_name("position")
        .and_then(|column| column.as_primitive_opt::<Int64Type>());

    let describe = |row: usize| {
        let reason = value(reasons, row).unwrap_or("no reason given");
        let position = positions.filter(|p| p.is_valid(row)).map(|p| p.value(row));
        let place = match (value(files, row), position) {
            (Some(file), Some(position)) => place(file, position),
            (Some(file), None) => file.to_owned(),
            (None, _) => [tables, inputs]
                .iter()
                .find_map(|column| column.and_then(|column| value(column, row)))
                .unwrap_or("a row")
                .to_owned(),
        };
        format!("{place}: {}", crate::present::cell::escape_controls(reason))
    };
    (0..rejects.num_rows().min(limit)).map(describe).collect()
}

fn value(column: &StringArray, row: usize) -> Option<&str> {
    (column.is_valid(row) && !column.value(row).is_empty()).then(|| column.value(row))
}

fn place(file: &str, position: i64) -> String {
    let Ok(position) = u64::try_from(position) else {
        return file.to_owned();
    };
    match beginning(Path::new(file)) {
        Ok(Text::Parquet) => format!("{file} at row {position}"),
        Ok(Text::Packed) => format!("{file} at byte {position} unpacked"),
        Ok(Text::Plain) => match line(Path::new(file), position) {
            Ok(line) => format!("{file} at byte {position} (line {line})"),
            Err(_) => format!("{file} at byte {position}"),
        },
        Err(_) => format!("{file} at byte {position}"),
    }
}

enum Text {
    Plain,
    Packed,
    Parquet,
}

fn beginning(file: &Path) -> io::Result<Text> {
    if !file.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let mut start = Vec::new();
    File::open(file)?.take(4).read_to_end(&mut start)?;
    let kind = NO_PLAIN_TEXT.iter().find(|magic| start.starts_with(magic));
    Ok(match kind {
        None => Text::Plain,
        Some(&b"PAR1") => Text::Parquet,
        Some(_) => Text::Packed,
    })
}

/// The line in which a byte lies, from one.
fn line(file: &Path, position: u64) -> io::Result<u64> {
    let mut reader = BufReader::new(File::open(file)?.take(position));
    let mut buffer = vec![0; 1 << 16];
    let mut line = 1;
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(line),
            read => line += memchr::memchr_iter(b'\n', &buffer[..read]).count() as u64,
        }
    }
}

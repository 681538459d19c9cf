//! Rows as Apache Parquet, compressed with Zstandard.

use std::io::{self, Write};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::slices;

/// Prepares to write a file row group by row group.
///
/// # Errors
/// If the format cannot hold the schema's types.
pub fn writer<W: Write + Send>(to: W, schema: SchemaRef) -> io::Result<ArrowWriter<W>> {
    let compression = Compression::ZSTD(ZstdLevel::default());
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .build();
    ArrowWriter::try_new(to, schema, Some(properties)).map_err(io::Error::other)
}

/// Writes a whole file.
///
/// # Errors
/// If `to` cannot be written, or the format cannot hold values of some type.
pub fn write(to: &mut (dyn Write + Send), rows: &RecordBatch) -> io::Result<()> {
    let mut writer = writer(to, rows.schema())?;
    for slice in slices(rows) {
        writer.write(&slice).map_err(io::Error::other)?;
    }
    writer.close().map_err(io::Error::other)?;
    Ok(())
}

//! The names of a sink's files.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use crate::present::whole_file::file_stem;
use crate::sink::spec::FileFormat;

/// Stands for the view's name in a path.
const VIEW: &str = "{view}";

/// Whether a path is another one for each view.
pub(in crate::sink) fn has_view(path: &Path) -> bool {
    let text = path.to_string_lossy();
    text.contains(VIEW) || is_folder(&text)
}

fn is_folder(path: &str) -> bool {
    path.ends_with(std::path::is_separator)
}

/// The path for a view.
pub(super) fn path_of_view(path: &Path, view: &str, format: FileFormat) -> PathBuf {
    let text = path.to_string_lossy();
    let stem = file_stem(view);
    let path = PathBuf::from(text.replace(VIEW, &stem));
    match is_folder(&text) {
        true => path.join(format!("{stem}.{}", format.extension())),
        false => path,
    }
}

/// Names files of changes: `sales.jsonl` becomes `sales-20240501T120000.000Z-000001.jsonl`. Sorted
/// by name they are in the order in which they were begun; the number counts from 1 in each run.
pub(super) struct Naming {
    folder: PathBuf,
    stem: String,
    extension: String,
    number: u64,
    latest: DateTime<Utc>,
}

impl Naming {
    pub(super) fn new(path: &Path) -> Naming {
        let text = |part: Option<&std::ffi::OsStr>| {
            part.map_or(String::new(), |part| part.to_string_lossy().into_owned())
        };
        let extension = text(path.extension());
        Naming {
            folder: path.parent().map(Path::to_owned).unwrap_or_default(),
            stem: text(path.file_stem()),
            extension: match extension.as_str() {
                "" => extension,
                _ => format!(".{extension}"),
            },
            number: 0,
            latest: DateTime::UNIX_EPOCH,
        }
    }

    /// The name of the next file.
    pub(super) fn next(&mut self) -> PathBuf {
        // The wall clock may be set back; names go on.
        self.latest = self.latest.max(Utc::now());
        self.number += 1;
        let time = self.latest.format("%Y%m%dT%H%M%S%.3fZ");
        let Naming {
            stem,
            number,
            extension,
            ..
        } = self;
        self.folder
            .join(format!("{stem}-{time}-{number:06}{extension}"))
    }
}

//! Files that appear under their own name only when they are whole, so that a reader never sees
//! half of one.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// A file under a temporary name beside the one that it will get; removed unless finished.
pub struct WholeFile {
    file: File,
    path: PathBuf,
    target: PathBuf,
    finished: bool,
}

impl WholeFile {
    /// Makes the file, empty.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn create(target: &Path) -> io::Result<Self> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let path = target.with_file_name(format!(".{name}.{}.unfinished", std::process::id()));
        Ok(Self {
            file: File::create(&path)?,
            path,
            target: target.to_owned(),
            finished: false,
        })
    }

    /// Where its contents are written.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its name, in place of any other of that name. It is on the disk before.
    ///
    /// # Errors
    /// If it cannot be written or renamed; then an older file stays as it was.
    pub fn finish(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, &self.target)?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if !self.finished {
            // The write has failed already; that error is the one to tell.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Checks that files can be made in a folder.
///
/// # Errors
/// If they cannot.
pub fn check_writable(folder: &Path) -> io::Result<()> {
    WholeFile::create(&folder.join("tillrace")).map(drop)
}

/// A view's name as a file's name: path separators and other characters that some file system
/// forbids become `_`.
pub fn file_stem(view: &str) -> String {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ');
    view.chars()
        .map(|c| if allowed(c) { c } else { '_' })
        .collect()
}

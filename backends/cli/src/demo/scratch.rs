//! Where the broker writes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A folder; removed at the end where nobody asked for it.
pub(crate) struct Scratch {
    folder: PathBuf,
    is_temporary: bool,
}

impl Scratch {
    pub(crate) fn new(asked_for: Option<&Path>) -> io::Result<Self> {
        let folder = match asked_for {
            Some(folder) => folder.to_path_buf(),
            None => std::env::temp_dir().join(format!("turbopump-demo-{}", std::process::id())),
        };
        fs::create_dir_all(&folder)?;
        Ok(Self { folder, is_temporary: asked_for.is_none() })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Of all files in it.
    pub(crate) fn bytes(&self) -> io::Result<u64> {
        let files = fs::read_dir(&self.folder)?;
        files.map(|file| Ok(file?.metadata()?.len())).sum()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.is_temporary {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

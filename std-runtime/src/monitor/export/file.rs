//! Numbers to a file: one JSON object per line and export, as `/metrics.json` shows them.

use core::fmt;
use core::time::Duration;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::sync::Arc;

use turbopump_core::batch::Batch;

use super::schedule::Schedule;
use crate::backend::Backend;
use crate::batch::{
    BatchSettings, BatchStats, BatchStore, FileSink, StopReport, StoreSink, SyncPolicy,
};
use crate::monitor::observer::Observer;
use crate::monitor::sources::Snapshot;

/// Where, how often and how much a [`FileExport`] writes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileExportConfig {
    /// The file; older ones get `.1`, `.2` and so on behind their name.
    pub path: PathBuf,
    /// How often; hourly. Not more often than is collected.
    pub every: Duration,
    /// A file that is longer than this is put aside; 64 MiB.
    pub file_bytes_max: u64,
    /// Files that are kept beside the present one; 4.
    pub old_files_max: u32,
}

impl FileExportConfig {
    /// Hourly to this file.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            every: Duration::from_secs(3_600),
            file_bytes_max: 64 << 20,
            old_files_max: 4,
        }
    }
}

/// Writes numbers to files: an [`Observer`], to be registered with a monitor.
pub struct FileExport<B: Backend> {
    schedule: Mutex<Schedule>,
    store: BatchStore<String, B>,
}

impl<B: Backend> FileExport<B> {
    /// Opens the file, and continues it where there is one.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn start(backend: B, config: FileExportConfig) -> io::Result<Arc<Self>> {
        let sink = RotatingLines {
            inner: FileSink::lines(&config.path)?,
            len: fs::metadata(&config.path)?.len(),
            config: config.clone(),
        };
        let mut settings = BatchSettings::of_bytes();
        settings.batch.waiting_max = LINES_MAX;
        settings.batch.items_max = LINES_MAX;
        settings.batch.item_bytes_max = settings.batch.bytes_max;
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
        let store = BatchStore::new(backend, settings, SyncPolicy::Never, sink).map_err(invalid)?;
        store.start()?;
        Ok(Arc::new(Self { schedule: Mutex::new(Schedule::new(config.every)), store }))
    }

    /// What was written: lines that could not be are counted as failed, those that came while too
    /// many waited as refused.
    #[must_use]
    pub fn stats(&self) -> BatchStats {
        self.store.stats()
    }

    /// Writes what waits.
    ///
    /// # Cancel safety
    ///
    /// It goes on when the future is dropped.
    pub async fn stop(&self) -> StopReport {
        self.store.stop().await
    }
}

impl<B: Backend> Observer for FileExport<B> {
    fn observe(&self, snapshot: &Arc<Snapshot>) {
        let mut schedule = self.schedule.lock().unwrap_or_else(PoisonError::into_inner);
        if !schedule.is_due(snapshot.now().at) {
            return;
        }
        drop(schedule);
        match snapshot.to_json() {
            // Refused where the disk is far behind; counted.
            Ok(line) => drop(self.store.try_store(line)),
            Err(error) => log::error!("numbers are not exported: {error}"),
        }
    }
}

impl<B: Backend> fmt::Debug for FileExport<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FileExport").field(&self.store).finish()
    }
}

/// Lines that wait to be written.
const LINES_MAX: u32 = 64;

/// A file of lines that is put aside when it is long.
struct RotatingLines {
    inner: FileSink,
    len: u64,
    config: FileExportConfig,
}

impl RotatingLines {
    fn rotate(&mut self) -> io::Result<()> {
        let path = &self.config.path;
        let oldest = self.config.old_files_max;
        for number in (1..oldest).rev() {
            let (from, to) = (numbered(path, number), numbered(path, number + 1));
            if from.exists() {
                fs::rename(from, to)?;
            }
        }
        match oldest {
            0 => fs::remove_file(path)?,
            _ => fs::rename(path, numbered(path, 1))?,
        }
        self.inner = FileSink::lines(path)?;
        self.len = 0;
        Ok(())
    }
}

/// The name of an old file: `FILE.1` is the youngest.
pub(in crate::monitor) fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(alloc::format!(".{number}"));
    name.into()
}

impl StoreSink<String> for RotatingLines {
    fn write(&mut self, batch: &mut Batch<'static, String>) -> io::Result<()> {
        if self.len > self.config.file_bytes_max {
            self.rotate()?;
        }
        self.inner.write(batch)?;
        self.len += batch.bytes() + batch.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        StoreSink::<String>::sync(&mut self.inner)
    }

    fn take_back(&mut self) -> io::Result<()> {
        StoreSink::<String>::take_back(&mut self.inner)
    }
}

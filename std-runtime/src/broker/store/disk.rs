//! What a store needs of a disk, and a folder of the operating system's.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::path::{Path, PathBuf};

use alloc::string::String;
use alloc::vec::Vec;

/// A flat folder of files that are appended to.
///
/// All calls block; only the store's own threads make them. A simulation has one that cuts the
/// power.
pub trait Disk: Send + Sync + 'static {
    /// An open file.
    type File: Send + Sync + 'static;

    /// The names and lengths of all files.
    ///
    /// # Errors
    ///
    /// What the disk says; so with all others.
    fn list(&self) -> io::Result<Vec<(String, u64)>>;

    /// Makes an empty file; fails where there is one of that name.
    ///
    /// # Errors
    ///
    /// What the disk says.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Opens a file, to be read and appended to.
    ///
    /// # Errors
    ///
    /// What the disk says.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Appends all of `parts` to the end of a file. After an error a part of it may be there.
    ///
    /// # Errors
    ///
    /// What the disk says.
    fn append(&self, file: &Self::File, parts: &mut [IoSlice<'_>]) -> io::Result<()>;

    /// Ends when what was appended and cut off is safe.
    ///
    /// # Errors
    ///
    /// What the disk says. Nobody knows then what is safe.
    fn sync(&self, file: &Self::File) -> io::Result<()>;

    /// Ends when files that were made and removed are safely so.
    ///
    /// # Errors
    ///
    /// What the disk says.
    fn sync_directory(&self) -> io::Result<()>;

    /// Reads from a place in a file; less than asked for only at its end.
    ///
    /// # Errors
    ///
    /// What the disk says.
    fn read_at(&self, file: &Self::File, at: u64, into: &mut [u8]) -> io::Result<usize>;

    /// Cuts a file off.
    ///
    /// # Errors
    ///
    /// What the disk says.
    fn truncate(&self, file: &Self::File, len: u64) -> io::Result<()>;

    /// Removes a file. Whoever has it open can still read it.
    ///
    /// # Errors
    ///
    /// What the disk says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Gives a file another name, in place of the file that has it, if there is one.
    ///
    /// # Errors
    ///
    /// What the disk says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
}

/// A folder of the operating system's, which belongs to one store alone as long as this is there.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Locked; the lock goes with it.
    _lock: File,
}

impl Folder {
    /// Opens a folder, which is made where it is not there.
    ///
    /// # Errors
    ///
    /// What the operating system says; [`io::ErrorKind::WouldBlock`] where another store has it.
    pub fn open(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        let mut options = OpenOptions::new();
        let lock = options.create(true).truncate(false).write(true).open(path.join("lock"))?;
        take(&lock)?;
        Ok(Self { path: path.into(), _lock: lock })
    }
}

/// Others that ask for the same lock are refused.
#[cfg(unix)]
fn take(lock: &File) -> io::Result<()> {
    use rustix::fs::{FlockOperation, flock};

    flock(lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        let problem = "another process uses this folder: stop it, or give each broker its own";
        io::Error::new(io::ErrorKind::WouldBlock, problem)
    })
}

/// There is no such lock: whoever starts two brokers in one folder is not stopped.
#[cfg(not(unix))]
fn take(_lock: &File) -> io::Result<()> {
    Ok(())
}

impl Disk for Folder {
    type File = File;

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_file() {
                files.push((entry.file_name().to_string_lossy().into_owned(), metadata.len()));
            }
        }
        Ok(files)
    }

    fn create(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().read(true).append(true).create_new(true).open(self.path.join(name))
    }

    fn open(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().read(true).append(true).open(self.path.join(name))
    }

    fn append(&self, mut file: &File, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            match file.write_vectored(parts) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => IoSlice::advance_slices(&mut parts, bytes),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_directory(&self) -> io::Result<()> {
        if cfg!(unix) { File::open(&self.path)?.sync_all() } else { Ok(()) }
    }

    fn read_at(&self, file: &File, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < into.len() {
            let room = into.get_mut(filled..).unwrap_or_default();
            match read_once(file, room, at + filled as u64) {
                Ok(0) => break,
                Ok(bytes) => filled += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn truncate(&self, file: &File, len: u64) -> io::Result<()> {
        file.set_len(len)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }
}

#[cfg(unix)]
fn read_once(file: &File, into: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, into, at)
}

#[cfg(windows)]
fn read_once(file: &File, into: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, into, at)
}

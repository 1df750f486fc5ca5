//! Files as storage.
//!
//! Records are four bytes of length, four of CRC-32 of what follows, both big-endian, and the bytes
//! of the item. So a record that was cut off when the power went is found, and removed, when the
//! file is opened again.

use core::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use alloc::vec::Vec;

use turbopump_core::batch::Batch;
use turbopump_core::checksum::crc32;

use super::store::StoreSink;

/// Appends items to a file, a batch in one write.
///
/// A batch that can't be written whole is taken back: the file ends where it ended before.
#[derive(Debug)]
pub struct FileSink {
    file: File,
    framing: Framing,
    buffer: Vec<u8>,
    /// Bytes of whole batches, and of all but the last.
    len: u64,
    len_before: u64,
    /// Whether there may be something behind the whole batches.
    is_torn: bool,
    recovered: Recovered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Lines,
    Records,
}

/// What was found in a file of records when it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovered {
    /// Whole records.
    pub records: u64,
    /// Bytes behind them that were no whole record, and were cut off.
    pub torn_bytes: u64,
}

impl FileSink {
    /// Items as lines; they should contain no line ends of their own. The file is created where
    /// there is none, and continued where there is one.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn lines(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::open(path.as_ref(), Framing::Lines)
    }

    /// Items as records, to be read by [`FileRecords`]. A torn end of an existing file is cut off.
    ///
    /// # Errors
    ///
    /// What the operating system says; a record in the middle of the file that is damaged.
    pub fn records(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::open(path.as_ref(), Framing::Records)
    }

    fn open(path: &Path, framing: Framing) -> io::Result<Self> {
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut len = file.metadata()?.len();
        let mut recovered = Recovered::default();
        if framing == Framing::Records {
            let mut records = FileRecords::open(path)?;
            while records.next_record()?.is_some() {
                recovered.records += 1;
            }
            recovered.torn_bytes = len - records.whole_bytes();
            len = records.whole_bytes();
            file.set_len(len)?;
        }
        file.seek(SeekFrom::Start(len))?;
        Ok(Self {
            file,
            framing,
            buffer: Vec::new(),
            len,
            len_before: len,
            is_torn: false,
            recovered,
        })
    }

    /// What was found when the file was opened.
    #[must_use]
    pub const fn recovered(&self) -> Recovered {
        self.recovered
    }

    /// Has the file end there, now or before the next write.
    fn roll_back(&mut self, len: u64) -> io::Result<()> {
        self.len = len;
        self.is_torn = true;
        self.file.set_len(len)?;
        self.file.seek(SeekFrom::Start(len))?;
        self.is_torn = false;
        Ok(())
    }
}

impl<T: AsRef<[u8]> + Send + 'static> StoreSink<T> for FileSink {
    fn write(&mut self, batch: &mut Batch<'static, T>) -> io::Result<()> {
        if self.is_torn {
            self.roll_back(self.len)?;
        }
        self.buffer.clear();
        for item in batch.iter() {
            let bytes = item.as_ref();
            if self.framing == Framing::Records {
                // Items are far shorter than 4 GiB: batches are.
                self.buffer.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
                self.buffer.extend_from_slice(&crc32(bytes).to_be_bytes());
            }
            self.buffer.extend_from_slice(bytes);
            if self.framing == Framing::Lines {
                self.buffer.push(b'\n');
            }
        }
        let written = self.file.write_all(&self.buffer);
        self.len_before = self.len;
        match &written {
            Ok(()) => self.len += self.buffer.len() as u64,
            // Where this fails, too, it is tried again before the next write.
            Err(_) => drop(self.roll_back(self.len)),
        }
        // One large batch is not to hold its memory for ever.
        self.buffer.shrink_to(KEPT_BYTES_MAX);
        written
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn take_back(&mut self) -> io::Result<()> {
        self.roll_back(self.len_before)
    }
}

const KEPT_BYTES_MAX: usize = 4 << 20;

/// Reads the records of a file, one after the other.
pub struct FileRecords {
    path: PathBuf,
    file: BufReader<File>,
    file_bytes: u64,
    whole_bytes: u64,
    record: Vec<u8>,
}

impl FileRecords {
    /// Opens a file that [`FileSink::records`] has written.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let file = File::open(path)?;
        let file_bytes = file.metadata()?.len();
        let file = BufReader::with_capacity(1 << 18, file);
        Ok(Self { path: path.into(), file, file_bytes, whole_bytes: 0, record: Vec::new() })
    }

    /// The next item's bytes; `None` at the end, or before a record that is cut off there.
    ///
    /// # Errors
    ///
    /// What the operating system says, and [`io::ErrorKind::InvalidData`] for a record that is
    /// whole but not as it was written.
    pub fn next_record(&mut self) -> io::Result<Option<&[u8]>> {
        let left = self.file_bytes - self.whole_bytes;
        if left < HEAD_BYTES {
            return Ok(None);
        }
        let (mut len, mut crc) = ([0; 4], [0; 4]);
        self.file.read_exact(&mut len)?;
        self.file.read_exact(&mut crc)?;
        let len = u64::from(u32::from_be_bytes(len));
        if len > left - HEAD_BYTES {
            return Ok(None);
        }
        self.record.resize(len as usize, 0);
        self.file.read_exact(&mut self.record)?;
        if crc32(&self.record) != u32::from_be_bytes(crc) {
            let is_last = left == HEAD_BYTES + len;
            return if is_last { Ok(None) } else { Err(self.damaged()) };
        }
        self.whole_bytes += HEAD_BYTES + len;
        Ok(Some(&self.record))
    }

    /// Bytes of the records that were read.
    #[must_use]
    pub const fn whole_bytes(&self) -> u64 {
        self.whole_bytes
    }

    fn damaged(&self) -> io::Error {
        let what = DamagedRecord { path: self.path.clone(), at: self.whole_bytes };
        io::Error::new(io::ErrorKind::InvalidData, what)
    }
}

const HEAD_BYTES: u64 = 8;

impl fmt::Debug for FileRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileRecords")
            .field("path", &self.path)
            .field("whole_bytes", &self.whole_bytes)
            .finish_non_exhaustive()
    }
}

/// A record in the middle of a file that is not as it was written.
#[derive(Debug)]
struct DamagedRecord {
    path: PathBuf,
    at: u64,
}

impl fmt::Display for DamagedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        write!(f, "{path}: the record at byte {} is damaged; keep the part before it", self.at)
    }
}

impl core::error::Error for DamagedRecord {}

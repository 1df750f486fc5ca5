//! A disk in memory whose power is cut.
//!
//! What was not synced may be there after a cut or not, sector by sector; files that were made or
//! removed may be there or not as long as their folder was not synced.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use turbopump_core::random::SplitMix64;
use turbopump_std::broker::store::Disk;

/// What is written at once or not at all.
const SECTOR_BYTES: usize = 512;

/// How a disk is broken on purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskFaults {
    /// The power is cut within the operation that so many others precede.
    pub cut_after: Option<u64>,
    /// Appending fails beyond so many bytes on the whole disk.
    pub full_at_bytes: Option<usize>,
    /// Syncing fails, and nothing was synced.
    pub fails_to_sync: bool,
    /// Syncing succeeds, but does nothing: this is what must be found out.
    pub lies_about_sync: bool,
}

#[derive(Clone, Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    /// What is there whatever happens.
    durable: Vec<u8>,
}

#[derive(Debug, Default)]
struct State {
    /// By name: the number of the file.
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    files: BTreeMap<u64, Content>,
    next: u64,
    faults: DiskFaults,
    operations: u64,
    random: Option<SplitMix64>,
    is_cut: bool,
    bytes_read: u64,
}

impl State {
    /// Counts an operation that changes something; true where it is the one that is cut short.
    fn count(&mut self) -> io::Result<bool> {
        self.alive()?;
        self.operations += 1;
        Ok(self.faults.cut_after.is_some_and(|after| self.operations > after))
    }

    fn alive(&self) -> io::Result<()> {
        if self.is_cut { Err(io::Error::other("the power is cut")) } else { Ok(()) }
    }

    fn cut(&mut self) -> io::Error {
        self.is_cut = true;
        io::Error::other("the power is cut")
    }
}

/// A disk that several stores may have one after the other.
#[derive(Clone, Debug, Default)]
pub struct SimulatedDisk(Arc<Mutex<State>>);

impl SimulatedDisk {
    /// An empty disk; what is left after a cut depends on `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let state = State { random: Some(SplitMix64::new(seed)), ..State::default() };
        Self(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on it is broken like this.
    pub fn set_faults(&self, faults: DiskFaults) {
        let mut state = self.state();
        (state.faults, state.operations) = (faults, 0);
    }

    /// The power comes back: what was not synced is there or not. Nothing is broken any more.
    pub fn restart(&self) {
        let mut state = self.state();
        let mut random = state.random.take().unwrap_or_else(|| SplitMix64::new(0));
        let (names, durable_names) = (state.names.clone(), state.durable_names.clone());
        let mut left = BTreeMap::new();
        for name in names.keys().chain(durable_names.keys()) {
            let after = match (durable_names.get(name), names.get(name)) {
                (before, now) if before == now || random.below(2) == 0 => now,
                (before, _) => before,
            };
            if let Some(number) = after {
                left.insert(name.clone(), *number);
            }
        }
        for content in state.files.values_mut() {
            survive(content, &mut random);
        }
        (state.names, state.durable_names) = (left.clone(), left);
        (state.faults, state.is_cut) = (DiskFaults::default(), false);
        state.random = Some(random);
    }

    /// Changes one byte of a file; says which, unless the disk is empty.
    pub fn damage(&self, random: &mut SplitMix64) -> Option<(String, usize)> {
        self.damage_any(random, |_| true)
    }

    /// The same, of a file with such a name.
    pub fn damage_any(
        &self,
        random: &mut SplitMix64,
        is_meant: impl Fn(&str) -> bool,
    ) -> Option<(String, usize)> {
        let mut state = self.state();
        let names = state.names.clone().into_iter();
        let names: Vec<(String, u64)> = names.filter(|(name, _)| is_meant(name)).collect();
        let (name, number) = names.get(random.below(names.len().max(1) as u64) as usize)?.clone();
        let content = state.files.get_mut(&number)?;
        let at = random.below(content.bytes.len().max(1) as u64) as usize;
        *content.bytes.get_mut(at)? ^= 1 << random.below(8);
        content.durable.clone_from(&content.bytes);
        Some((name, at))
    }

    /// A file's bytes.
    #[must_use]
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        Some(state.files.get(state.names.get(name)?)?.bytes.clone())
    }

    /// Puts a file there, safely, in place of the one that has this name.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let mut state = self.state();
        state.next += 1;
        let number = state.next;
        state.names.insert(name.into(), number);
        state.durable_names.insert(name.into(), number);
        state.files.insert(number, Content { bytes: bytes.into(), durable: bytes.into() });
    }

    /// Bytes that were read since this was asked for.
    #[must_use]
    pub fn take_bytes_read(&self) -> u64 {
        core::mem::take(&mut self.state().bytes_read)
    }
}

/// What is left of a file.
fn survive(content: &mut Content, random: &mut SplitMix64) {
    let (old, new) = (&content.durable, &content.bytes);
    let (short, long) = (old.len().min(new.len()), old.len().max(new.len()));
    let len = short + random.below((long - short + 1) as u64) as usize;
    let mut bytes = old.clone();
    bytes.resize(len, 0);
    for (number, sector) in bytes.chunks_mut(SECTOR_BYTES).enumerate() {
        if random.below(2) == 0 {
            continue;
        }
        let from = number * SECTOR_BYTES;
        for (byte, new) in sector.iter_mut().zip(new.get(from..).unwrap_or_default()) {
            *byte = *new;
        }
    }
    // What is the same in both is the same.
    for (at, byte) in bytes.iter_mut().enumerate() {
        if let (Some(old), Some(new)) = (old.get(at), new.get(at))
            && old == new
        {
            *byte = *old;
        }
    }
    (content.durable, content.bytes) = (bytes.clone(), bytes);
}

impl Disk for SimulatedDisk {
    type File = u64;

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let state = self.state();
        state.alive()?;
        let len = |number: &u64| state.files.get(number).map_or(0, |file| file.bytes.len() as u64);
        Ok(state.names.iter().map(|(name, number)| (name.clone(), len(number))).collect())
    }

    fn create(&self, name: &str) -> io::Result<u64> {
        let mut state = self.state();
        if state.count()? {
            return Err(state.cut());
        }
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.next += 1;
        let number = state.next;
        state.names.insert(name.into(), number);
        state.files.insert(number, Content::default());
        Ok(number)
    }

    fn open(&self, name: &str) -> io::Result<u64> {
        let state = self.state();
        state.alive()?;
        state.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn append(&self, file: &u64, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut state = self.state();
        let is_cut = state.count()?;
        let used: usize = state.files.values().map(|content| content.bytes.len()).sum();
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let room = state.faults.full_at_bytes.map_or(usize::MAX, |full| full.saturating_sub(used));
        let mut taken = bytes.len().min(room);
        if is_cut {
            let mut random = state.random.take().unwrap_or_else(|| SplitMix64::new(0));
            taken = random.below(taken as u64 + 1) as usize;
            state.random = Some(random);
        }
        let content = state.files.get_mut(file).ok_or(io::ErrorKind::NotFound)?;
        content.bytes.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        if is_cut {
            return Err(state.cut());
        }
        if taken < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn sync(&self, file: &u64) -> io::Result<()> {
        let mut state = self.state();
        if state.count()? {
            return Err(state.cut());
        }
        let faults = state.faults;
        if faults.fails_to_sync {
            return Err(io::Error::other("the disk is broken"));
        }
        let content = state.files.get_mut(file).ok_or(io::ErrorKind::NotFound)?;
        if !faults.lies_about_sync {
            content.durable.clone_from(&content.bytes);
        }
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut state = self.state();
        if state.count()? {
            return Err(state.cut());
        }
        state.durable_names = state.names.clone();
        Ok(())
    }

    fn read_at(&self, file: &u64, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state();
        state.alive()?;
        let content = state.files.get(file).ok_or(io::ErrorKind::NotFound)?;
        let from = content.bytes.get(at as usize..).unwrap_or_default();
        let len = from.len().min(into.len());
        into[..len].copy_from_slice(&from[..len]);
        state.bytes_read += len as u64;
        Ok(len)
    }

    fn truncate(&self, file: &u64, len: u64) -> io::Result<()> {
        let mut state = self.state();
        if state.count()? {
            return Err(state.cut());
        }
        let content = state.files.get_mut(file).ok_or(io::ErrorKind::NotFound)?;
        content.bytes.resize(len as usize, 0);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        if state.count()? {
            return Err(state.cut());
        }
        state.names.remove(name).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        if state.count()? {
            return Err(state.cut());
        }
        let number = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.into(), number);
        Ok(())
    }
}

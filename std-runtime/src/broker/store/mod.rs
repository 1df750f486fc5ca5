//! Messages on disk.
#![allow(missing_docs, dead_code, clippy::todo)]

use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use core::marker::PhantomData;

/// Bytes that a group of so many messages takes behind them.
#[must_use]
pub const fn trailer_bytes(records: usize) -> usize {
    32 + records * 8
}

pub trait Disk: Send + 'static {}
#[derive(Debug)]
pub struct Folder;
impl Folder {
    pub fn open(_path: &std::path::Path) -> std::io::Result<Self> {
        todo!()
    }
}
impl Disk for Folder {}
#[derive(Debug, Default)]
pub struct StoreSettings;
#[derive(Debug)]
pub struct StoreError;
impl StoreError {
    pub fn is_final(&self) -> bool {
        todo!()
    }
}
impl fmt::Display for StoreError {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}
impl core::error::Error for StoreError {}
#[derive(Debug)]
pub struct Recovery;
#[derive(Debug)]
pub struct Segment {
    pub start: u64,
    pub bytes: u64,
    pub last_stored_ms: u64,
}
#[derive(Debug)]
pub struct DiskStore<D>(PhantomData<D>);
#[derive(Debug)]
pub struct StoreReader<D>(PhantomData<D>);
impl<D: Disk> StoreReader<D> {
    pub fn read(&self, _position: u64, _len: usize) -> Result<Bytes, StoreError> {
        todo!()
    }
}
impl<D: Disk> DiskStore<D> {
    pub fn open(
        _disk: D,
        _settings: StoreSettings,
        _each: &mut dyn FnMut(u64, &[u8]),
    ) -> Result<(Self, Recovery), StoreError> {
        todo!()
    }
    pub fn append(&mut self, _p: u64, _parts: &[Bytes], _s: &[u32]) -> Result<u64, StoreError> {
        todo!()
    }
    pub fn sync(&mut self) -> Result<(), StoreError> {
        todo!()
    }
    pub fn reader(&self) -> StoreReader<D> {
        todo!()
    }
    pub fn segments(&self) -> Vec<Segment> {
        todo!()
    }
    pub fn start(&self) -> u64 {
        todo!()
    }
    pub fn end(&self) -> u64 {
        todo!()
    }
    pub fn remove_before(&mut self, _position: u64) -> Result<u64, StoreError> {
        todo!()
    }
}

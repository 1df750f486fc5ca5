//! Writing fields one after the other into memory whose length was checked before.

use core::net::{IpAddr, SocketAddr};

use super::{EncodeError, Field};

/// The memory that is left.
#[derive(Debug)]
pub(super) struct Output<'b> {
    rest: &'b mut [u8],
}

impl<'b> Output<'b> {
    /// Exactly `needed_bytes` at the start of `memory`.
    pub(super) fn new(memory: &'b mut [u8], needed_bytes: usize) -> Result<Self, EncodeError> {
        let room_bytes = memory.len();
        match memory.get_mut(..needed_bytes) {
            Some(rest) => Ok(Self { rest }),
            None => Err(EncodeError::NoRoom { needed_bytes, room_bytes }),
        }
    }

    /// Writes `bytes`; what is more than announced is left out, which no caller lets happen.
    #[inline]
    pub(super) fn put(&mut self, bytes: &[u8]) {
        let rest = core::mem::take(&mut self.rest);
        if let Some((room, rest)) = rest.split_at_mut_checked(bytes.len()) {
            room.copy_from_slice(bytes);
            self.rest = rest;
        }
    }

    #[inline]
    pub(super) fn i32(&mut self, value: i32) {
        self.put(&value.to_be_bytes());
    }

    #[inline]
    pub(super) fn i64(&mut self, value: i64) {
        self.put(&value.to_be_bytes());
    }

    pub(super) fn host(&mut self, host: SocketAddr) {
        match host.ip() {
            IpAddr::V4(ip) => self.put(&ip.octets()),
            IpAddr::V6(ip) => self.put(&ip.octets()),
        }
        self.i32(host.port().into());
    }
}

/// The length of a field if it is at most `len_bytes_max`.
pub(super) fn checked_len(
    field: Field,
    bytes: &[u8],
    len_bytes_max: usize,
) -> Result<i32, EncodeError> {
    let len_bytes = bytes.len();
    match i32::try_from(len_bytes) {
        Ok(len) if len_bytes <= len_bytes_max => Ok(len),
        _ => Err(EncodeError::TooLong { field, len_bytes, len_bytes_max }),
    }
}

pub(super) const I16_MAX: usize = 0x7fff;
pub(super) const I32_MAX: usize = 0x7fff_ffff;

//! Reading fields one after the other, each with an error that says where it is.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Field, MessageError, MessageProblem};

/// What is left of the bytes, and how many there were.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input<'a> {
    rest: &'a [u8],
    len: usize,
}

impl<'a> Input<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, len: bytes.len() }
    }

    pub(super) const fn position(&self) -> usize {
        self.len.saturating_sub(self.rest.len())
    }

    pub(super) const fn error(&self, field: Field, problem: MessageProblem) -> MessageError {
        MessageError { position: self.position(), field, problem }
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self, field: Field) -> Result<[u8; N], MessageError> {
        match self.rest.split_first_chunk::<N>() {
            Some((array, rest)) => {
                self.rest = rest;
                Ok(*array)
            }
            None => Err(self.truncated(field, N)),
        }
    }

    #[inline]
    pub(super) fn i32(&mut self, field: Field) -> Result<i32, MessageError> {
        self.array(field).map(i32::from_be_bytes)
    }

    #[inline]
    pub(super) fn i64(&mut self, field: Field) -> Result<i64, MessageError> {
        self.array(field).map(i64::from_be_bytes)
    }

    #[inline]
    pub(super) fn i16(&mut self, field: Field) -> Result<i16, MessageError> {
        self.array(field).map(i16::from_be_bytes)
    }

    #[inline]
    pub(super) fn i8(&mut self, field: Field) -> Result<i8, MessageError> {
        self.array(field).map(i8::from_be_bytes)
    }

    /// As many bytes as a length says that was read just before.
    #[inline]
    pub(super) fn bytes(&mut self, field: Field, len: i32) -> Result<&'a [u8], MessageError> {
        let Ok(len_bytes) = usize::try_from(len) else {
            return Err(self.error(field, MessageProblem::Negative { value: len }));
        };
        match self.rest.split_at_checked(len_bytes) {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(bytes)
            }
            None => Err(self.truncated(field, len_bytes)),
        }
    }

    #[inline]
    pub(super) fn host(&mut self, field: Field, v6: bool) -> Result<SocketAddr, MessageError> {
        let ip = if v6 {
            IpAddr::V6(Ipv6Addr::from(self.array::<16>(field)?))
        } else {
            IpAddr::V4(Ipv4Addr::from(self.array::<4>(field)?))
        };
        let before = *self;
        let found = self.i32(field)?;
        match u16::try_from(found) {
            Ok(port) => Ok(SocketAddr::new(ip, port)),
            Err(_) => Err(before.error(field, MessageProblem::Port { found })),
        }
    }

    #[cold]
    const fn truncated(&self, field: Field, needed_bytes: usize) -> MessageError {
        let left_bytes = self.rest.len();
        self.error(field, MessageProblem::Truncated { needed_bytes, left_bytes })
    }
}

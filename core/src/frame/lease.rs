//! Headers in front of pooled memory.

use super::{NoHeadroom, Prepend};
use crate::pool::{Lease, PoolRef};

/// The headroom is that of the lease; see [`Request::with_headroom`](crate::pool::Request).
impl<R: PoolRef> Prepend for Lease<R> {
    #[inline]
    fn headroom(&self) -> usize {
        Self::headroom(self)
    }

    #[inline]
    fn body_len(&self) -> usize {
        self.len()
    }

    #[inline]
    fn prepend(&mut self, bytes: usize) -> Result<&mut [u8], NoHeadroom> {
        self.prepend_zeroed(bytes)
            .map_err(|full| NoHeadroom { needed_bytes: full.needed, headroom_bytes: full.room })
    }
}

#[cfg(test)]
mod tests {
    use crate::frame::{LengthField, NoHeadroom, Prepend, SealError, seal};
    use crate::pool::{ClassLayout, Layout, Memory, Pool};

    #[test]
    fn a_lease_takes_a_header_in_front() {
        const CLASSES: [ClassLayout; 1] = [ClassLayout::new(16, 1).with_headroom(6)];
        const LAYOUT: Layout<'static> = Layout::constant(&CLASSES);
        let mut memory = Memory::<1, 1, { LAYOUT.bytes_len() }>::new();
        let pool = Pool::new(&LAYOUT, &mut memory).expect("memory of its own layout");
        let header = LengthField::big_endian_u32(64).expect("a fair limit");
        let mut lease = pool.acquire(4).expect("one is free");
        lease.extend_from_slice(b"body").expect("it fits");
        assert_eq!(seal(&header, &mut lease, &[0; 4]), Ok(8));
        assert_eq!(&lease[..], b"\0\0\0\x04body");
        assert_eq!((Prepend::headroom(&lease), lease.body_len()), (2, 8));
        let refused = NoHeadroom { needed_bytes: 4, headroom_bytes: 2 };
        assert_eq!(seal(&header, &mut lease, &[0; 4]), Err(SealError::NoHeadroom(refused)));
        assert_eq!(&lease[..], b"\0\0\0\x04body");
    }
}

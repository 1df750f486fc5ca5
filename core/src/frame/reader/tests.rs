use super::Reader;
use crate::frame::{FrameError, Header, LengthField, StorageTooSmall};

const HEADER: LengthField = match LengthField::big_endian_u16(8) {
    Ok(header) => header,
    Err(_) => panic!(),
};

fn feed(reader: &mut Reader<'_, impl Header>, bytes: &[u8]) {
    let window = reader.receive_buffer_bulk().unwrap();
    window[..bytes.len()].copy_from_slice(bytes);
    reader.commit(bytes.len()).unwrap();
}

#[test]
fn exact_windows_are_what_is_missing() {
    let mut storage = [0; 8];
    let mut reader = Reader::new(HEADER, &mut storage[..]).unwrap();
    // Three frames, so that the second and third meet a window that starts further back.
    for _ in 0..3 {
        let window = reader.receive_buffer().unwrap();
        assert_eq!(window.len(), 2);
        window[0] = 0;
        reader.commit(1).unwrap();
        let window = reader.receive_buffer().unwrap();
        assert_eq!(window.len(), 1, "the second half of the length");
        window[0] = 6;
        reader.commit(1).unwrap();
        assert_eq!(reader.next_frame(), Ok(None));
        let window = reader.receive_buffer().unwrap();
        assert_eq!(window.len(), 6);
        window.copy_from_slice(b"abcdef");
        reader.commit(6).unwrap();
        assert!(reader.receive_buffer().unwrap().is_empty(), "a frame waits");
        assert_eq!(reader.next_frame(), Ok(Some(&b"\0\x06abcdef"[..])));
        assert_eq!(reader.next_frame(), Ok(None));
    }
    assert_eq!(reader.stream_offset(), 24);
    assert_eq!(reader.finish(), Ok(()));
}

#[test]
fn a_bulk_window_is_all_the_room_and_moves_bytes_only_where_it_pays() {
    let mut storage = [0; 20];
    let mut reader = Reader::new(HEADER, &mut storage[..]).unwrap();
    assert_eq!(reader.receive_buffer_bulk().unwrap().len(), 20);
    feed(&mut reader, b"\0\x02ab\0\x06cde");
    assert_eq!(reader.next_frame(), Ok(Some(&b"\0\x02ab"[..])));
    assert_eq!(reader.next_frame(), Ok(None));
    // 4 bytes taken, 5 pending, 11 free: moving would cost more than it gains.
    assert_eq!(reader.receive_buffer_bulk().unwrap().len(), 11);
    feed(&mut reader, b"fgh\0\x04i");
    assert_eq!(reader.next_frame(), Ok(Some(&b"\0\x06cdefgh"[..])));
    assert_eq!(reader.next_frame(), Ok(None));
    // 12 taken, 3 pending, 5 free: 3 bytes are moved and 12 gained.
    assert_eq!(reader.receive_buffer_bulk().unwrap().len(), 17);
    feed(&mut reader, b"jkl");
    assert_eq!(reader.next_frame(), Ok(Some(&b"\0\x04ijkl"[..])));
    assert_eq!(reader.receive_buffer_bulk().unwrap().len(), 20, "nothing waits");
    assert_eq!(reader.finish(), Ok(()));
}

#[test]
fn storage_of_one_frame_is_enough_in_bulk() {
    let mut storage = [0; Reader::<LengthField>::required_len(8)];
    let mut reader = Reader::new(HEADER, &mut storage[..]).unwrap();
    let stream = b"\0\x06abcdef\0\x00\0\x01g\0\x05hijkl";
    let (mut at, mut frames) = (0, 0);
    while at < stream.len() {
        let window = reader.receive_buffer_bulk().unwrap();
        assert!(!window.is_empty());
        let bytes = window.len().min(stream.len() - at);
        window[..bytes].copy_from_slice(&stream[at..at + bytes]);
        reader.commit(bytes).unwrap();
        at += bytes;
        while reader.next_frame().unwrap().is_some() {
            frames += 1;
        }
    }
    assert_eq!(frames, 4);
    assert_eq!(reader.finish(), Ok(()));
}

#[test]
fn storage_below_the_longest_frame_is_refused() {
    let mut storage = [0; 7];
    let refused = Reader::new(HEADER, &mut storage[..]).unwrap_err();
    assert_eq!(refused, StorageTooSmall { storage_bytes: 7, required_bytes: 8 });
}

#[test]
fn a_bad_length_poisons_until_reset() {
    let mut storage = [0; 16];
    let mut reader = Reader::new(HEADER, &mut storage[..]).unwrap();
    feed(&mut reader, b"\0\x01a\0\x07");
    assert!(reader.next_frame().unwrap().is_some());
    let error = FrameError::Oversize { at: 3, frame_bytes: 9, frame_bytes_max: 8 };
    for _ in 0..2 {
        assert_eq!(reader.next_frame(), Err(error));
        assert_eq!(reader.receive_buffer().err(), Some(error));
        assert_eq!(reader.receive_buffer_bulk().err(), Some(error));
        assert_eq!(reader.commit(0), Err(error));
        assert_eq!(reader.finish(), Err(error));
    }
    reader.reset();
    feed(&mut reader, b"\0\x01b");
    assert_eq!(reader.next_frame(), Ok(Some(&b"\0\x01b"[..])));
    assert_eq!(reader.stream_offset(), 3);
}

#[test]
fn frames_are_taken_as_they_are_returned() {
    let mut storage = [0; 16];
    let mut reader = Reader::new(HEADER, &mut storage[..]).unwrap();
    feed(&mut reader, b"\0\x01a\0\x01b\0\x01c\0\x01");
    assert_eq!(reader.frames().next(), Some(Ok(&b"\0\x01a"[..])));
    assert_eq!(reader.next_frame(), Ok(Some(&b"\0\x01b"[..])));
    assert_eq!(reader.frames().count(), 1);
    assert_eq!((reader.pending_bytes(), reader.stream_offset()), (2, 9));

    feed(&mut reader, b"d\xff\xff");
    let error = FrameError::Oversize { at: 12, frame_bytes: 65_537, frame_bytes_max: 8 };
    let mut frames = reader.frames();
    assert_eq!(frames.next(), Some(Ok(&b"\0\x01d"[..])));
    assert_eq!((frames.next(), frames.next()), (Some(Err(error)), None));
    let mut frames = reader.frames();
    assert_eq!((frames.next(), frames.next()), (Some(Err(error)), None));
    assert_eq!(reader.next_frame(), Err(error));
}

#[test]
fn more_than_the_window_cannot_be_committed() {
    let mut storage = [0; 8];
    let mut reader = Reader::new(HEADER, &mut storage[..]).unwrap();
    assert!(matches!(reader.commit(1), Err(FrameError::Overcommit { window_bytes: 0, .. })));
    reader.reset();
    assert_eq!(reader.receive_buffer().unwrap().len(), 2);
    reader.commit(1).unwrap();
    let error = FrameError::Overcommit { at: 1, committed_bytes: 2, window_bytes: 1 };
    assert_eq!(reader.commit(2), Err(error));
    assert_eq!(reader.next_frame(), Err(error));
}

#[test]
fn the_end_of_the_stream_within_a_frame_is_torn() {
    let mut storage = [0; 16];
    let mut reader = Reader::new(HEADER, &mut storage[..]).unwrap();
    feed(&mut reader, b"\0\x01a\0\x05bc");
    let torn = FrameError::Torn { at: 3, received_bytes: 4, missing_bytes: 3 };
    assert_eq!(reader.finish(), Err(torn));
    assert_eq!(reader.next_frame(), Err(torn));

    reader.reset();
    feed(&mut reader, b"\0\x01a");
    assert_eq!(reader.finish(), Ok(()), "a whole frame that was not taken is not torn");
    assert!(reader.next_frame().unwrap().is_some());

    reader.reset();
    feed(&mut reader, b"\0");
    let torn = FrameError::Torn { at: 0, received_bytes: 1, missing_bytes: 1 };
    assert_eq!(reader.finish(), Err(torn));
}

/// Announces more than it allows.
struct Liar;

impl Header for Liar {
    fn prefix_bytes(&self, _window: &[u8]) -> usize {
        0
    }

    fn frame_bytes(&self, window: &[u8]) -> Result<usize, FrameError> {
        Ok(usize::from(window[0]))
    }

    fn frame_bytes_max(&self) -> usize {
        4
    }

    fn write_length(&self, _: usize, _: &mut [u8]) -> Result<(), FrameError> {
        Ok(())
    }
}

#[test]
fn a_header_that_breaks_its_own_promises_cannot_stall_the_reader() {
    let mut storage = [0; 4];
    let mut reader = Reader::new(Liar, &mut storage[..]).unwrap();
    feed(&mut reader, &[9]);
    let oversize = FrameError::Oversize { at: 0, frame_bytes: 9, frame_bytes_max: 4 };
    assert_eq!(reader.next_frame(), Err(oversize));

    reader.reset();
    feed(&mut reader, &[0]);
    let empty = FrameError::TooShort { at: 0, frame_bytes: 0, frame_bytes_min: 1 };
    assert_eq!(reader.next_frame(), Err(empty));
}

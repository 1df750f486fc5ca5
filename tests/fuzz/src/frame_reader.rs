//! Framing: the walk without state, the reader in pieces and a naive decoder must agree.
//!
//! An input is seven parameters, a list of reads, then the stream.

use turbopump_core::frame::{Counts, FrameError, Header, LengthField, Reader, decode};

use crate::Parameters;

struct Protocol {
    field: LengthField,
    offset: usize,
    width: usize,
    little_endian: bool,
    signed: bool,
    adjustment: i64,
    header_bytes: usize,
    frame_bytes_max: usize,
}

/// Why a decoder stopped.
#[derive(Debug, PartialEq)]
enum Stopped {
    Missing(usize),
    Negative,
    Oversize,
    TooShort,
}

/// Runs the target.
pub fn run(data: &[u8]) {
    let mut parameters = Parameters { data };
    let Some(protocol) = protocol(&mut parameters) else {
        return;
    };
    let spare = usize::from(parameters.byte());
    let reads = parameters.list();
    let stream = parameters.data;

    let (expected, stopped, consumed) = protocol.decode(stream);

    let mut frames = decode(&protocol.field, stream);
    let walked: Vec<&[u8]> = frames.by_ref().map_while(Result::ok).collect();
    assert_eq!(walked, expected);
    assert_eq!(frames.consumed(), consumed);
    match stopped {
        Stopped::Missing(missing) => assert_eq!(frames.missing(), missing),
        _ => assert!(frames.next().is_none(), "it ends with its error"),
    }
    let refused = decode(&protocol.field, stream).find_map(Result::err);
    check_error(refused, &stopped, consumed);

    for frame in &expected {
        let mut again = frame.to_vec();
        protocol.field.write_length(frame.len(), &mut again).expect("it was read");
        assert_eq!(&again, frame, "written as it was read");
    }

    let mut storage = vec![0; protocol.frame_bytes_max + spare];
    let mut reader = Reader::new(protocol.field, &mut storage[..]).expect("enough storage");
    for _ in 0..2 {
        let (frames, error) = receive(&mut reader, stream, reads);
        assert_eq!(frames, expected);
        match (error, &stopped) {
            (None, Stopped::Missing(_)) => assert_eq!(consumed, stream.len()),
            (Some(FrameError::Torn { at, received_bytes, missing_bytes }), _) => {
                assert_eq!((at as usize, received_bytes), (consumed, stream.len() - consumed));
                assert_eq!(stopped, Stopped::Missing(missing_bytes));
            }
            (error, _) => check_error(error, &stopped, consumed),
        }
        if let Some(error) = error {
            assert_eq!(reader.next_frame(), Err(error));
            assert_eq!(reader.receive_buffer_bulk().err(), Some(error));
        }
        reader.reset();
    }
}

fn check_error(error: Option<FrameError>, stopped: &Stopped, consumed: usize) {
    let kind = match error {
        None => None,
        Some(FrameError::Negative { .. }) => Some(Stopped::Negative),
        Some(FrameError::Oversize { .. }) => Some(Stopped::Oversize),
        Some(FrameError::TooShort { .. }) => Some(Stopped::TooShort),
        Some(error) => panic!("unexpected: {error}"),
    };
    match stopped {
        Stopped::Missing(_) => assert_eq!(kind, None),
        _ => assert_eq!(kind.as_ref(), Some(stopped)),
    }
    if let Some(error) = error {
        assert_eq!(error.at(), consumed as u64);
    }
}

fn receive(
    reader: &mut Reader<'_, LengthField>,
    stream: &[u8],
    reads: &[u8],
) -> (Vec<Vec<u8>>, Option<FrameError>) {
    let mut rest = stream;
    let mut frames = Vec::new();
    // Each read says how much, in which kind of window, and how the frames are taken.
    let default = [0x9f];
    let reads = if reads.is_empty() { &default } else { reads };
    for read in reads.iter().cycle() {
        let (bulk, drain, bytes) = (read & 0x80 != 0, read & 0x40 != 0, usize::from(read & 0x3f));
        let window = if bulk { reader.receive_buffer_bulk() } else { reader.receive_buffer() };
        let window = match window {
            Ok(window) => window,
            Err(error) => return (frames, Some(error)),
        };
        assert!(!window.is_empty());
        let bytes = (bytes * bytes + 1).min(window.len()).min(rest.len());
        let (now, later) = rest.split_at(bytes);
        window[..bytes].copy_from_slice(now);
        reader.commit(bytes).expect("it fits into the window");
        rest = later;
        if drain {
            for frame in reader.frames() {
                match frame {
                    Ok(frame) => frames.push(frame.to_vec()),
                    Err(error) => return (frames, Some(error)),
                }
            }
        }
        loop {
            match reader.next_frame() {
                Ok(Some(frame)) => frames.push(frame.to_vec()),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
        if rest.is_empty() {
            break;
        }
    }
    (frames, reader.finish().err())
}

fn protocol(parameters: &mut Parameters<'_>) -> Option<Protocol> {
    let offset = usize::from(parameters.byte() % 16);
    let width = usize::from(parameters.byte() % 10);
    let flags = parameters.byte();
    let adjustment = i64::from(parameters.byte() as i8);
    let more = usize::from(parameters.byte() % 16);
    let frame_bytes_max = usize::from(parameters.byte()) * 8;
    let (little_endian, signed) = (flags & 1 != 0, flags & 2 != 0);

    let end = offset + width;
    let (counts, adjustment, header_bytes) = match flags >> 6 {
        0 => (Counts::AfterField, end as i64, end + more),
        1 => (Counts::WholeFrame, 0, end + more),
        2 => {
            let header = adjustment.unsigned_abs() as usize;
            (Counts::AfterHeader(header), header as i64, (end + more).max(header))
        }
        _ => (Counts::Adjusted(adjustment), adjustment, end + more),
    };
    let mut builder = LengthField::builder(frame_bytes_max).offset(offset).width(width);
    if little_endian {
        builder = builder.little_endian();
    }
    if signed {
        builder = builder.signed();
    }
    // Impossible numbers are refused here; with the others everything below has to work.
    let field = builder.counts(counts).header_bytes(header_bytes).build().ok()?;
    Some(Protocol {
        field,
        offset,
        width,
        little_endian,
        signed,
        adjustment,
        header_bytes,
        frame_bytes_max,
    })
}

impl Protocol {
    /// The naive decoder: whole frames, why it stopped, and the bytes of the frames.
    fn decode<'s>(&self, stream: &'s [u8]) -> (Vec<&'s [u8]>, Stopped, usize) {
        let mut frames = Vec::new();
        let mut at = 0;
        let stopped = loop {
            let rest = &stream[at..];
            let end = self.offset + self.width;
            if rest.len() < end {
                break Stopped::Missing(end - rest.len());
            }
            let mut value: i128 = 0;
            for index in 0..self.width {
                let index = if self.little_endian { self.width - 1 - index } else { index };
                value = value * 256 + i128::from(rest[self.offset + index]);
            }
            let limit = 1_i128 << (8 * self.width);
            if self.signed && value >= limit / 2 {
                break Stopped::Negative;
            }
            let frame_bytes = value + i128::from(self.adjustment);
            if frame_bytes > self.frame_bytes_max as i128 {
                break Stopped::Oversize;
            }
            if frame_bytes < self.header_bytes as i128 {
                break Stopped::TooShort;
            }
            let frame_bytes = frame_bytes as usize;
            if rest.len() < frame_bytes {
                break Stopped::Missing(frame_bytes - rest.len());
            }
            frames.push(&rest[..frame_bytes]);
            at += frame_bytes;
        };
        (frames, stopped, at)
    }
}

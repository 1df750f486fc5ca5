//! Framing: any header, any fragmentation, any way of reading gives the same frames.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use turbopump_core::backing::Backing;
use turbopump_core::frame::{
    Counts, FrameError, FrameWriter, Header, LengthField, NoHeadroom, Prepend, Reader, SealError,
    decode, seal, seal_with,
};

/// A length field and the same facts again, for a reference that shares no code with it.
#[derive(Clone, Debug)]
struct Protocol {
    field: LengthField,
    offset: usize,
    width: usize,
    little_endian: bool,
    signed: bool,
    /// Frame length less value.
    adjustment: i64,
    header_bytes: usize,
    frame_bytes_max: usize,
}

impl Protocol {
    /// The reference decoder: whole frames, then what stopped it.
    fn decode<'w>(&self, mut window: &'w [u8]) -> (Vec<&'w [u8]>, Stopped) {
        let mut frames = Vec::new();
        loop {
            let end = self.offset + self.width;
            if window.len() < end {
                return (frames, Stopped::Missing(end - window.len()));
            }
            let mut field = window[self.offset..end].to_vec();
            if self.little_endian {
                field.reverse();
            }
            let fill = if self.signed && field[0] >= 0x80 { 0xff } else { 0 };
            let mut sixteen = [fill; 16];
            sixteen[16 - self.width..].copy_from_slice(&field);
            let value = i128::from_be_bytes(sixteen);
            let frame_bytes = value + i128::from(self.adjustment);
            if value < 0 {
                return (frames, Stopped::Negative(value));
            } else if frame_bytes > self.frame_bytes_max as i128 {
                return (frames, Stopped::Oversize(frame_bytes));
            } else if frame_bytes < self.header_bytes as i128 {
                return (frames, Stopped::TooShort(frame_bytes));
            }
            let frame_bytes = frame_bytes as usize;
            if window.len() < frame_bytes {
                return (frames, Stopped::Missing(frame_bytes - window.len()));
            }
            frames.push(&window[..frame_bytes]);
            window = &window[frame_bytes..];
        }
    }

    fn error(&self, stopped: Stopped, at: u64) -> Option<FrameError> {
        let &Self { frame_bytes_max, .. } = self;
        let frame_bytes_min = self.field.frame_bytes_min();
        Some(match stopped {
            Stopped::Missing(_) => return None,
            Stopped::Negative(value) => FrameError::Negative { at, value: value as i64 },
            Stopped::Oversize(frame_bytes) => {
                let frame_bytes = u64::try_from(frame_bytes).unwrap_or(u64::MAX);
                FrameError::Oversize { at, frame_bytes, frame_bytes_max }
            }
            Stopped::TooShort(frame_bytes) => {
                let frame_bytes = frame_bytes as i64;
                FrameError::TooShort { at, frame_bytes, frame_bytes_min }
            }
        })
    }

    /// A header that announces a frame of that length, legal or not, as far as the field goes.
    fn announce(&self, frame_bytes: i64) -> Vec<u8> {
        let value = (frame_bytes - self.adjustment).to_be_bytes();
        let mut field = value[8 - self.width..].to_vec();
        if self.little_endian {
            field.reverse();
        }
        [vec![0xa5; self.offset], field].concat()
    }

    /// A sealed frame with this body, cut off where the limit would be passed.
    fn frame(&self, body: &[u8]) -> Vec<u8> {
        let header = vec![0xa5; self.header_bytes];
        let shortest = self.field.frame_bytes_min() - self.header_bytes;
        let longest = self.frame_bytes_max - self.header_bytes;
        let mut storage = vec![0; self.frame_bytes_max];
        let mut writer = FrameWriter::new(&mut storage[..], header.len()).unwrap();
        writer.extend_from_slice(&body[..body.len().min(longest)]).unwrap();
        while writer.body_len() < shortest {
            writer.extend_from_slice(&[0]).unwrap();
        }
        let frame_bytes = seal(&self.field, &mut writer, &header).unwrap();
        assert_eq!(frame_bytes, writer.as_slice().len());
        writer.as_slice().to_vec()
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stopped {
    Missing(usize),
    Negative(i128),
    Oversize(i128),
    TooShort(i128),
}

fn protocol() -> impl Strategy<Value = Protocol> {
    let counts = prop_oneof![
        Just(Counts::AfterField),
        Just(Counts::WholeFrame),
        (0_usize..40).prop_map(Counts::AfterHeader),
        (-40_i64..40).prop_map(Counts::Adjusted),
    ];
    let numbers = (0_usize..12, 1_usize..=8, 0_usize..8, 60_usize..120);
    (numbers, any::<bool>(), any::<bool>(), counts).prop_filter_map(
        "the numbers must fit together",
        |((offset, width, more, frame_bytes_max), little_endian, signed, counts)| {
            let builder = LengthField::builder(frame_bytes_max).offset(offset).width(width);
            let builder = if little_endian { builder.little_endian() } else { builder };
            let builder = if signed { builder.signed() } else { builder };
            let end = offset + width;
            let (adjustment, header_bytes) = match counts {
                Counts::AfterField => (end as i64, end + more),
                Counts::AfterHeader(bytes) => (bytes as i64, (end + more).max(bytes)),
                Counts::Adjusted(bytes) => (bytes, end + more),
                _ => (0, end + more),
            };
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
        },
    )
}

/// How the next bytes of a stream are received.
#[derive(Clone, Debug)]
struct Read {
    bulk: bool,
    bytes: usize,
    drain: bool,
}

fn reads() -> impl Strategy<Value = Vec<Read>> {
    let read = (any::<bool>(), prop_oneof![1_usize..4, 1_usize..300], any::<bool>())
        .prop_map(|(bulk, bytes, drain)| Read { bulk, bytes, drain });
    vec(read, 1..20)
}

/// Feeds `stream` as `reads` say, over and over, until it ends or the reader refuses it.
fn receive(
    reader: &mut Reader<'_, LengthField>,
    stream: &[u8],
    reads: &[Read],
) -> (Vec<Vec<u8>>, Option<FrameError>) {
    let mut rest = stream;
    let mut frames = Vec::new();
    for read in reads.iter().cycle() {
        let window = if read.bulk { reader.receive_buffer_bulk() } else { reader.receive_buffer() };
        let window = match window {
            Ok(window) => window,
            Err(error) => return (frames, Some(error)),
        };
        assert!(!window.is_empty(), "an empty window would look like the end of the stream");
        let bytes = read.bytes.min(window.len()).min(rest.len());
        let (now, later) = rest.split_at(bytes);
        window[..bytes].copy_from_slice(now);
        rest = later;
        reader.commit(bytes).unwrap();
        if read.drain {
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

/// Well-formed frames, then a header close to a limit, then bytes of any kind; cut off somewhere
/// or nowhere.
fn stream(
    protocol: &Protocol,
    bodies: &[Vec<u8>],
    edge: (bool, i64),
    cut: Index,
    noise: &[u8],
) -> Vec<u8> {
    let mut stream: Vec<u8> = bodies.iter().flat_map(|body| protocol.frame(body)).collect();
    let (low, beyond) = edge;
    let limit = if low { protocol.field.frame_bytes_min() } else { protocol.frame_bytes_max };
    stream.extend(protocol.announce(limit as i64 + beyond));
    stream.extend_from_slice(noise);
    stream.truncate(cut.index(stream.len() * 2 + 1));
    stream
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(turbopump_tests::effort::cases(1_000)))]

    #[test]
    fn any_fragmentation_gives_the_same_frames(
        protocol in protocol(),
        bodies in vec(vec(any::<u8>(), 0..120), 0..12),
        edge in (any::<bool>(), -1_i64..=1),
        cut in any::<Index>(),
        noise in vec(any::<u8>(), 0..200),
        reads in reads(),
        spare in 0_usize..500,
    ) {
        let stream = stream(&protocol, &bodies, edge, cut, &noise);
        let (expected, stopped) = protocol.decode(&stream);
        let consumed: usize = expected.iter().map(|frame| frame.len()).sum();
        let error = protocol.error(stopped, consumed as u64);

        // Stateless, in one window.
        let mut frames = decode(&protocol.field, &stream);
        for frame in &expected {
            prop_assert_eq!(frames.next(), Some(Ok(*frame)));
        }
        prop_assert_eq!(frames.consumed(), consumed);
        if let Stopped::Missing(missing) = stopped {
            prop_assert_eq!(frames.missing(), missing);
        }
        prop_assert_eq!(frames.next(), error.map(Err));
        prop_assert_eq!(frames.next(), None);
        prop_assert_eq!(frames.consumed(), consumed);

        // Incremental, in pieces; and again after a reset, which must leave nothing behind.
        let mut storage = vec![0; protocol.frame_bytes_max + spare];
        let mut reader = Reader::new(protocol.field, &mut storage[..]).unwrap();
        for _ in 0..2 {
            let (frames, refused) = receive(&mut reader, &stream, &reads);
            prop_assert_eq!(&frames, &expected);
            let torn = (consumed < stream.len()).then(|| FrameError::Torn {
                at: consumed as u64,
                received_bytes: stream.len() - consumed,
                missing_bytes: match stopped { Stopped::Missing(missing) => missing, _ => 0 },
            });
            prop_assert_eq!(refused, error.or(torn));
            if let Some(error) = refused {
                prop_assert_eq!(reader.next_frame(), Err(error));
                prop_assert_eq!(reader.receive_buffer().err(), Some(error));
                prop_assert_eq!(reader.receive_buffer_bulk().err(), Some(error));
                prop_assert_eq!(reader.frames().next(), Some(Err(error)));
                prop_assert_eq!(reader.commit(0), Err(error));
                prop_assert_eq!(reader.finish(), Err(error));
            }
            reader.reset();
        }
    }

    #[test]
    fn exact_windows_never_read_into_the_next_frame(
        protocol in protocol(),
        bodies in vec(vec(any::<u8>(), 0..120), 1..6),
    ) {
        let mut storage = vec![0; protocol.frame_bytes_max];
        let mut reader = Reader::new(protocol.field, &mut storage[..]).unwrap();
        for body in bodies {
            let frame = protocol.frame(&body);
            let mut rest = &frame[..];
            while !rest.is_empty() {
                let window = reader.receive_buffer().unwrap();
                prop_assert!(!window.is_empty() && window.len() <= rest.len());
                let (now, later) = rest.split_at(window.len());
                window.copy_from_slice(now);
                reader.commit(now.len()).unwrap();
                rest = later;
            }
            prop_assert_eq!(reader.next_frame(), Ok(Some(&frame[..])));
        }
        prop_assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn a_bulk_window_keeps_the_promised_room(
        bodies in vec(vec(any::<u8>(), 0..96), 1..40),
        read_bytes in 1_usize..200,
    ) {
        const MAX: usize = 100;
        let header = LengthField::big_endian_u32(MAX).unwrap();
        let stream: Vec<u8> = bodies
            .iter()
            .flat_map(|body| [&(body.len() as u32).to_be_bytes()[..], body].concat())
            .collect();
        let mut storage = vec![0; Reader::<LengthField>::bulk_len(MAX, read_bytes)];
        let mut reader = Reader::new(header, &mut storage[..]).unwrap();
        let mut rest = &stream[..];
        while !rest.is_empty() {
            let window = reader.receive_buffer_bulk().unwrap();
            prop_assert!(window.len() >= read_bytes);
            let bytes = read_bytes.min(rest.len());
            window[..bytes].copy_from_slice(&rest[..bytes]);
            reader.commit(bytes).unwrap();
            rest = &rest[bytes..];
            for frame in reader.frames() {
                prop_assert!(frame.unwrap().len() <= MAX);
            }
        }
        prop_assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn no_bytes_make_it_panic(
        protocol in protocol(),
        bytes in vec(any::<u8>(), 0..2_000),
        reads in reads(),
    ) {
        let mut storage = vec![0; protocol.frame_bytes_max];
        let mut reader = Reader::new(protocol.field, &mut storage[..]).unwrap();
        let (frames, _) = receive(&mut reader, &bytes, &reads);
        prop_assert!(frames.iter().all(|frame| frame.len() <= protocol.frame_bytes_max));
        prop_assert_eq!(frames.concat(), &bytes[..frames.concat().len()]);
    }
}

/// A header from outside the crate: a type byte, then, for type 1 only, a body with a length of
/// two bytes. What type it is must be read before it is known how long the header is.
#[derive(Debug)]
struct Typed;

impl Header for Typed {
    fn prefix_bytes(&self, window: &[u8]) -> usize {
        match window {
            [1, ..] => 3,
            _ => 1,
        }
    }

    fn frame_bytes(&self, window: &[u8]) -> Result<usize, FrameError> {
        match *window {
            [0, ..] => Ok(1),
            [1, high, low, ..] => {
                let frame_bytes = 3 + usize::from(u16::from_be_bytes([high, low]));
                self.check_frame_bytes(frame_bytes).map(|()| frame_bytes)
            }
            _ => Err(FrameError::Malformed { at: 0, reason: "frame types are 0 and 1" }),
        }
    }

    fn frame_bytes_max(&self) -> usize {
        20
    }

    fn write_length(&self, frame_bytes: usize, header: &mut [u8]) -> Result<(), FrameError> {
        self.check_frame_bytes(frame_bytes)?;
        if let [1, length @ ..] = header {
            length.copy_from_slice(&((frame_bytes - 3) as u16).to_be_bytes());
        }
        Ok(())
    }
}

/// Memory with headroom from outside the crate: a vector that is filled from its end.
#[derive(Debug, Default)]
struct Reversed {
    reversed: Vec<u8>,
    front: Vec<u8>,
}

impl Prepend for Reversed {
    fn headroom(&self) -> usize {
        8 - self.front.len()
    }

    fn body_len(&self) -> usize {
        self.reversed.len() + self.front.len()
    }

    fn prepend(&mut self, bytes: usize) -> Result<&mut [u8], NoHeadroom> {
        if bytes > self.headroom() {
            return Err(NoHeadroom { needed_bytes: bytes, headroom_bytes: self.headroom() });
        }
        self.front.splice(..0, core::iter::repeat_n(0, bytes));
        Ok(&mut self.front[..bytes])
    }
}

#[test]
fn headers_and_headroom_can_come_from_outside() {
    let mut target = Reversed { reversed: b"olleh".to_vec(), front: Vec::new() };
    assert_eq!(seal(&Typed, &mut target, &[1, 0, 0]), Ok(8));
    assert_eq!(target.front, [1, 0, 5]);
    let refused = seal_with(&Typed, &mut target, 6, |_| panic!("refused before it is written"));
    let no_headroom = NoHeadroom { needed_bytes: 6, headroom_bytes: 5 };
    assert_eq!(refused, Err(SealError::NoHeadroom(no_headroom)));
    assert_eq!(target.body_len(), 8);

    let mut reader = Reader::new(Typed, vec![0; 20].into_iter().collect::<Backing<'_, u8>>());
    let reader = reader.as_mut().unwrap();
    let mut frames = Vec::new();
    for byte in b"\x00\x01\x00\x02hi\x00\x07" {
        let window = reader.receive_buffer().unwrap();
        window[0] = *byte;
        reader.commit(1).unwrap();
        while let Ok(Some(frame)) = reader.next_frame() {
            frames.push(frame.to_vec());
        }
    }
    assert_eq!(frames, [&b"\x00"[..], b"\x01\x00\x02hi", b"\x00"]);
    let malformed = FrameError::Malformed { at: 7, reason: "frame types are 0 and 1" };
    assert_eq!(reader.next_frame(), Err(malformed));
}

#[test]
fn errors_say_what_where_and_what_to_do() {
    let header = LengthField::big_endian_u32(1_000).unwrap();
    let window = [&[0, 0, 0, 0][..], &1_000_000_u32.to_be_bytes()].concat();
    let error = decode(&header, &window).at_stream_offset(50).find_map(Result::err).unwrap();
    assert_eq!(error.at(), 54);
    let text = error.to_string();
    for part in ["byte 54", "1000004 bytes", "limit is 1000", "close the connection"] {
        assert!(text.contains(part), "{part:?} is missing in {text:?}");
    }
}

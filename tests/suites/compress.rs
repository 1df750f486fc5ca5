//! Compression: whoever compressed it, everybody restores it; whatever is damaged is refused.

use core::mem::MaybeUninit;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::{env, fs, process, thread};

use flate2::{Compress as Flate2Compress, Compression, FlushCompress};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use turbopump_core::checksum::crc32;
use turbopump_core::compress::{
    Compress, CompressError, Decompress, Deflate, Encoded, Format, HeaderProblem, Inflate,
    InflateError, InflateState, PlainReason, Policy, compressed_len_max, gzip, inflate,
};
use turbopump_std::compress::{ZlibRsDeflate, ZlibRsInflate};

const FORMATS: [Format; 3] = [Format::Raw, Format::Zlib, Format::Gzip];

/// Bodies as they occur: text, repetition, noise, and changes between them.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let noise = vec(any::<u8>(), 0..3_000);
    let text = vec("[a-z]{2,9}[ ,.]", 0..300).prop_map(|words| words.concat().into_bytes());
    let run = (any::<u8>(), 0_usize..5_000).prop_map(|(byte, len)| vec![byte; len]);
    let part = prop_oneof![noise, text, run];
    vec(part, 1..4).prop_map(|parts| parts.concat())
}

fn compress(compressor: &mut impl Compress, body: &[u8]) -> Vec<u8> {
    let room = compressed_len_max(compressor.format(), body.len()).unwrap();
    let mut output = vec![0; room];
    let len = compressor.compress(body, &mut output).unwrap();
    output.truncate(len);
    output
}

fn flate2(format: Format, level: u32, body: &[u8]) -> Vec<u8> {
    let level = Compression::new(level);
    let mut output = Vec::new();
    match format {
        Format::Raw => flate2::read::DeflateEncoder::new(body, level).read_to_end(&mut output),
        Format::Zlib => flate2::read::ZlibEncoder::new(body, level).read_to_end(&mut output),
        _ => flate2::read::GzEncoder::new(body, level).read_to_end(&mut output),
    }
    .unwrap();
    output
}

fn flate2_back(format: Format, compressed: &[u8]) -> Vec<u8> {
    let mut output = Vec::new();
    match format {
        Format::Raw => flate2::read::DeflateDecoder::new(compressed).read_to_end(&mut output),
        Format::Zlib => flate2::read::ZlibDecoder::new(compressed).read_to_end(&mut output),
        _ => flate2::read::MultiGzDecoder::new(compressed).read_to_end(&mut output),
    }
    .unwrap();
    output
}

type Restored = Result<Vec<u8>, InflateError>;

fn in_one_go(format: Format, input: &[u8], room: usize) -> Restored {
    let mut output = vec![0; room];
    let len = inflate(format, &mut InflateState::new_boxed(), input, &mut output)?;
    output.truncate(len);
    Ok(output)
}

/// In pieces of the given lengths, over and over.
fn in_pieces(format: Format, input: &[u8], room: usize, pieces: &[usize]) -> Restored {
    let mut slot = MaybeUninit::uninit();
    let mut machine = Inflate::new(format, InflateState::new_in(&mut slot)).unwrap();
    let mut output = vec![0; room];
    let mut rest = input;
    for piece in pieces.iter().cycle() {
        let (now, later) = rest.split_at((*piece).min(rest.len()));
        let written = machine.written();
        let progress = machine.update(now, &mut output)?;
        assert_eq!(machine.written(), written + progress.written);
        if progress.consumed < now.len() {
            assert!(progress.done);
            let at = input.len() - rest.len() + progress.consumed;
            return Err(InflateError::Trailing { at: at as u64 });
        }
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    output.truncate(machine.finish()?);
    Ok(output)
}

fn by_zlib_rs(format: Format, input: &[u8], room: usize) -> Restored {
    let mut output = vec![0; room];
    let len = ZlibRsInflate::new(format).unwrap().decompress(input, &mut output)?;
    output.truncate(len);
    Ok(output)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(turbopump_tests::effort::cases(150)))]

    #[test]
    fn whoever_compressed_it_everybody_restores_it(
        body in body(),
        level in 1_u8..=9,
        pieces in vec(1_usize..600, 1..20),
    ) {
        for format in FORMATS {
            let mut ours = Deflate::new(format, level).unwrap();
            let mut zlib_rs = ZlibRsDeflate::new(format, level).unwrap();
            for compressed in [
                compress(&mut ours, &body),
                compress(&mut ours, &body),
                compress(&mut zlib_rs, &body),
                compress(&mut zlib_rs, &body),
                flate2(format, level.into(), &body),
            ] {
                let room = body.len();
                prop_assert!(in_one_go(format, &compressed, room).as_ref() == Ok(&body));
                prop_assert!(in_pieces(format, &compressed, room, &pieces).as_ref() == Ok(&body));
                prop_assert!(by_zlib_rs(format, &compressed, room).as_ref() == Ok(&body));
                prop_assert!(flate2_back(format, &compressed) == body);
                if let Some(room) = room.checked_sub(1) {
                    for refused in [
                        in_one_go(format, &compressed, room),
                        in_pieces(format, &compressed, room, &pieces),
                        by_zlib_rs(format, &compressed, room),
                    ] {
                        match refused {
                            Err(InflateError::OutputLimit { limit_bytes, .. }) => {
                                prop_assert_eq!(limit_bytes, room);
                            }
                            _ => prop_assert!(false, "{:?}", refused),
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn the_sizing_formula_is_enough_for_the_worst_bodies(
        seed in any::<u64>(),
        len in prop_oneof![0_usize..300, 0_usize..200_000],
        symbols in prop_oneof![Just(256_u64), 200_u64..256, 2_u64..20],
        level in 1_u8..=9,
    ) {
        let mut random = turbopump_core::random::SplitMix64::new(seed);
        // High symbols cost 9 bits in the fixed tables.
        let body: Vec<u8> = (0..len).map(|_| 255 - random.below(symbols) as u8).collect();
        for format in FORMATS {
            let bound = compressed_len_max(format, len).unwrap();
            prop_assert!(compress(&mut Deflate::new(format, level).unwrap(), &body).len() <= bound);
            let mut zlib_rs = ZlibRsDeflate::new(format, level).unwrap();
            prop_assert!(compress(&mut zlib_rs, &body).len() <= bound);
        }
    }

    #[test]
    fn damage_is_noticed_and_never_panics(
        body in body(),
        level in 1_u8..=9,
        changes in vec((any::<Index>(), any::<u8>()), 1..8),
        cut in any::<Index>(),
        pieces in vec(1_usize..600, 1..20),
    ) {
        for format in FORMATS {
            let mut damaged = compress(&mut Deflate::new(format, level).unwrap(), &body);
            for (at, byte) in &changes {
                let at = at.index(damaged.len());
                damaged[at] = *byte;
            }
            damaged.truncate(cut.index(damaged.len() * 2) + 1);
            let room = body.len() + 100;
            let result = in_one_go(format, &damaged, room);
            prop_assert_eq!(&in_pieces(format, &damaged, room, &pieces), &result);
            let zlib_rs = by_zlib_rs(format, &damaged, room);
            if format != Format::Raw {
                prop_assert!(result.is_err() || result.as_ref() == Ok(&body));
                prop_assert_eq!(zlib_rs.ok(), result.ok());
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(
        bytes in vec(any::<u8>(), 0..3_000),
        room in 0_usize..10_000,
        pieces in vec(1_usize..100, 1..20),
    ) {
        for format in FORMATS {
            // What starts like a stream gets further than mere noise.
            let front: &[u8] = match format {
                Format::Zlib => &[0x78, 0x9c],
                Format::Gzip => &gzip::HEADER,
                _ => &[],
            };
            for input in [bytes.clone(), [front, &bytes].concat()] {
                let result = in_one_go(format, &input, room);
                prop_assert_eq!(&in_pieces(format, &input, room, &pieces), &result);
                let zlib_rs = by_zlib_rs(format, &input, room);
                prop_assert!(format == Format::Raw || zlib_rs.ok() == result.ok());
            }
        }
    }
}

fn text(len: usize) -> Vec<u8> {
    let mut random = turbopump_core::random::SplitMix64::new(7);
    let mut text = String::new();
    while text.len() < len {
        let (id, amount) = (random.below(1_000_000), random.below(9_999));
        text += &format!("{{\"id\":{id},\"state\":\"shipped\",\"amount\":{amount}}},");
    }
    text.truncate(len);
    text.into_bytes()
}

#[test]
fn every_single_bit_flip_and_truncation_is_noticed() {
    let body = text(700);
    for format in [Format::Zlib, Format::Gzip] {
        let stream = compress(&mut Deflate::new(format, 6).unwrap(), &body);
        let pieces = [97];
        for bit in 0..stream.len() * 8 {
            let mut damaged = stream.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let result = in_one_go(format, &damaged, 2_000);
            assert_eq!(in_pieces(format, &damaged, 2_000, &pieces), result, "{format}, bit {bit}");
            // Bits of a gzip header that say nothing about the data: text or not, time, level,
            // system.
            let is_remark = format == Format::Gzip && (bit == 24 || (32..80).contains(&bit));
            match result {
                // Some bits make no difference, such as the length of a code that is not used.
                Ok(restored) => assert!(restored == body, "{format}, bit {bit}"),
                Err(error) => assert!(!is_remark, "{format}, bit {bit}: {error}"),
            }
        }
        for len in 0..stream.len() {
            let truncated = Err(InflateError::Truncated { at: len as u64 });
            assert_eq!(in_one_go(format, &stream[..len], 2_000), truncated, "{format}");
            assert_eq!(by_zlib_rs(format, &stream[..len], 2_000), truncated, "{format}");
        }
    }
}

#[test]
fn both_implementations_give_the_same_errors() {
    let body = text(500);
    for format in FORMATS {
        let stream = compress(&mut Deflate::new(format, 6).unwrap(), &body);
        let with = |at: usize, mask: u8| {
            let mut changed = stream.clone();
            changed[at] ^= mask;
            changed
        };
        let len = stream.len();
        let mut inputs = vec![Vec::new(), stream[..1].to_vec(), stream[..len - 1].to_vec()];
        inputs.push([&stream[..], b"?"].concat());
        if format != Format::Raw {
            inputs.extend([with(len - 1, 1), with(len - 4, 0x80)]);
        }
        if format == Format::Zlib {
            inputs.extend([with(0, 1), with(0, 0x80), with(1, 1)]);
        }
        if format == Format::Gzip {
            inputs.extend([with(0, 1), with(2, 1), with(3, 0x80), with(len - 8, 4)]);
            inputs.push([&stream[..], &with(2, 1)].concat());
        }
        for input in inputs {
            let ours = in_one_go(format, &input, 1_000);
            assert!(ours.is_err(), "{format}: {input:x?}");
            assert_eq!(by_zlib_rs(format, &input, 1_000), ours, "{format}");
        }
    }
    let dictionary = [0x78, 0xbb, 0, 0, 0, 0];
    for refused in
        [in_one_go(Format::Zlib, &dictionary, 10), by_zlib_rs(Format::Zlib, &dictionary, 10)]
    {
        let problem = HeaderProblem::NotZlib;
        assert!(matches!(refused, Err(InflateError::Header { problem: p, .. }) if p == problem));
    }
}

/// Runs the `gzip` program over `input`.
fn gzip_program(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("gzip")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this suite needs the program gzip");
    let mut stdin = child.stdin.take().unwrap();
    let output = thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "gzip {arguments:?}: {output:?}");
    output.stdout
}

/// A folder of this test's own, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("turbopump-{name}-{}", process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing to be done about a folder that stays behind.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_gzip_program_and_we_understand_each_other() {
    for body in [text(0), text(1), text(5_000), text(300_000), vec![0; 100_000]] {
        for level in 1..=9 {
            let theirs = gzip_program(&["-c", &format!("-{level}")], &body);
            assert_eq!(in_one_go(Format::Gzip, &theirs, body.len()), Ok(body.clone()));
            assert_eq!(in_pieces(Format::Gzip, &theirs, body.len(), &[1_000]), Ok(body.clone()));
            assert_eq!(by_zlib_rs(Format::Gzip, &theirs, body.len()), Ok(body.clone()));

            let ours = compress(&mut Deflate::new(Format::Gzip, level).unwrap(), &body);
            assert_eq!(gzip_program(&["-dc"], &ours), body);
            let zlib_rs = compress(&mut ZlibRsDeflate::new(Format::Gzip, level).unwrap(), &body);
            assert_eq!(gzip_program(&["-dc"], &zlib_rs), body);
        }
    }
}

#[test]
fn names_and_several_members_by_the_gzip_program() {
    let folder = Folder::new("gzip-names");
    let (first, second) = (text(2_000), text(3_000));
    let mut stream = Vec::new();
    for (name, body) in [("first file.json", &first), ("second.json", &second)] {
        let path = folder.0.join(name);
        fs::write(&path, body).unwrap();
        gzip_program(&["-N", path.to_str().unwrap()], &[]);
        let member = fs::read(folder.0.join(format!("{name}.gz"))).unwrap();
        assert_eq!(member[3], 8, "a name and nothing else");
        assert!(member.windows(name.len()).any(|window| window == name.as_bytes()));
        stream.extend(member);
    }
    let both = [first, second].concat();
    assert_eq!(in_one_go(Format::Gzip, &stream, 5_000), Ok(both.clone()));
    assert_eq!(in_pieces(Format::Gzip, &stream, 5_000, &[1, 17]), Ok(both.clone()));
    assert_eq!(by_zlib_rs(Format::Gzip, &stream, 5_000), Ok(both));
}

/// A member whose header has what `flags` say.
fn member(flags: u8, body: &[u8]) -> Vec<u8> {
    let mut member = vec![0x1f, 0x8b, 8, flags, 1, 2, 3, 4, 2, 3];
    if flags & 4 != 0 {
        member.extend_from_slice(b"\x07\x00AB\x03\x00abc");
    }
    if flags & 8 != 0 {
        member.extend_from_slice(b"name\0");
    }
    if flags & 16 != 0 {
        member.extend_from_slice(b"a comment\0");
    }
    if flags & 2 != 0 {
        let crc = crc32(&member) as u16;
        member.extend_from_slice(&crc.to_le_bytes());
    }
    member.extend(compress(&mut Deflate::new(Format::Raw, 6).unwrap(), body));
    member.extend(gzip::trailer(crc32(body), body.len() as u32));
    member
}

#[test]
fn every_combination_of_header_options() {
    let body = text(100);
    for flags in 0..32 {
        let stream = member(flags, &body);
        assert_eq!(gzip_program(&["-dc"], &stream), body, "the member is a correct one");
        for piece in 1..stream.len() {
            let restored = in_pieces(Format::Gzip, &stream, 100, &[piece]);
            assert_eq!(restored, Ok(body.clone()), "flags {flags:#b} in pieces of {piece}");
        }
        assert_eq!(by_zlib_rs(Format::Gzip, &stream, 100), Ok(body.clone()));
        // A bit of the time is wrong: only the header's checksum can know.
        let mut changed = stream.clone();
        changed[5] ^= 1;
        let refused = in_one_go(Format::Gzip, &changed, 100);
        if flags & 2 != 0 {
            let problem = refused.unwrap_err();
            let is_checksum = matches!(
                problem,
                InflateError::Header { problem: HeaderProblem::Checksum { .. }, .. }
            );
            assert!(is_checksum, "{problem}");
        } else {
            assert_eq!(refused, Ok(body.clone()));
        }
    }
}

/// Raw deflate of 1 GiB of zeros, about 1 MB: one MiB flushed so that it stands on its own, a
/// thousand times and more, then an empty last block.
fn bomb() -> Vec<u8> {
    let zeros = vec![0; 1 << 20];
    let mut mebibyte = Vec::with_capacity(100_000);
    let mut compressor = Flate2Compress::new(Compression::best(), false);
    compressor.compress_vec(&zeros, &mut mebibyte, FlushCompress::Full).unwrap();
    assert_eq!(compressor.total_in(), 1 << 20);
    let mut bomb = mebibyte.repeat(1_024);
    bomb.extend_from_slice(&[3, 0]);
    bomb
}

#[test]
fn bombs_are_stopped_at_the_bound() {
    let bomb = bomb();
    // It is what it seems to be.
    let mut inflated: u64 = 0;
    let mut decoder = flate2::read::DeflateDecoder::new(&bomb[..]);
    let mut buffer = vec![1; 1 << 20];
    loop {
        let read = decoder.read(&mut buffer).unwrap();
        assert!(buffer[..read].iter().all(|byte| *byte == 0));
        inflated += read as u64;
        if read == 0 {
            break;
        }
    }
    assert_eq!(inflated, 1 << 30);
    assert!(bomb.len() < 2 << 20);

    for (format, front) in
        [(Format::Raw, &[][..]), (Format::Zlib, &[0x78, 0xda]), (Format::Gzip, &gzip::HEADER)]
    {
        let stream = [front, &bomb].concat();
        for limit in [0, 1, 1_000, 1 << 16] {
            for refused in [
                in_one_go(format, &stream, limit),
                in_pieces(format, &stream, limit, &[1_000]),
                by_zlib_rs(format, &stream, limit),
            ] {
                let Err(InflateError::OutputLimit { at, limit_bytes }) = refused else {
                    panic!("{format} into {limit} bytes: {refused:?}");
                };
                assert_eq!(limit_bytes, limit);
                assert!(at < 1_000, "stopped after {at} bytes of input");
            }
        }
    }
}

/// A codec from outside the crate: pairs of a count and a byte.
struct RunLength;

impl Compress for RunLength {
    fn format(&self) -> Format {
        Format::Other(42)
    }

    fn compress(&mut self, input: &[u8], output: &mut [u8]) -> Result<usize, CompressError> {
        let limit = CompressError::OutputLimit { limit_bytes: output.len() };
        let (mut len, mut rest) = (0, input);
        while let Some(byte) = rest.first() {
            let run = rest.iter().take(255).take_while(|next| *next == byte).count();
            output.get_mut(len..len + 2).ok_or(limit)?.copy_from_slice(&[run as u8, *byte]);
            len += 2;
            rest = &rest[run..];
        }
        Ok(len)
    }
}

impl Decompress for RunLength {
    fn format(&self) -> Format {
        Format::Other(42)
    }

    fn decompress(&mut self, input: &[u8], output: &mut [u8]) -> Result<usize, InflateError> {
        let limit_bytes = output.len();
        let mut len = 0;
        for (index, pair) in input.chunks(2).enumerate() {
            let at = index as u64 * 2;
            let [run, byte] = *pair else {
                return Err(InflateError::Truncated { at: at + 1 });
            };
            let end = len + usize::from(run);
            let limit = InflateError::OutputLimit { at, limit_bytes };
            output.get_mut(len..end).ok_or(limit)?.fill(byte);
            len = end;
        }
        Ok(len)
    }
}

#[test]
fn codecs_can_come_from_outside() {
    let compressors: [Box<dyn Compress>; 3] = [
        Box::new(RunLength),
        Box::new(Deflate::new(Format::Zlib, 5).unwrap()),
        Box::new(ZlibRsDeflate::new(Format::Gzip, 5).unwrap()),
    ];
    let decompressors: [Box<dyn Decompress>; 3] = [
        Box::new(RunLength),
        Box::new(Inflate::new(Format::Zlib, InflateState::new_boxed()).unwrap()),
        Box::new(ZlibRsInflate::new(Format::Gzip).unwrap()),
    ];
    let body = [[7; 2_000], [8; 2_000]].concat();
    let noise: Vec<u8> = {
        let mut random = turbopump_core::random::SplitMix64::new(1);
        (0..4_000).map(|_| random.next_u64() as u8).collect()
    };
    for (mut compressor, mut decompressor) in compressors.into_iter().zip(decompressors) {
        assert_eq!(compressor.format(), decompressor.format());
        let (mut compressed, mut restored) = (vec![0; 4_000], vec![0; 4_000]);
        let policy = Policy::default();
        let encoded = policy.encode(&mut *compressor, &body, &mut compressed).unwrap();
        let Encoded::Compressed(len) = encoded else { panic!("{encoded:?}") };
        assert!(len < 100);
        assert_eq!(decompressor.decompress(&compressed[..len], &mut restored), Ok(body.len()));
        assert_eq!(restored, body);

        let encoded = policy.encode(&mut *compressor, &noise, &mut compressed);
        assert_eq!(encoded, Ok(Encoded::Plain(PlainReason::DoesNotShrink)));
        let encoded = policy.encode(&mut *compressor, &body[..1_023], &mut compressed);
        assert_eq!(encoded, Ok(Encoded::Plain(PlainReason::BelowThreshold)));
    }
}

#[test]
fn formats_a_codec_does_not_know_are_refused() {
    let format = Format::Other(1);
    let unsupported = CompressError::Unsupported { format };
    assert_eq!(Deflate::new(format, 5).unwrap_err(), unsupported);
    assert_eq!(ZlibRsDeflate::new(format, 5).unwrap_err(), unsupported);
    assert_eq!(ZlibRsDeflate::new(Format::Raw, 0).unwrap_err(), CompressError::Level { level: 0 });
    let unsupported = InflateError::Unsupported { format };
    assert_eq!(ZlibRsInflate::new(format).unwrap_err(), unsupported);
    assert_eq!(in_one_go(format, &[], 0), Err(unsupported));
    assert_eq!(compressed_len_max(format, 0), None);
    assert_eq!(compressed_len_max(Format::Raw, usize::MAX), None);
}

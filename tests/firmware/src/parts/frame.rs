//! Frames written with headroom, and read with exact and with bulk windows.

use turbopump_core::frame::{FrameWriter, LengthField, Reader, seal};

use crate::check::{Checks, check, must};

const FRAME_BYTES_MAX: usize = 24;
/// Two frames.
const WIRE: &[u8] = b"\0\0\0\x05hello\0\0\0\x06worlds";

#[inline(never)]
pub(crate) fn run(checks: &mut Checks) {
    let header = must(LengthField::big_endian_u32(FRAME_BYTES_MAX));
    write(checks, &header);
    read_exact(checks, header);
    read_bulk(checks, header);
    refuse(checks, header);
}

fn write(checks: &mut Checks, header: &LengthField) {
    let mut memory = [0; FRAME_BYTES_MAX];
    let mut writer = must(FrameWriter::new(&mut memory[..], 4));
    must(writer.extend_from_slice(b"hello"));
    check!(checks, writer.extend_from_slice(&[0; FRAME_BYTES_MAX]).is_err());
    must(seal(header, &mut writer, &[0; 4]));
    check!(checks, writer.as_slice() == &WIRE[..9]);
}

fn read_exact(checks: &mut Checks, header: LengthField) {
    let mut storage = [0; FRAME_BYTES_MAX];
    let mut reader = must(Reader::new(header, &mut storage[..]));
    let (mut wire, mut frames) = (WIRE, 0);
    while !wire.is_empty() {
        let window = must(reader.receive_buffer());
        let len = window.len();
        check!(checks, len <= wire.len());
        window.copy_from_slice(&wire[..len]);
        wire = &wire[len..];
        must(reader.commit(len));
        while let Some(frame) = must(reader.next_frame()) {
            let expected: &[u8] = if frames == 0 { b"hello" } else { b"worlds" };
            check!(checks, &frame[4..] == expected);
            frames += 1;
        }
    }
    check!(checks, frames == 2 && reader.finish().is_ok());
}

fn read_bulk(checks: &mut Checks, header: LengthField) {
    let mut storage = [0; FRAME_BYTES_MAX];
    let mut reader = must(Reader::new(header, &mut storage[..]));
    let window = must(reader.receive_buffer_bulk());
    window[..WIRE.len()].copy_from_slice(WIRE);
    must(reader.commit(WIRE.len()));
    let mut frames = 0;
    while must(reader.next_frame()).is_some() {
        frames += 1;
    }
    check!(checks, frames == 2);
}

fn refuse(checks: &mut Checks, header: LengthField) {
    let mut storage = [0; FRAME_BYTES_MAX];
    let mut reader = must(Reader::new(header, &mut storage[..]));
    must(reader.receive_buffer()).copy_from_slice(&[0, 0, 0, 21]);
    must(reader.commit(4));
    check!(checks, reader.next_frame().is_err());
    check!(checks, reader.receive_buffer().is_err());
    reader.reset();
    must(reader.receive_buffer()).copy_from_slice(&[0, 0, 0, 20]);
    must(reader.commit(4));
    check!(checks, reader.next_frame().is_ok_and(|frame| frame.is_none()));
    check!(checks, reader.finish().is_err());
}

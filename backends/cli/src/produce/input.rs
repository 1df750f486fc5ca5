//! Messages as they come: lines, or with their length in front.

use core::error::Error;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

/// The longest message that is read, whatever brokers take.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

const READ_BYTES: usize = 1 << 16;

/// Reads one message after the other.
pub(crate) struct Input {
    reader: BufReader<Box<dyn Read + Send>>,
    is_length_prefixed: bool,
    /// Of the message that is read next, from 1.
    number: u64,
}

impl Input {
    /// A file, or standard input.
    pub(crate) fn open(file: Option<&Path>, is_length_prefixed: bool) -> Result<Self, String> {
        let reader: Box<dyn Read + Send> = match file {
            None => Box::new(io::stdin()),
            Some(path) => {
                let file = File::open(path);
                Box::new(file.map_err(|error| format!("can't read {}: {error}", path.display()))?)
            }
        };
        Ok(Self::new(reader, is_length_prefixed))
    }

    fn new(reader: Box<dyn Read + Send>, is_length_prefixed: bool) -> Self {
        let reader = BufReader::with_capacity(READ_BYTES, reader);
        Self { reader, is_length_prefixed, number: 1 }
    }

    /// Whether the next message is here already: reading it does not wait for whoever writes.
    pub(crate) fn is_ready(&self) -> bool {
        let here = self.reader.buffer();
        match (self.is_length_prefixed, here.split_first_chunk()) {
            (false, _) => here.contains(&b'\n'),
            (true, Some((length, rest))) => rest.len() >= u32::from_be_bytes(*length) as usize,
            (true, None) => false,
        }
    }

    /// The next message; `None` at the end. Empty lines are none.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<u8>>, Box<dyn Error>> {
        let message = match self.is_length_prefixed {
            true => self.next_prefixed()?,
            false => self.next_line()?,
        };
        self.number += u64::from(message.is_some());
        Ok(message)
    }

    fn next_line(&mut self) -> Result<Option<Vec<u8>>, Box<dyn Error>> {
        loop {
            let mut line = Vec::new();
            if self.reader.read_until(b'\n', &mut line)? == 0 {
                return Ok(None);
            }
            while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
                line.pop();
            }
            if !line.is_empty() {
                return Ok(Some(line));
            }
        }
    }

    fn next_prefixed(&mut self) -> Result<Option<Vec<u8>>, Box<dyn Error>> {
        if self.reader.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let mut length = [0; 4];
        let cut_off = |error: io::Error, number: u64| match error.kind() {
            ErrorKind::UnexpectedEof => format!("message {number} is cut off"),
            _ => error.to_string(),
        };
        let number = self.number;
        self.reader.read_exact(&mut length).map_err(|error| cut_off(error, number))?;
        let len = u32::from_be_bytes(length) as usize;
        if len == 0 || len > MESSAGE_BYTES_MAX {
            let most = MESSAGE_BYTES_MAX;
            return Err(format!(
                "message {number} has {len} bytes, and 1 to {most} are expected: does each message \
                 have its length in front, the highest byte first?"
            )
            .into());
        }
        let mut message = vec![0; len];
        self.reader.read_exact(&mut message).map_err(|error| cut_off(error, number))?;
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &'static [u8], is_length_prefixed: bool) -> Result<Vec<Vec<u8>>, String> {
        let mut input = Input::new(Box::new(bytes), is_length_prefixed);
        let mut messages = Vec::new();
        while let Some(message) = input.next().map_err(|error| error.to_string())? {
            messages.push(message);
        }
        Ok(messages)
    }

    #[test]
    fn lines_lose_their_ends_and_lengths_are_believed() {
        let lines = read(b"a\r\n\nb \nlast", false).unwrap();
        assert_eq!(lines, [&b"a"[..], b"b ", b"last"]);
        let prefixed = read(b"\0\0\0\x02a\n\0\0\0\x01b", true).unwrap();
        assert_eq!(prefixed, [&b"a\n"[..], b"b"]);
    }

    #[test]
    fn it_is_known_whether_reading_would_wait() {
        for (bytes, is_length_prefixed, expected) in [
            (&b"one\ntwo\nthr"[..], false, [false, true, false]),
            (b"\0\0\0\x01a\0\0\0\x01b\0\0\0\x09c", true, [false, true, false]),
        ] {
            let mut input = Input::new(Box::new(bytes), is_length_prefixed);
            let ready = [(); 3].map(|()| {
                let ready = input.is_ready();
                let _ = input.next();
                ready
            });
            assert_eq!(ready, expected);
        }
    }

    #[test]
    fn what_is_cut_off_or_no_length_is_told() {
        assert_eq!(read(b"\0\0\0\x01a\0\0\0\x02b", true), Err("message 2 is cut off".into()));
        assert_eq!(read(b"\0\0", true), Err("message 1 is cut off".into()));
        assert!(read(b"plain text", true).unwrap_err().contains("1886151017 bytes"));
        assert!(read(b"\0\0\0\0", true).unwrap_err().contains("0 bytes"));
    }
}

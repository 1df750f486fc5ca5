//! Fuzz targets: each is a function that panics when what it tests is wrong.
//!
//! A new one gets a file here, an entry in [`TARGETS`] and a folder of small inputs in `seeds/`.

pub mod bodies;
pub mod body_codec;
pub mod broker;
pub mod frame_reader;
pub mod inflate;
pub mod message;
pub mod properties;
pub mod streams;
pub mod wire;

/// A function that is fed with bytes of any kind.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("bodies", bodies::any),
    ("body_codec", body_codec::run),
    ("broker", broker::run),
    ("command_frame", wire::command_frame),
    ("frame_reader", frame_reader::run),
    ("header_binary", wire::header_binary),
    ("header_json", wire::header_json),
    ("inflate", inflate::run),
    ("message", message::run),
    ("properties", properties::run),
    ("route", bodies::route),
    ("streams", streams::run),
];

/// Takes the parameters of a target off the front of its input; 0 where the input is at its end.
struct Parameters<'d> {
    data: &'d [u8],
}

impl<'d> Parameters<'d> {
    fn byte(&mut self) -> u8 {
        match self.data {
            [first, rest @ ..] => {
                self.data = rest;
                *first
            }
            [] => 0,
        }
    }

    /// A list of at most 255 bytes, behind its length.
    fn list(&mut self) -> &'d [u8] {
        let len = usize::from(self.byte()).min(self.data.len());
        let (list, rest) = self.data.split_at(len);
        self.data = rest;
        list
    }
}

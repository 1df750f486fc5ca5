//! The body of request 103 as it is inside its compression: lengths and texts.
//!
//! Inflating it is left to [`crate::compress`].

use core::error::Error;
use core::fmt::{self, Write};

use super::{Body, DataVersion, FromJson, List, Map, ToJson, TopicConfig, TopicFilterType};
use crate::rocketmq::wire::header::{EncodeError, Output};
use crate::rocketmq::wire::json::{Dialect, JsonError, Reader, Text, Writer};

impl<'a> TopicConfig<'a> {
    /// Reads the line of a topic: name, queues to read, queues to write, permission, kind of
    /// filter and attributes, between single spaces.
    ///
    /// # Errors
    ///
    /// [`RegistrationError`], with its position in `line`.
    pub fn from_line(line: &'a str) -> Result<Self, RegistrationError> {
        let mut rest = Some(line);
        let mut next = |part| {
            let text = rest.ok_or(RegistrationError { position: line.len(), part })?;
            let position = line.len().saturating_sub(text.len());
            let (word, behind) = match text.split_once(' ') {
                Some((word, behind)) => (word, Some(behind)),
                None => (text, None),
            };
            rest = behind;
            Ok((word, RegistrationError { position, part }))
        };
        let (topic_name, refused) = next("the name of a topic")?;
        if topic_name.is_empty() {
            return Err(refused);
        }
        let mut number = |part| {
            let (word, refused) = next(part)?;
            word.parse().map_err(|_| refused)
        };
        let read_queue_nums = number("the number of queues to read")?;
        let write_queue_nums = number("the number of queues to write")?;
        let perm = number("the permission")?;
        let (filter, _) = next("the kind of filter")?;
        let attributes = match rest {
            None | Some("") => Map::default(),
            Some(json) => attributes(json, line.len().saturating_sub(json.len()))?,
        };
        Ok(TopicConfig {
            attributes,
            order: false,
            perm,
            read_queue_nums,
            topic_filter_type: TopicFilterType::from_name(filter),
            topic_name: topic_name.into(),
            topic_sys_flag: 0,
            write_queue_nums,
        })
    }

    /// Writes the line of the topic; what it has no place for is left out.
    ///
    /// # Errors
    ///
    /// As `out`.
    pub fn write_line(&self, mut out: impl Write) -> fmt::Result {
        let Self { topic_name, read_queue_nums, write_queue_nums, perm, .. } = self;
        let filter = self.topic_filter_type.unwrap_or_default().name();
        write!(out, "{topic_name} {read_queue_nums} {write_queue_nums} {perm} {filter} ")?;
        self.attributes.to_json(&mut Writer::new(out, Dialect::Fastjson))
    }
}

fn attributes(
    json: &str,
    position: usize,
) -> Result<Map<'_, Text<'_>, Text<'_>>, RegistrationError> {
    let mut reader = Reader::within(json.as_bytes(), position);
    let read = Map::from_json(&mut reader).and_then(|map| reader.end().map(|()| map));
    read.map_err(|error| RegistrationError { position: error.position, part: "the attributes" })
}

/// A registration, taken apart where it stands.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct CompressedRegistration<'a> {
    /// Which change of the topics this is.
    pub data_version: DataVersion,
    /// The topics.
    pub topics: TopicLines<'a>,
    /// Addresses of filter servers.
    pub filter_servers: List<'a, Text<'a>>,
    /// How many static topics follow.
    pub mappings: i32,
    /// The static topics: each a length and JSON.
    pub mapping_bytes: &'a [u8],
}

impl<'a> CompressedRegistration<'a> {
    /// Takes inflated `bytes` apart.
    ///
    /// # Errors
    ///
    /// [`RegistrationError`], with its position in `bytes`.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, RegistrationError> {
        let mut parts = Parts { bytes, at: 0 };
        let (json, at) = parts.counted("the version of the data")?;
        let data_version = whole(json, at, "the version of the data")?;
        let count = parts.number("the number of topics")?;
        let start = parts.at;
        for _ in 0..count {
            parts.counted("a topic")?;
        }
        let topics = bytes.get(start..parts.at).unwrap_or_default();
        let topics = TopicLines { parts: Parts { bytes: topics, at: 0 }, base: start };
        let (json, at) = parts.counted("the list of filter servers")?;
        let filter_servers = whole(json, at, "the list of filter servers")?;
        let mappings = parts.number("the number of static topics")?;
        let mapping_bytes = bytes.get(parts.at..).unwrap_or_default();
        Ok(Self { data_version, topics, filter_servers, mappings, mapping_bytes })
    }

    /// Writes a registration without static topics to the start of `memory`, to be compressed;
    /// returns its length.
    ///
    /// # Errors
    ///
    /// [`EncodeError::NoRoom`].
    pub fn encode<'t>(
        data_version: &DataVersion,
        topics: impl Iterator<Item = TopicConfig<'t>> + Clone,
        filter_servers: List<'t, Text<'t>>,
        memory: &mut [u8],
    ) -> Result<usize, EncodeError> {
        let mut output = Output::new(memory);
        counted(&mut output, |output| data_version.write(Dialect::Fastjson, output))?;
        let count = i32::try_from(topics.clone().count()).unwrap_or(i32::MAX);
        output.put(&count.to_be_bytes());
        for topic in topics {
            counted(&mut output, |output| topic.write_line(output))?;
        }
        counted(&mut output, |output| filter_servers.write(Dialect::Fastjson, output))?;
        output.put(&[0; 4]);
        output.finish()
    }
}

fn counted(
    output: &mut Output<'_>,
    write: impl FnOnce(&mut Output<'_>) -> fmt::Result,
) -> Result<(), EncodeError> {
    let at = output.len();
    output.put(&[0; 4]);
    let unreadable = EncodeError::NoRoom { needed_bytes: usize::MAX, room_bytes: 0 };
    write(output).map_err(|_| unreadable)?;
    let len_bytes = output.len().saturating_sub(at).saturating_sub(4);
    output.patch(at, &(len_bytes as u32).to_be_bytes());
    Ok(())
}

fn whole<'a, T: FromJson<'a>>(
    json: &'a [u8],
    position: usize,
    part: &'static str,
) -> Result<T, RegistrationError> {
    let mut reader = Reader::within(json, position);
    let read = T::from_json(&mut reader).and_then(|value| reader.end().map(|()| value));
    read.map_err(|JsonError { position, .. }| RegistrationError { position, part })
}

/// The lines of topics in a registration.
#[derive(Clone, Copy, Debug)]
pub struct TopicLines<'a> {
    parts: Parts<'a>,
    base: usize,
}

impl<'a> Iterator for TopicLines<'a> {
    type Item = Result<TopicConfig<'a>, RegistrationError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.parts.at >= self.parts.bytes.len() {
            return None;
        }
        let (line, at) = self.parts.counted("a topic").ok()?;
        let base = self.base.saturating_add(at);
        let behind = |RegistrationError { position, part }| RegistrationError {
            position: position.saturating_add(base),
            part,
        };
        let line = core::str::from_utf8(line).map_err(|error| {
            behind(RegistrationError {
                position: error.valid_up_to(),
                part: "the UTF-8 of a topic",
            })
        });
        Some(line.and_then(|line| TopicConfig::from_line(line).map_err(behind)))
    }
}

#[derive(Clone, Copy, Debug)]
struct Parts<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Parts<'a> {
    /// A number of things, or of bytes; not below zero.
    fn number(&mut self, part: &'static str) -> Result<i32, RegistrationError> {
        let refused = RegistrationError { position: self.at, part };
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let value = i32::from_be_bytes(*rest.first_chunk().ok_or(refused)?);
        if value < 0 {
            return Err(refused);
        }
        self.at = self.at.saturating_add(4);
        Ok(value)
    }

    /// Bytes behind their length, and where they are.
    fn counted(&mut self, part: &'static str) -> Result<(&'a [u8], usize), RegistrationError> {
        let refused = RegistrationError { position: self.at, part };
        let len = usize::try_from(self.number(part)?).map_err(|_| refused)?;
        let start = self.at;
        let end = start.saturating_add(len);
        let bytes = self.bytes.get(start..end).ok_or(refused)?;
        self.at = end;
        Ok((bytes, start))
    }
}

/// Why bytes are no registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegistrationError {
    /// Where it is wrong, in bytes from the start of what was to be decoded.
    pub position: usize,
    /// What should be there.
    pub part: &'static str,
}

impl fmt::Display for RegistrationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { position, part } = self;
        write!(f, "registration at byte {position}: {part} is missing or wrong, refuse it")
    }
}

impl Error for RegistrationError {}

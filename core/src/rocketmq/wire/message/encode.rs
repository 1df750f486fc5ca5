//! Writing a stored message, for brokers and tests.

use super::output::{I16_MAX, I32_MAX, Output, checked_len};
use super::{EncodeError, Field, Message, SysFlag, Version};

impl Message<'_> {
    /// The length of the encoded message in bytes.
    #[must_use]
    pub const fn encoded_len(&self) -> usize {
        let topic_len_bytes = match self.version {
            Version::V1 => 1,
            Version::V2 => 2,
        };
        FIXED_BYTES
            .saturating_add(if self.born_host.is_ipv6() { 12 } else { 0 })
            .saturating_add(if self.store_host.is_ipv6() { 12 } else { 0 })
            .saturating_add(self.body.len())
            .saturating_add(topic_len_bytes)
            .saturating_add(self.topic.len())
            .saturating_add(self.properties.len())
    }

    /// Writes the message to the start of `memory` and returns its length in bytes. The bits for
    /// IPv6 follow from the hosts; all other fields are written as they are, the CRC too.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] for a field that is too long, and for too little memory.
    pub fn encode(&self, memory: &mut [u8]) -> Result<usize, EncodeError> {
        let topic = self.topic.as_bytes();
        let body_len = checked_len(Field::Body, self.body, I32_MAX)?;
        let topic_len = checked_len(Field::Topic, topic, self.version.topic_bytes_max())?;
        let properties_len = checked_len(Field::Properties, self.properties, I16_MAX)?;
        let encoded_len = self.encoded_len();
        let Ok(total) = i32::try_from(encoded_len) else {
            let (field, len_bytes, len_bytes_max) = (Field::Body, encoded_len, I32_MAX);
            return Err(EncodeError::TooLong { field, len_bytes, len_bytes_max });
        };
        let mut output = Output::new(memory, encoded_len)?;
        output.i32(total);
        output.i32(self.version.magic());
        output.i32(self.body_crc);
        output.i32(self.queue_id);
        output.i32(self.flag);
        output.i64(self.queue_offset);
        output.i64(self.physical_offset);
        output.i32(self.encoded_sys_flag().0);
        output.i64(self.born_timestamp_ms);
        output.host(self.born_host);
        output.i64(self.store_timestamp_ms);
        output.host(self.store_host);
        output.i32(self.reconsume_times);
        output.i64(self.prepared_transaction_offset);
        output.i32(body_len);
        output.put(self.body);
        // Both fit: their limits were checked.
        match self.version {
            Version::V1 => output.put(&(topic_len as i8).to_be_bytes()),
            Version::V2 => output.put(&(topic_len as i16).to_be_bytes()),
        }
        output.put(topic);
        output.put(&(properties_len as i16).to_be_bytes());
        output.put(self.properties);
        Ok(encoded_len)
    }

    const fn encoded_sys_flag(&self) -> SysFlag {
        self.sys_flag
            .with(SysFlag::BORN_HOST_V6, self.born_host.is_ipv6())
            .with(SysFlag::STORE_HOST_V6, self.store_host.is_ipv6())
    }
}

/// All fields and lengths with IPv4 addresses, without the length of the topic.
const FIXED_BYTES: usize = 90;

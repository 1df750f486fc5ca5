//! Settings that administrators keep at a name server, by namespace and key.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::string::String;

use turbopump_core::rocketmq::wire::body::KvTable;
use turbopump_core::rocketmq::wire::command::{
    Command, DeleteKVConfigRequestHeader, GetKVConfigRequestHeader,
    GetKVListByNamespaceRequestHeader, PutKVConfigRequestHeader,
};
use turbopump_core::rocketmq::wire::frame::Frame;
use turbopump_core::rocketmq::wire::header::{request_code, response_code};
use turbopump_core::rocketmq::wire::json::{Dialect, Text};

use crate::broker::answers::{Refusal, Reply, plain};

/// Which brokers have how many queues of topics whose messages are in order.
pub(in crate::broker) const ORDER_NAMESPACE: &str = "ORDER_TOPIC_CONFIG";

/// Settings of all namespaces.
const SETTINGS_MAX: usize = 65_536;
/// The longest namespace, key or value, in bytes.
const TEXT_BYTES_MAX: usize = 64 * 1024;
/// All of them together, in bytes.
const BYTES_MAX: usize = 16 << 20;

/// Which setting a request has changed, if it is one that does.
pub(in crate::broker) fn changed_by(
    code: i32,
    frame: &Frame<'_>,
) -> Result<Option<(String, String)>, Refusal> {
    let (namespace, key) = match code {
        request_code::PUT_KV_CONFIG => {
            let header = PutKVConfigRequestHeader::decode(&frame.ext)?;
            (header.namespace, header.key)
        }
        request_code::DELETE_KV_CONFIG => {
            let header = DeleteKVConfigRequestHeader::decode(&frame.ext)?;
            (header.namespace, header.key)
        }
        _ => return Ok(None),
    };
    Ok(Some((plain(namespace).into_owned(), plain(key).into_owned())))
}

/// What administrators keep here.
#[derive(Debug, Default)]
pub(in crate::broker) struct KvConfig {
    settings: BTreeMap<(String, String), String>,
    bytes: usize,
}

impl KvConfig {
    /// The order of a topic, if it has one.
    pub(in crate::broker) fn order_of(&self, topic: &str) -> Option<&str> {
        if self.settings.is_empty() {
            return None;
        }
        let key = (String::from(ORDER_NAMESPACE), String::from(topic));
        self.settings.get(&key).map(|value| &**value)
    }

    /// All settings of a namespace, as a body; `None` where there are none.
    pub(in crate::broker) fn table(&self, namespace: &str) -> Option<Reply> {
        let table: alloc::vec::Vec<(Text<'_>, Text<'_>)> = self
            .settings
            .range((namespace.into(), String::new())..)
            .take_while(|((of, _), _)| of == namespace)
            .map(|((_, key), value)| (Text::plain(key), Text::plain(value)))
            .collect();
        let body = KvTable { table: (&*table).into() };
        (!table.is_empty()).then(|| Reply::json(&body, Dialect::Fastjson))
    }

    /// Requests 100, 101, 102 and 219.
    pub(in crate::broker) fn handle(
        &mut self,
        code: i32,
        frame: &Frame<'_>,
    ) -> Result<Reply, Refusal> {
        match code {
            request_code::PUT_KV_CONFIG => {
                let header = PutKVConfigRequestHeader::decode(&frame.ext)?;
                self.put(plain(header.namespace), plain(header.key), plain(header.value))?;
                Ok(Reply::default())
            }
            request_code::GET_KV_CONFIG => {
                let header = GetKVConfigRequestHeader::decode(&frame.ext)?;
                let (namespace, key) = (plain(header.namespace), plain(header.key));
                let value = self.get(&namespace, &key).ok_or_else(|| {
                    not_found(alloc::format!("No config item, Namespace: {namespace} Key: {key}"))
                })?;
                Ok(Reply::field("value", value))
            }
            request_code::DELETE_KV_CONFIG => {
                let header = DeleteKVConfigRequestHeader::decode(&frame.ext)?;
                self.remove(&plain(header.namespace), &plain(header.key));
                Ok(Reply::default())
            }
            _ => {
                let header = GetKVListByNamespaceRequestHeader::decode(&frame.ext)?;
                let namespace = plain(header.namespace);
                self.table(&namespace).ok_or_else(|| {
                    not_found(alloc::format!("No config item, Namespace: {namespace}"))
                })
            }
        }
    }

    pub(in crate::broker) fn get(&self, namespace: &str, key: &str) -> Option<&str> {
        self.settings.get(&(namespace.into(), key.into())).map(|value| &**value)
    }

    /// All of them: namespace, key and value.
    pub(in crate::broker) fn iter(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.settings.iter().map(|((namespace, key), value)| (&**namespace, &**key, &**value))
    }

    pub(in crate::broker) fn remove(&mut self, namespace: &str, key: &str) {
        if let Some(value) = self.settings.remove(&(namespace.into(), key.into())) {
            self.bytes -= namespace.len() + key.len() + value.len();
        }
    }

    pub(in crate::broker) fn put(
        &mut self,
        namespace: Cow<'_, str>,
        key: Cow<'_, str>,
        value: Cow<'_, str>,
    ) -> Result<(), Refusal> {
        let longest = namespace.len().max(key.len()).max(value.len());
        let bytes = namespace.len() + key.len() + value.len();
        let key = (namespace.into_owned(), key.into_owned());
        let old = self.settings.get(&key);
        let settings = self.settings.len() + usize::from(old.is_none());
        let old_bytes = old.map_or(0, |value| key.0.len() + key.1.len() + value.len());
        let total_bytes = self.bytes - old_bytes + bytes;
        if settings > SETTINGS_MAX || longest > TEXT_BYTES_MAX || total_bytes > BYTES_MAX {
            let remark = alloc::format!(
                "{settings} settings with {total_bytes} bytes, the longest with {longest}, are \
                 more than {SETTINGS_MAX} with {BYTES_MAX} bytes, the longest with {TEXT_BYTES_MAX}"
            );
            return Err(Refusal::new(response_code::SYSTEM_ERROR, remark));
        }
        self.bytes = total_bytes;
        self.settings.insert(key, value.into_owned());
        Ok(())
    }
}

fn not_found(remark: String) -> Refusal {
    Refusal::new(response_code::QUERY_NOT_FOUND, remark)
}

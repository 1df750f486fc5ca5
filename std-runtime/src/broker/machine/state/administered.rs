//! What administrators have set besides topics and groups: settings of the broker, settings that
//! are kept at its name server, and whether it may be written to.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::super::Broker;

/// What was set since the broker was first started; what of it is not written down.
#[derive(Debug, Default)]
pub(in crate::broker::machine) struct Administered {
    settings: BTreeMap<String, String>,
    changed_settings: BTreeSet<String>,
    changed_kv: BTreeSet<(String, String)>,
    is_wiping_changed: bool,
}

/// What is written down.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct AdministeredRecord {
    /// Whether there is nothing else at the name server.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    is_all: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    settings: Vec<(String, String)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kv: Vec<KvRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_wiped: Option<bool>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct KvRecord {
    namespace: String,
    key: String,
    /// `None` once it was deleted.
    value: Option<String>,
}

impl AdministeredRecord {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Administered {
    pub(in crate::broker::machine) fn setting_changed(&mut self, name: &str, value: &str) {
        self.settings.insert(name.into(), value.into());
        self.changed_settings.insert(name.into());
    }

    pub(in crate::broker::machine) fn kv_changed(&mut self, namespace: &str, key: &str) {
        self.changed_kv.insert((namespace.into(), key.into()));
    }

    pub(in crate::broker::machine) const fn wiping_changed(&mut self) {
        self.is_wiping_changed = true;
    }

    /// Whether everything is written down.
    pub(super) fn is_remembered(&self) -> bool {
        self.changed_settings.is_empty() && self.changed_kv.is_empty() && !self.is_wiping_changed
    }

    pub(super) fn forget_changes(&mut self) {
        self.changed_settings.clear();
        self.changed_kv.clear();
        self.is_wiping_changed = false;
    }
}

impl Broker {
    pub(super) fn administered_changes(&mut self) -> AdministeredRecord {
        let administered = &mut self.administered;
        let settings = &administered.settings;
        let changed = core::mem::take(&mut administered.changed_settings).into_iter();
        let settings = changed.filter_map(|name| Some((settings.get(&name)?.clone(), name)));
        let settings = settings.map(|(value, name)| (name, value)).collect();
        let kv = core::mem::take(&mut administered.changed_kv).into_iter();
        let kv = kv.map(|(namespace, key)| {
            let value = self.directory.kv.get(&namespace, &key).map(Into::into);
            KvRecord { namespace, key, value }
        });
        let is_wiped = core::mem::take(&mut administered.is_wiping_changed);
        let is_wiped = is_wiped.then_some(self.directory.is_wiped);
        AdministeredRecord { is_all: false, settings, kv: kv.collect(), is_wiped }
    }

    pub(super) fn everything_administered(&mut self) -> AdministeredRecord {
        self.administered.forget_changes();
        let settings = self.administered.settings.iter();
        let kv = self.directory.kv.iter().map(|(namespace, key, value)| KvRecord {
            namespace: namespace.into(),
            key: key.into(),
            value: Some(value.into()),
        });
        AdministeredRecord {
            is_all: true,
            settings: settings.map(|(name, value)| (name.clone(), value.clone())).collect(),
            kv: kv.collect(),
            is_wiped: Some(self.directory.is_wiped),
        }
    }

    pub(super) fn apply_administered(&mut self, record: AdministeredRecord) {
        if record.is_all {
            self.directory.kv = Default::default();
        }
        for (name, value) in record.settings {
            // One that another release has written may mean nothing any more.
            if self.set(&name, &value).is_ok() {
                self.administered.settings.insert(name, value);
            }
        }
        for KvRecord { namespace, key, value } in record.kv {
            // Its bounds held when it was written down.
            let _ = match value {
                Some(value) => self.directory.kv.put(namespace.into(), key.into(), value.into()),
                None => {
                    self.directory.kv.remove(&namespace, &key);
                    Ok(())
                }
            };
        }
        if let Some(is_wiped) = record.is_wiped {
            self.directory.is_wiped = is_wiped;
        }
    }
}

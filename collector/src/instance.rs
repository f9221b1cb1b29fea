//! The senders of telemetry: one entry for each instance of a service, usually a worker process.

use std::{collections::HashMap, sync::Arc};

use opentelemetry_proto::tonic::resource::v1::Resource;

use crate::attribute;

/// Maximum number of instances. Beyond it, the instance that was silent for longest is evicted.
const MAX_INSTANCES: usize = 1_000;

/// Limits for resource attributes: bytes of each, and number per instance.
const MAX_TEXT: usize = 1_024;
const MAX_ATTRIBUTES: usize = 64;

/// A sender of telemetry, identified by `service.namespace`, `service.name` and
/// `service.instance.id`. Without an instance id, `process.pid` identifies it.
#[derive(Clone, Debug)]
pub struct Instance {
    pub(crate) number: u64,
    resource: Vec<(String, String)>,
}

impl Instance {
    /// `service.name`, or `unknown_service` if it is missing.
    pub fn service(&self) -> &str {
        self.resource_attribute("service.name")
            .unwrap_or("unknown_service")
    }

    /// `service.namespace`. Empty if it is missing.
    pub fn namespace(&self) -> &str {
        self.resource_attribute("service.namespace")
            .unwrap_or_default()
    }

    /// `service.instance.id`, or else `process.pid`. Empty if both are missing.
    pub fn id(&self) -> &str {
        self.resource_attribute("service.instance.id")
            .or_else(|| self.pid())
            .unwrap_or_default()
    }

    /// `process.pid` as text.
    pub fn pid(&self) -> Option<&str> {
        self.resource_attribute("process.pid")
    }

    /// A resource attribute as text, truncated to 1,024 bytes.
    pub fn resource_attribute(&self, key: &str) -> Option<&str> {
        attribute::find_text(&self.resource, key)
    }

    /// All resource attributes, sorted by key. At most 64.
    pub fn resource(&self) -> &[(String, String)] {
        &self.resource
    }
}

#[derive(Default)]
pub(crate) struct Instances {
    known: HashMap<[String; 3], Known>,
    next_number: u64,
    warned: bool,
}

struct Known {
    instance: Arc<Instance>,
    last_seen: u64,
}

impl Instances {
    /// Returns the instance of a resource, and the number of the instance that was evicted for it.
    pub(crate) fn intern(&mut self, resource: Option<&Resource>) -> (Arc<Instance>, Option<u64>) {
        let instance = Instance {
            number: self.next_number,
            resource: attributes(resource),
        };
        let key = [instance.namespace(), instance.service(), instance.id()].map(str::to_owned);
        self.next_number += 1;
        if let Some(known) = self.known.get_mut(&key) {
            known.last_seen = self.next_number;
            return (Arc::clone(&known.instance), None);
        }
        let evicted = (self.known.len() >= MAX_INSTANCES)
            .then(|| self.evict())
            .flatten();
        let instance = Arc::new(instance);
        let known = Known {
            instance: Arc::clone(&instance),
            last_seen: self.next_number,
        };
        self.known.insert(key, known);
        (instance, evicted)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.known.values().map(|known| &known.instance)
    }

    fn evict(&mut self) -> Option<u64> {
        if !self.warned {
            self.warned = true;
            log::warn!(
                "more than {MAX_INSTANCES} instances reported; \
                 those that were silent for longest now count only in the sums"
            );
        }
        let oldest = self
            .known
            .iter()
            .min_by_key(|(_, known)| known.last_seen)
            .map(|(key, _)| key.clone())?;
        self.known
            .remove(&oldest)
            .map(|known| known.instance.number)
    }
}

/// Keeps the identifying attributes first, so that they are never truncated.
fn attributes(resource: Option<&Resource>) -> Vec<(String, String)> {
    const IDENTITY: [&str; 4] = [
        "service.namespace",
        "service.name",
        "service.instance.id",
        "process.pid",
    ];
    let mut attributes = attribute::sorted(
        resource
            .map(|resource| resource.attributes.as_slice())
            .unwrap_or_default(),
    );
    attributes.sort_by_key(|(key, _)| !IDENTITY.contains(&key.as_str()));
    attributes.truncate(MAX_ATTRIBUTES);
    let mut attributes: Vec<_> = attributes
        .iter()
        .map(|(key, value)| (cut(key), cut(value)))
        .collect();
    attributes.sort();
    attributes
}

fn cut(text: &str) -> String {
    attribute::cut(text, MAX_TEXT).to_owned()
}

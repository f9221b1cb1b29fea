//! The metrics that a process has registered, and their names.

use std::{
    any::Any,
    collections::HashMap,
    sync::{Arc, Mutex},
};

use prometheus::Error;

use crate::{
    definition::Definition,
    family::printed_names,
    lock,
    state::{MetricState, Shared},
};

/// The metrics of a store, by name.
#[derive(Default)]
pub(crate) struct Registry(Mutex<HashMap<String, Registered>>);

struct Registered {
    state: Arc<MetricState>,
    /// What holds its series.
    series: Box<dyn Any + Send + Sync>,
}

impl Registry {
    /// What holds the series of a metric, which is made and registered unless it is.
    ///
    /// # Errors
    ///
    /// If the metric differs from the registered one, or shares a name with another.
    pub(crate) fn register<S: Any + Clone + Send + Sync>(
        &self,
        shared: &Arc<Shared>,
        definition: Definition,
        make: impl FnOnce(&Arc<MetricState>) -> S,
    ) -> Result<S, Error> {
        shared.check_process()?;
        let mut metrics = lock(&self.0);
        if let Some(registered) = metrics.get(&definition.name) {
            return match registered.series.downcast_ref::<S>() {
                Some(series) if registered.state.definition().is_same(&definition) => {
                    Ok(series.clone())
                }
                _ => Err(Error::Msg(format!(
                    "metric {:?} is already registered with another type, help or labels: {:?}",
                    definition.name,
                    registered.state.definition()
                ))),
            };
        }
        let names = |known: &Definition| printed_names(known.kind, &known.name);
        let own = names(&definition);
        let is_taken = |known: &&Registered| {
            names(known.state.definition())
                .iter()
                .any(|name| own.contains(name))
        };
        if let Some(known) = metrics.values().find(is_taken) {
            return Err(Error::Msg(format!(
                "metric {:?} has a name in common with the samples of metric {:?}, rename one of them",
                definition.name,
                known.state.definition().name
            )));
        }
        let files = &shared.files;
        let file = files.file(definition.kind)?;
        files.declare(&definition.name, &definition.bounds);
        let name = definition.name.clone();
        let shared = Arc::clone(shared);
        let state = Arc::new(MetricState::new(definition, shared, file));
        let series = make(&state);
        let registered = Registered {
            state,
            series: Box::new(series.clone()),
        };
        metrics.insert(name, registered);
        Ok(series)
    }
}

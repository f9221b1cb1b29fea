//! What was received, and what becomes of a request.

use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};

use crate::{
    instance::Instances,
    kept::Kept,
    pulse::Pulse,
    text::{self, Style},
    totals::Totals,
    traces::Traces,
};

/// What was received.
pub(crate) struct State {
    pub(crate) kept: Kept,
    pub(crate) instances: Instances,
    pub(crate) totals: Totals,
    pub(crate) traces: Traces,
    pub(crate) pulse: Pulse,
    /// Spans without valid ids.
    pub(crate) invalid_spans: u64,
    sampled: Instant,
}

impl State {
    pub(crate) fn new(keep_records: usize, view: bool) -> Self {
        Self {
            kept: Kept::new(keep_records, view),
            instances: Instances::default(),
            totals: Totals::default(),
            traces: Traces::default(),
            pulse: Pulse::default(),
            invalid_spans: 0,
            sampled: Instant::now(),
        }
    }

    /// Notes the sums of metrics for the view, once a second.
    pub(crate) fn sample(&mut self) {
        if self.sampled.elapsed() >= Duration::from_secs(1) {
            self.sampled = Instant::now();
            self.pulse.sample(&self.totals);
        }
    }

    pub(crate) fn take_metrics(
        &mut self,
        request: &ExportMetricsServiceRequest,
        style: Option<Style>,
    ) -> String {
        let mut text = String::new();
        for resource in &request.resource_metrics {
            let (instance, evicted) = self.instances.intern(resource.resource.as_ref());
            if let Some(evicted) = evicted {
                self.totals.retire(evicted);
            }
            let scopes = &resource.scope_metrics;
            let changes = self.totals.apply(&instance, scopes, Instant::now());
            self.pulse.metrics(&instance, &changes);
            if let Some(style) = style {
                text.push_str(&text::metrics::block(&instance, &changes, style));
            }
        }
        text
    }

    pub(crate) fn take_logs(
        &mut self,
        request: ExportLogsServiceRequest,
        style: Option<Style>,
    ) -> String {
        let mut text = String::new();
        for resource in request.resource_logs {
            let (instance, evicted) = self.instances.intern(resource.resource.as_ref());
            if let Some(evicted) = evicted {
                self.totals.retire(evicted);
            }
            if let Some(style) = style {
                text.push_str(&text::logs::block(&instance, &resource.scope_logs, style));
            }
            self.pulse.logs(&instance, &resource.scope_logs);
            self.kept.keep_logs(&instance, resource.scope_logs);
        }
        text
    }

    /// Queues spans. They are printed later, trace by trace. Returns the number of invalid ones.
    pub(crate) fn take_traces(&mut self, request: ExportTraceServiceRequest) -> u64 {
        let now = Instant::now();
        let mut invalid = 0;
        for mut resource in request.resource_spans {
            let (instance, evicted) = self.instances.intern(resource.resource.as_ref());
            if let Some(evicted) = evicted {
                self.totals.retire(evicted);
            }
            invalid += self.traces.keep_new(&mut resource.scope_spans);
            self.traces.add(&instance, &resource.scope_spans, now);
            self.pulse.spans(&instance, &resource.scope_spans);
            self.kept.keep_spans(&instance, resource.scope_spans);
        }
        self.invalid_spans += invalid as u64;
        invalid as u64
    }
}

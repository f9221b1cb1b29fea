//! Tests across the workspace's programs: a module for each surface.

mod adoption;
mod all_signals;
mod conventions;
mod copy;
mod flake;
mod incidents;
mod live_view;
mod load;
mod logs;
mod metrics_multi_process_pull;
mod metrics_push;
mod metrics_single_process_pull;
mod negotiation;
mod otlp;
mod program;
mod readme;
mod real_parts;
mod settings;
mod support;
mod taskfile;
mod tidy;
mod traces;
mod workers;
mod workspace;

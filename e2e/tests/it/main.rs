//! Tests across the workspace's programs: a module for each surface.

mod load;
mod metrics_multi_process_pull;
mod metrics_push;
mod program;
mod workers;

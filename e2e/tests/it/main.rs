//! Tests across the workspace's programs: a module for each surface.

mod load;
mod logs;
mod metrics_push;
mod program;
mod workers;

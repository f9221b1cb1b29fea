//! A line of the log with structured fields.

use log::{Level, kv::Value};

/// A line of the log, with the fields that it is about.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) level: Level,
    pub(crate) text: String,
    pub(crate) fields: Vec<(&'static str, Value<'static>)>,
}

impl Line {
    /// Writes a line with its fields to the log.
    pub(crate) fn write(&self) {
        if self.level > log::max_level() {
            return;
        }
        let fields = self.fields.as_slice();
        log::logger().log(
            &log::Record::builder()
                .level(self.level)
                .target("actix_prefork")
                .module_path_static(Some("actix_prefork"))
                .key_values(&fields)
                .args(format_args!("{}", self.text))
                .build(),
        );
    }
}

//! Formats the log records of one export request.

use opentelemetry_proto::tonic::logs::v1::{LogRecord, ScopeLogs, SeverityNumber};

use super::{MAX_VALUE, Style, attributes, counted, escape, now, quote, time_of_day, worker};
use crate::{attribute, instance::Instance};

/// Maximum number of printed records of a request. The default batch size of an SDK is 512.
const MAX_RECORDS: usize = 512;

const MAX_BODY: usize = 2_000;

pub(crate) fn block(instance: &Instance, scopes: &[ScopeLogs], style: Style) -> String {
    let mut records: Vec<_> = scopes
        .iter()
        .flat_map(|scope| {
            let name = scope.scope.as_ref().map_or("", |scope| scope.name.as_str());
            scope.log_records.iter().map(move |record| (name, record))
        })
        .collect();
    let count = records.len();
    if count == 0 {
        return String::new();
    }
    // Requests group records by scope; sort them by time.
    records.sort_by_key(|(_, record)| time(record));
    let mut block = format!(
        "{} {} {} pushed {}\n",
        style.dim(now()),
        style.bold(quote(instance.service(), MAX_VALUE)),
        worker(instance),
        counted(count, "log record"),
    );
    for (scope, record) in records.into_iter().take(MAX_RECORDS) {
        block.push_str(&line(scope, record, style));
    }
    if count > MAX_RECORDS {
        block.push_str(&format!("  … and {} more\n", count - MAX_RECORDS));
    }
    block
}

fn line(scope: &str, record: &LogRecord, style: Style) -> String {
    let body = escape(&attribute::to_text(record.body.as_ref()), MAX_BODY);
    let mut line = format!(
        "  {} {} {} {body}",
        style.dim(time_of_day(time(record).into())),
        severity(record, style),
        style.dim(escape(scope, MAX_VALUE)),
    );
    if !record.event_name.is_empty() {
        line.push_str(&format!(" event={}", escape(&record.event_name, MAX_VALUE)));
    }
    let mut pairs = attribute::sorted(&record.attributes);
    pairs.retain(|(name, _)| !style.is_brief || !attribute::is_repeated(name));
    let pairs = attributes(&pairs);
    if !pairs.is_empty() {
        line.push(' ');
        line.push_str(&pairs);
    }
    let ids = [("trace_id", &record.trace_id), ("span_id", &record.span_id)];
    let shown = if style.is_brief { &ids[..1] } else { &ids };
    for (name, id) in shown.iter().filter(|(_, id)| !id.is_empty()) {
        // A valid id has 16 or 8 bytes. A longer one must not fill the screen.
        let id = &id[..id.len().min(16)];
        line.push_str(&style.dim(format!(" {name}={}", attribute::hex(id))));
    }
    line.push('\n');
    line
}

/// The time of the event, or else the observed time, which is all that the bridge of the `log`
/// crate sets.
fn time(record: &LogRecord) -> u64 {
    match record.time_unix_nano {
        0 => record.observed_time_unix_nano,
        time => time,
    }
}

/// The sender's severity text, or else the name of the severity number.
fn severity(record: &LogRecord, style: Style) -> String {
    let text = match record.severity_text.as_str() {
        "" => record
            .severity_number()
            .as_str_name()
            .trim_start_matches("SEVERITY_NUMBER_"),
        text => text,
    };
    let text = format!("{:<5}", escape(text, 12));
    match record.severity_number {
        number if number >= SeverityNumber::Error as i32 => style.red(text),
        number if number >= SeverityNumber::Warn as i32 => style.yellow(text),
        number if number >= SeverityNumber::Info as i32 => style.green(text),
        _ => style.dim(text),
    }
}

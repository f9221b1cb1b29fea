//! The lines before the samples of a family.

use crate::{
    name::is_metric_name,
    quote::{push_help, push_quoted},
};

/// Appends the lines `# HELP` and `# TYPE` of a family. A name that is not plain stands in quotes, and
/// `help` is escaped.
pub fn push_header(out: &mut String, name: &str, help: &str, kind: &str) {
    let mut escaped = String::with_capacity(help.len());
    push_help(&mut escaped, help);
    push_line(out, "HELP", name, &escaped);
    push_line(out, "TYPE", name, kind);
}

/// Appends one of these lines; `value` has its escapes.
pub(crate) fn push_line(out: &mut String, keyword: &str, name: &str, value: &str) {
    out.extend(["# ", keyword, " "]);
    match is_metric_name(name) {
        true => out.push_str(name),
        false => push_quoted(out, name),
    }
    out.extend([" ", value, "\n"]);
}

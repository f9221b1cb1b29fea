//! The ready line, with which a program reports its address.
//!
//! `metrics-push: ready on http://127.0.0.1:5100, master 4711, workers 4712 4713`, followed by more parts of the
//! form `, key value`. A program of a single process has `process` in place of `master` and `workers`.

use std::collections::BTreeMap;

use crate::Address;

/// A parsed ready line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The name of the program.
    pub program: String,
    /// The address of the program.
    pub address: Address,
    /// The parts after the address, by their first word.
    pub parts: BTreeMap<String, String>,
}

impl Ready {
    /// Parses a line of output. Returns `None` if it is not a ready line.
    pub fn parse(line: &str) -> Option<Self> {
        let (program, rest) = line.split_once(": ready on http://")?;
        let mut parts = rest.split(", ");
        Some(Self {
            program: program.to_owned(),
            address: Address::parse(parts.next()?)?,
            parts: parts
                .filter_map(|part| part.split_once(' '))
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
        })
    }

    /// The serving processes: the workers, or the only process of a program without workers.
    pub fn serving(&self) -> Vec<u32> {
        let pids = self
            .parts
            .get("workers")
            .or_else(|| self.parts.get("process"));
        pids.map(|pids| pids.split(' ').filter_map(|pid| pid.parse().ok()).collect())
            .unwrap_or_default()
    }

    /// The process that supervises the workers, or the only process of a program without workers.
    pub fn master(&self) -> Option<u32> {
        let pid = self
            .parts
            .get("master")
            .or_else(|| self.parts.get("process"));
        pid?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_line_is_read() {
        let ready = Ready::parse(
            "metrics-push: ready on http://127.0.0.1:5100, master 4711, workers 4712 4713, metrics http://[::1]:9",
        )
        .unwrap();
        assert_eq!(ready.program, "metrics-push");
        assert_eq!(
            ready.address,
            Address::Tcp("127.0.0.1:5100".parse().unwrap())
        );
        assert_eq!(ready.master(), Some(4711));
        assert_eq!(ready.serving(), [4712, 4713]);
        assert_eq!(ready.parts["metrics"], "http://[::1]:9");
    }

    #[test]
    fn a_program_of_one_process_is_its_own_master() {
        let ready = Ready::parse("bare: ready on http://[::1]:80, process 12").unwrap();
        assert_eq!((ready.master(), ready.serving()), (Some(12), vec![12]));
    }

    #[test]
    fn a_socket_has_a_path() {
        let ready = Ready::parse("hello: ready on http://unix:/tmp/a b.sock, master 1").unwrap();
        assert_eq!(ready.address, Address::Unix("/tmp/a b.sock".into()));
        assert_eq!(ready.master(), Some(1));
    }

    #[test]
    fn other_lines_are_not_ready_lines() {
        assert_eq!(Ready::parse("hello: listening on http://127.0.0.1:1"), None);
        assert_eq!(Ready::parse("hello: ready on http://nowhere"), None);
    }
}

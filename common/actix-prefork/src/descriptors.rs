//! How many file descriptors a process may have.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What a worker needs besides its connections: sockets, logs, files of the application.
const OTHERS: u64 = 64;

/// Raises the limit as far as the user may. The usual soft limit of 1024 is for programs
/// that call select(2), as the manual of getrlimit(2) says of `RLIMIT_NOFILE`.
pub(crate) fn raise_limit() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        // Where it fails, the limit stays as it is.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// How many connections the limit allows, at least one.
pub(crate) fn max_connections() -> u32 {
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((soft, _)) => u32::try_from(soft.saturating_sub(OTHERS).max(1)).unwrap_or(u32::MAX),
        Err(_) => u32::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_connections_below_the_limit() {
        raise_limit();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(soft, hard);
        assert!(u64::from(max_connections()) < soft);
    }
}

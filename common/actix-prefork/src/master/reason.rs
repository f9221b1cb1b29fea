//! Why workers are started and told to stop.

/// Why a worker was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(usize)]
pub enum SpawnReason {
    /// The server started.
    Boot,
    /// The previous worker failed or was killed.
    Crash,
    /// The previous worker exited with status 0, or got a `SIGTERM` that was not the
    /// master's.
    Exit,
    /// `SIGHUP`: it replaces a worker that runs the old program.
    Reload,
    /// It replaces a worker that reached its request limit.
    Recycle,
    /// It helps an unresponsive worker, and takes its place if that is aborted.
    Hang,
    /// `SIGTTIN` added a worker.
    Scale,
}

impl SpawnReason {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::Boot,
        Self::Crash,
        Self::Exit,
        Self::Reload,
        Self::Recycle,
        Self::Hang,
        Self::Scale,
    ];

    /// The reason as the value of a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Boot => "boot",
            Self::Crash => "crash",
            Self::Exit => "exit",
            Self::Reload => "reload",
            Self::Recycle => "recycle",
            Self::Hang => "hang",
            Self::Scale => "scale",
        }
    }
}

/// Why a worker has to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StopReason {
    /// The whole server stops.
    Server,
    /// A reload has replaced it.
    Reload,
    /// It has reached its request limit, and was replaced.
    Recycle,
    /// It got a `SIGTERM` that was not the master's.
    Exit,
    /// It was unresponsive, and its helper has taken its place.
    Hang,
    /// It was a helper, and the worker that it helped responds again.
    Recovery,
    /// `SIGTTOU` removed its slot.
    Scale,
}

impl StopReason {
    /// The reason as the value of a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Reload => "reload",
            Self::Recycle => "recycle",
            Self::Exit => "exit",
            Self::Hang => "hang",
            Self::Recovery => "recovery",
            Self::Scale => "scale",
        }
    }
}

//! What a connection and the service of its requests know of each other.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Waker},
    time::Duration,
};

use crate::clock::coarse;

/// How many bytes of a body are read before the service takes them.
const BODY_AHEAD: usize = 16 * 1024;

/// How many bytes of further requests are read while one is served.
const REQUESTS_AHEAD: usize = 1024;

/// How many bytes of a head are read before it is looked at whether it is complete.
const HEAD_STEP: usize = 4 * 1024;

/// The state of one connection.
pub(crate) struct Exchange {
    /// The most bytes that the head of a request may have.
    max_header_size: usize,
    /// How many bytes of the head may be read now.
    head: Cell<usize>,
    /// Requests whose response has not ended. HTTP/2 has several at a time.
    in_service: Cell<u32>,
    /// Whether there was a request already.
    has_had_a_request: Cell<bool>,
    /// Whether it speaks HTTP/2, whose frames are no heads and bodies.
    is_multiplexed: Cell<bool>,
    /// Bytes that were read since the service took something.
    ahead: Cell<usize>,
    /// Whether the service reads a body.
    has_body: Cell<bool>,
    /// Whether the service left a part of the last body unread.
    is_body_left: Cell<bool>,
    /// Whether the client was too slow with a body.
    is_body_late: Cell<bool>,
    /// Whether the connection has another protocol by now, like a websocket.
    is_upgraded: Cell<bool>,
    /// When the phase began, on the clock of [`coarse`].
    since: Cell<Duration>,
    /// Whether the connection is to be closed when it is idle.
    closes_idle: Cell<bool>,
    /// Wakes the connection.
    waker: RefCell<Option<Waker>>,
    /// Whether the connection waits for the service.
    wakes: Cell<bool>,
}

/// What the next bytes of the client belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// A request that has not begun.
    Idle,
    /// The head of a request.
    Head,
    /// A body, or a request that has to wait for its turn.
    Service,
    /// A body that nobody wants.
    Discard,
}

impl Exchange {
    pub(crate) fn new(max_header_size: usize) -> Rc<Self> {
        Rc::new(Self {
            max_header_size,
            head: Cell::new(HEAD_STEP.min(max_header_size)),
            in_service: Cell::new(0),
            has_had_a_request: Cell::new(false),
            is_multiplexed: Cell::new(false),
            ahead: Cell::new(0),
            has_body: Cell::new(false),
            is_body_left: Cell::new(false),
            is_body_late: Cell::new(false),
            is_upgraded: Cell::new(false),
            since: Cell::new(coarse()),
            closes_idle: Cell::new(false),
            waker: RefCell::new(None),
            wakes: Cell::new(false),
        })
    }

    pub(crate) fn phase(&self) -> Phase {
        match (
            self.in_service.get(),
            self.is_body_left.get(),
            self.ahead.get(),
        ) {
            (1.., ..) => Phase::Service,
            (0, true, _) => Phase::Discard,
            (0, false, 0) => Phase::Idle,
            (0, false, 1..) => Phase::Head,
        }
    }

    pub(crate) fn has_had_a_request(&self) -> bool {
        self.has_had_a_request.get()
    }

    /// How long the phase has lasted.
    pub(crate) fn age(&self) -> Duration {
        coarse().saturating_sub(self.since.get())
    }

    // The connection's side.

    pub(crate) fn multiplexed(&self) {
        self.is_multiplexed.set(true);
    }

    pub(crate) fn read(&self, bytes: usize) {
        if self.is_multiplexed.get() {
            return;
        }
        if self.phase() == Phase::Idle {
            self.since.set(coarse());
        }
        self.ahead.set(self.ahead.get() + bytes);
    }

    /// How many bytes may be read until the service has taken something.
    pub(crate) fn room(&self) -> usize {
        let most = match self.phase() {
            Phase::Discard => return usize::MAX,
            Phase::Service if self.has_body.get() => BODY_AHEAD,
            Phase::Service => REQUESTS_AHEAD,
            Phase::Idle | Phase::Head => self.head.get(),
        };
        most.saturating_sub(self.ahead.get())
    }

    /// Allows more of a head to be read, and returns `false` where it is too large.
    pub(crate) fn extend_head(&self) -> bool {
        let before = self.head.get();
        let more = before.saturating_add(HEAD_STEP).min(self.max_header_size);
        self.head.set(more);
        more > before
    }

    /// Remembers how to wake the connection; with `at_the_next_step` as soon as the
    /// service takes something or has ended a response.
    pub(crate) fn park(&self, cx: &Context<'_>, at_the_next_step: bool) {
        self.wakes.set(at_the_next_step);
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
    }

    pub(crate) fn closes_idle(&self) -> bool {
        self.closes_idle.get()
    }

    /// Closes the connection as soon as it is idle.
    pub(crate) fn close_idle(&self) {
        self.closes_idle.set(true);
        self.wake();
    }

    // The service's side.

    /// Notes that the service has a request, until the returned value is dropped.
    pub(crate) fn begin(self: &Rc<Self>) -> InService {
        self.in_service.set(self.in_service.get() + 1);
        self.has_had_a_request.set(true);
        self.is_body_left.set(false);
        self.head.set(HEAD_STEP.min(self.max_header_size));
        self.took_something();
        InService(self.clone())
    }

    pub(crate) fn took_something(&self) {
        self.ahead.set(0);
        self.next_step();
    }

    pub(crate) fn body_begins(&self) {
        self.has_body.set(true);
    }

    pub(crate) fn body_ends(&self, is_complete: bool) {
        self.has_body.set(false);
        // HTTP/2 can give up one body and go on with others.
        self.is_body_left
            .set(!is_complete && !self.is_multiplexed.get());
        self.next_step();
    }

    pub(crate) fn has_left_body(&self) -> bool {
        self.is_body_left.get()
    }

    pub(crate) fn body_is_late(&self) {
        self.is_body_late.set(!self.is_multiplexed.get());
    }

    pub(crate) fn is_body_late(&self) -> bool {
        self.is_body_late.get()
    }

    pub(crate) fn upgraded(&self) {
        self.is_upgraded.set(true);
    }

    pub(crate) fn is_upgraded(&self) -> bool {
        self.is_upgraded.get()
    }

    fn next_step(&self) {
        if self.wakes.replace(false) {
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// A request that the service has, until the end of its response.
pub(crate) struct InService(Rc<Exchange>);

impl InService {
    pub(crate) fn exchange(&self) -> &Exchange {
        &self.0
    }
}

impl Drop for InService {
    fn drop(&mut self) {
        let exchange = &self.0;
        exchange.in_service.set(exchange.in_service.get() - 1);
        exchange.since.set(coarse());
        exchange.next_step();
    }
}

//! The route of a request: its pattern, and the names of its spans.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    sync::{Mutex, OnceLock, PoisonError},
};

use actix_web::dev::ServiceRequest;

use super::method::Method;

/// One for each pattern. They live as long as the process: an application has few,
/// whatever clients request, and each request would allocate their texts anew.
pub(super) struct Route {
    pub(super) pattern: &'static str,
    span_names: [OnceLock<Box<str>>; Method::ALL.len()],
}

impl Route {
    fn of(pattern: &str) -> &'static Self {
        static ALL: Mutex<Vec<&Route>> = Mutex::new(Vec::new());
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(route) = all.iter().find(|route| route.pattern == pattern) {
            return route;
        }
        let route = Box::leak(Box::new(Self {
            pattern: pattern.to_owned().leak(),
            span_names: Default::default(),
        }));
        all.push(route);
        route
    }

    pub(super) fn span_name(&'static self, method: Method) -> &'static str {
        self.span_names[method as usize]
            .get_or_init(|| format!("{} {}", method.span_name(), self.pattern).into())
    }
}

/// The routes of an application, as one thread knows them.
#[derive(Default)]
pub(super) struct Routes(RefCell<BTreeMap<&'static str, Known>>);

struct Known {
    route: &'static Route,
    /// Whether the pattern was requested as a path, as those without parameters are:
    /// there the path need not be matched again.
    is_path: bool,
}

impl Routes {
    /// The route that a request matches.
    pub(super) fn of(&self, request: &ServiceRequest) -> Option<&'static Route> {
        let path = request.path();
        if let Some(known) = self.0.borrow().get(path).filter(|known| known.is_path) {
            return Some(known.route);
        }
        let pattern = request.match_pattern()?;
        let route = self.with_pattern(&pattern);
        if pattern == path
            && let Some(known) = self.0.borrow_mut().get_mut(path)
        {
            known.is_path = true;
        }
        Some(route)
    }

    pub(super) fn with_pattern(&self, pattern: &str) -> &'static Route {
        let mut known = self.0.borrow_mut();
        if let Some(known) = known.get(pattern) {
            return known.route;
        }
        let route = Route::of(pattern);
        let is_path = false;
        known.insert(route.pattern, Known { route, is_path });
        route
    }
}

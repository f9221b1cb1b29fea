//! Values by second, of the last two minutes.

use std::collections::VecDeque;

/// How many seconds are kept.
pub(crate) const SECONDS: usize = 120;

/// A value for each of the last seconds.
pub(crate) struct Ring<T> {
    /// The second of the last value, in Unix time.
    last: u64,
    values: VecDeque<T>,
}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self {
            last: 0,
            values: VecDeque::new(),
        }
    }
}

impl<T: Clone + Default> Ring<T> {
    /// The value of a second, unless that is too long ago.
    pub(crate) fn at(&mut self, second: u64) -> Option<&mut T> {
        while self.last < second {
            // Seconds that are out of the window at once need not be filled.
            if self.values.is_empty() || second - self.last >= SECONDS as u64 {
                self.values.clear();
                self.last = second;
            } else {
                self.last += 1;
            }
            self.values.push_back(T::default());
            if self.values.len() > SECONDS {
                self.values.pop_front();
            }
        }
        let back = usize::try_from(self.last - second).ok()?;
        while self.values.len() <= back && back < SECONDS {
            self.values.push_front(T::default());
        }
        let index = self.values.len().checked_sub(back + 1)?;
        self.values.get_mut(index)
    }

    /// Calls `add` for each second after `since` up to `now` with its share of the time.
    pub(crate) fn spread(&mut self, since: f64, now: f64, add: impl Fn(&mut T, f64)) {
        let last = now as u64;
        let first = (since as u64 + 1).min(last);
        let first = first.max(last.saturating_sub(SECONDS as u64 - 1));
        let share = 1.0 / (last - first + 1) as f64;
        for second in first..=last {
            if let Some(value) = self.at(second) {
                add(value, share);
            }
        }
    }

    /// The values of the seconds up to `end`, the oldest first.
    pub(crate) fn window(&self, end: u64) -> Vec<T> {
        let seconds = (end + 1).saturating_sub(SECONDS as u64)..=end;
        let value = |second: u64| {
            let back = usize::try_from(self.last.checked_sub(second)?).ok()?;
            let index = self.values.len().checked_sub(back + 1)?;
            self.values.get(index).cloned()
        };
        seconds
            .map(|second| value(second).unwrap_or_default())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(ring: &mut Ring<u32>, second: u64) {
        if let Some(value) = ring.at(second) {
            *value += 1;
        }
    }

    #[test]
    fn values_are_those_of_their_second_and_old_ones_fall_out() {
        let mut ring = Ring::<u32>::default();
        for second in [1_000, 1_003, 1_003, 1_001, 998, 1_000 - SECONDS as u64] {
            add(&mut ring, second);
        }
        let window = ring.window(1_004);
        assert_eq!(window.len(), SECONDS);
        assert_eq!(window[SECONDS - 7..], [1, 0, 1, 1, 0, 2, 0]);
        assert_eq!(window.iter().sum::<u32>(), 5);
        add(&mut ring, 5_000);
        assert_eq!(ring.window(5_000).iter().sum::<u32>(), 1);
    }
}

//! The label values of a series, as a lookup compares them.

/// Each value of a series and a byte that no UTF-8 text has.
///
/// Where there are many series, a lookup takes as long as memory does. So the values are in the node, where its other
/// fields were just read, if they are as short as they mostly are.
pub(super) enum Values {
    Short { length: u8, bytes: [u8; SHORT] },
    Long(Box<[u8]>),
}

/// With the length and the variant it makes 64 bytes: a cache line, as a rule.
const SHORT: usize = 62;

/// Ends a label value in [`Values`]; it is in no UTF-8 text.
const END: u8 = 0xff;

impl Values {
    pub(super) fn new<V: AsRef<str>>(values: &[V]) -> Values {
        let mut joined = Vec::new();
        for value in values {
            joined.extend_from_slice(value.as_ref().as_bytes());
            joined.push(END);
        }
        let mut bytes = [0; SHORT];
        match bytes.get_mut(..joined.len()) {
            Some(start) => {
                start.copy_from_slice(&joined);
                let length = joined.len() as u8;
                Values::Short { length, bytes }
            }
            None => Values::Long(joined.into()),
        }
    }

    /// Whether these are the values.
    pub(super) fn are<V: AsRef<str>>(&self, values: &[V]) -> bool {
        let mut rest = self.as_bytes();
        for value in values {
            let value = value.as_ref().as_bytes();
            match rest.split_at_checked(value.len()) {
                Some((own, [END, more @ ..])) if own == value => rest = more,
                _ => return false,
            }
        }
        rest.is_empty()
    }

    fn as_bytes(&self) -> &[u8] {
        match self {
            Values::Short { length, bytes } => &bytes[..usize::from(*length)],
            Values::Long(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_told_apart_whatever_their_length() {
        for length in [0, 1, SHORT - 3, SHORT - 2, SHORT - 1, SHORT, 1000] {
            let long = "x".repeat(length);
            let values = Values::new(&[&*long, ""]);
            assert!(values.are(&[&*long, ""]), "{length}");
            assert!(!values.are(&[&*long]), "{length}");
            assert!(!values.are(&[&*long, "", ""]), "{length}");
            assert!(!values.are(&["", &*long]) || length == 0, "{length}");
            assert!(!values.are(&[&*(long + "x"), ""]), "{length}");
        }
    }
}

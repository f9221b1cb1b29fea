//! Gives each name of an exposition one that no other has.

use std::{borrow::Cow, collections::HashSet};

use crate::{
    family::Family,
    format::Escaping,
    name::{escape, is_label_name, is_metric_name},
};

/// How the families of one exposition are called in it.
///
/// Two names can become one when they are escaped. The name that needs no escape keeps it, then the
/// first one in the text. Another one is written with [`Escaping::Values`], which tells names apart.
pub(crate) struct Names {
    bases: Vec<String>,
    taken: HashSet<String>,
}

impl Names {
    pub(crate) fn new(families: &[Family<'_>], escaping: Escaping) -> Names {
        let mut names = Names {
            bases: vec![String::new(); families.len()],
            taken: HashSet::new(),
        };
        for is_plain in [true, false] {
            for (index, family) in families.iter().enumerate() {
                if !family.name.is_empty() && is_metric_name(&family.name) == is_plain {
                    let claims = |base: &str| {
                        let suffixes = family.suffixes().iter();
                        suffixes.map(|suffix| format!("{base}{suffix}")).collect()
                    };
                    let is_free = |base: &str| {
                        let claims: Vec<String> = claims(base);
                        !claims.iter().any(|name| names.taken.contains(name))
                    };
                    let base = free_name(family.base(), escaping, true, is_free);
                    names.taken.extend(claims(&base));
                    names.bases[index] = base;
                }
            }
        }
        names
    }

    /// What stands for the base of the name of a family.
    pub(crate) fn base(&self, index: usize) -> &str {
        &self.bases[index]
    }

    /// Whether a family or a sample has this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.taken.contains(name)
    }
}

/// The names of the labels of one sample, in their order.
pub(crate) fn label_names(labels: &[(Cow<'_, str>, &str)], escaping: Escaping) -> Vec<String> {
    let mut names = vec![String::new(); labels.len()];
    for is_plain in [true, false] {
        for (index, (label, _)) in labels.iter().enumerate() {
            if is_label_name(label) == is_plain {
                let is_free = |name: &str| !names.iter().any(|taken| taken == name);
                names[index] = free_name(label, escaping, false, is_free);
            }
        }
    }
    names
}

fn free_name(
    name: &str,
    escaping: Escaping,
    colons: bool,
    is_free: impl Fn(&str) -> bool,
) -> String {
    let mut escaped = escape(name, escaping, colons);
    if !is_free(&escaped) && escaping != Escaping::AllowUtf8 {
        escaped = escape(name, Escaping::Values, colons);
    }
    // Only a name that looks like the escape of another one gets here.
    while !is_free(&escaped) {
        escaped.push('_');
    }
    escaped
}

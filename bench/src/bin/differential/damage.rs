//! Damages files.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use bench::Random;

/// A kind of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// The file is truncated.
    Truncated,
    /// Consecutive bytes are zero, as after a crash of the machine.
    Zeroed,
    /// Single bits are flipped.
    Flipped,
    /// The file is too long, or a length field has a random value.
    Nonsense,
}

/// Damages a file at a random position of its used part.
pub(crate) fn damage(path: &Path, random: &mut Random) -> Result<Damage> {
    let mut bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let used = bytes
        .first_chunk()
        .map_or(0, |used| i32::from_ne_bytes(*used));
    let used = usize::try_from(used).unwrap_or(0).clamp(8, bytes.len());
    let at = random.below(used);
    let kinds = [
        Damage::Truncated,
        Damage::Zeroed,
        Damage::Flipped,
        Damage::Nonsense,
    ];
    let damage = *random.one_of(&kinds);
    match damage {
        Damage::Truncated => bytes.truncate(at),
        Damage::Zeroed => {
            let end = (at + 1 + random.below(64)).min(used);
            bytes[at..end].fill(0);
        }
        Damage::Flipped => {
            for _ in 0..1 + random.below(4) {
                bytes[random.below(used)] ^= 1 << random.below(8);
            }
        }
        Damage::Nonsense => {
            let at = (at & !7).min(used - 4);
            let number = *random.one_of(&[0, 1, 8, -1, i32::MAX, i32::MIN, 65_536, 1_000_000]);
            bytes[at..at + 4].copy_from_slice(&i32::to_ne_bytes(number));
        }
    }
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(damage)
}

//! The instructions that kernels may use: those of the processor, or fewer of them.
//!
//! The environment variable `NIAH_CPU` names a set, of those of [`Set`], that no kernel of this crate goes
//! beyond, for tests and measurements. It never adds anything: what the processor lacks stays unused. What it
//! does not reach are crates that ask the processor themselves: `gemm`, which multiplies in training and
//! where attention is not by blocks, candle's own loops, and `half`, which rounds to f16.

use std::sync::OnceLock;

use crate::error::{Error, Result};

/// The variable.
const VARIABLE: &str = "NIAH_CPU";

/// Sets of instructions of x86-64; each has all of those before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Set {
    /// `scalar`: what every processor of the architecture has.
    Scalar,
    /// `avx2`: vectors of 256 bits.
    Avx2,
    /// `avx512`: AVX-512F.
    Avx512,
    /// `avx512-bf16`: and its products of bf16.
    Avx512Bf16,
    /// `amx`: and tile registers with products of bf16.
    Amx,
}

/// Every set by its name, the smallest first.
const SETS: [(&str, Set); 5] = [
    ("scalar", Set::Scalar),
    ("avx2", Set::Avx2),
    ("avx512", Set::Avx512),
    ("avx512-bf16", Set::Avx512Bf16),
    ("amx", Set::Amx),
];

/// Whether kernels may use the instructions of `set`: the processor has them, and `NIAH_CPU` does not name a
/// smaller set.
pub(crate) fn has(set: Set) -> bool {
    set <= limit() && detected(set)
}

/// Whether the processor has the instructions of `set`, and the system lets this process use them.
#[cfg(target_arch = "x86_64")]
fn detected(set: Set) -> bool {
    use std::arch::is_x86_feature_detected;
    match set {
        Set::Scalar => true,
        Set::Avx2 => is_x86_feature_detected!("avx2"),
        Set::Avx512 => is_x86_feature_detected!("avx512f"),
        Set::Avx512Bf16 => is_x86_feature_detected!("avx512bf16") && is_x86_feature_detected!("avx512f"),
        Set::Amx => super::bf16::tiles_available(),
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detected(set: Set) -> bool {
    set == Set::Scalar
}

/// The largest set of the processor.
fn best() -> Set {
    largest(Set::Amx).1
}

/// The largest set that the processor has and that is not above `limit`.
fn largest(limit: Set) -> (&'static str, Set) {
    SETS.into_iter().rfind(|&(_, set)| set <= limit && detected(set)).unwrap_or(SETS[0])
}

/// The largest set that kernels may use by the variable; a value that names none limits nothing and is
/// refused by [`check`].
fn limit() -> Set {
    static LIMIT: OnceLock<Set> = OnceLock::new();
    *LIMIT.get_or_init(|| asked().and_then(|name| named(&name)).unwrap_or(Set::Amx))
}

fn asked() -> Option<String> {
    std::env::var_os(VARIABLE).map(|value| value.to_string_lossy().into_owned())
}

fn named(name: &str) -> Option<Set> {
    SETS.into_iter().find(|(known, _)| *known == name).map(|(_, set)| set)
}

/// The name of the largest set that kernels use, and whether `NIAH_CPU` says so.
pub(crate) fn used() -> (&'static str, bool) {
    (largest(limit()).0, asked().is_some())
}

/// Refuses a set that is unknown, or that the processor has not.
///
/// # Errors
/// [`Error::InvalidValue`] with the sets that there are.
pub(crate) fn check() -> Result<()> {
    asked().map_or(Ok(()), |name| check_named(&name, best()))
}

fn check_named(name: &str, best: Set) -> Result<()> {
    let usable: Vec<&str> = SETS.into_iter().filter(|(_, set)| *set <= best).map(|(name, _)| name).collect();
    let usable = usable.join(", ");
    let expected = match named(name) {
        Some(set) if set <= best => return Ok(()),
        Some(_) => format!("a set of instructions that this processor has: {usable}"),
        None => format!("a set of instructions: {usable}"),
    };
    Err(Error::invalid(VARIABLE, name, expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_in_their_order_and_every_processor_has_the_first() {
        assert!(SETS.is_sorted_by(|a, b| a.1 < b.1));
        assert!(detected(Set::Scalar) && has(Set::Scalar));
        let (name, forced) = used();
        assert!(forced || named(name) == Some(best()), "{name}");
    }

    #[test]
    fn a_set_that_the_processor_lacks_and_one_that_nobody_knows_are_refused() {
        for (name, best, words) in [
            ("avx512", Set::Avx2, "this processor has: scalar, avx2"),
            ("sse9", Set::Avx512, "scalar, avx2, avx512"),
            ("", Set::Scalar, "scalar"),
        ] {
            let said = check_named(name, best).unwrap_err().to_string();
            assert!(said.contains(words) && said.contains(VARIABLE), "{said}");
        }
        assert!(check_named("avx2", Set::Avx2).is_ok() && check_named("scalar", Set::Amx).is_ok());
    }

    /// The tests of kernels hold each against its plain twin; here they run again, in a process for each set
    /// that the processor has.
    #[test]
    fn kernels_pass_their_tests_on_every_set_that_the_processor_has() {
        // In such a process there is nothing more to start.
        if asked().is_some() {
            return;
        }
        for (name, _) in SETS.into_iter().filter(|(_, set)| *set <= best()) {
            let run = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["kernel::", "attention::pages", "attention::row_pages"])
                .env(VARIABLE, name)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&run.stdout).into_owned();
            assert!(run.status.success(), "{name}: {said}");
            assert!(said.contains("cpu::tests::the_set_that_is_named_is_the_one_used ... ok"), "{said}");
        }
    }

    #[test]
    fn the_set_that_is_named_is_the_one_used() {
        let Some(name) = asked() else { return };
        assert_eq!(used(), (&*name, true));
        for (other, set) in SETS {
            assert_eq!(has(set), set <= named(&name).unwrap(), "{other} under {name}");
        }
    }
}

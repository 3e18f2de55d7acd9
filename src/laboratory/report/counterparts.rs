//! Configurations that were trained otherwise than the main ones, and as one another: the same norm, or the
//! same further steps.

use super::{Configuration, Experiment};

/// The part of other norms on queries and keys.
pub(super) const NORMS: &str = "norms";
/// The part of longer training.
pub(super) const LONGER: &str = "longer";

/// Pairs of one of SSMax and its counterpart, first of plain Softmax and then of `softmax-scale`: with each
/// norm on queries and keys ([`NORMS`]), or trained longer ([`LONGER`]). None where the part was not trained;
/// a pair of main configurations is left out, since it has rows of its own.
pub(super) fn of<'a>(experiment: &'a Experiment, part: &str) -> Vec<(&'a Configuration, &'a Configuration)> {
    let all = &experiment.configurations;
    let main = &all[..experiment.main.min(all.len())];
    let [softmax, ssmax, rest @ ..] = main else { return Vec::new() };
    let bases: Vec<&Configuration> = std::iter::once(softmax).chain(rest.first()).collect();
    let named = |name: &str| all.iter().find(|other| other.name == name);
    let mut pairs = Vec::new();
    match part {
        NORMS => {
            let variant = variant(ssmax);
            let others = all.iter().filter(|other| other.part == part || other.part.is_empty());
            for other in others.filter(|other| self::variant(other) == variant) {
                let norm = &other.name[variant.len()..];
                for base in &bases {
                    let counterpart = named(&format!("{}{norm}", self::variant(base)));
                    let further = |base: &&Configuration| [base.part, other.part].contains(&part);
                    pairs.extend(counterpart.filter(further).map(|base| (base, other)));
                }
            }
        }
        _ => {
            for other in all.iter().filter(|other| other.part == part) {
                let Some(further) = other.name.strip_prefix(&ssmax.name) else { continue };
                for base in &bases {
                    let counterpart = named(&format!("{}{further}", base.name));
                    pairs.extend(counterpart.map(|base| (base, other)));
                }
            }
        }
    }
    pairs
}

/// The variant that the name of a configuration begins with.
fn variant(configuration: &Configuration) -> &str {
    configuration.name.split(',').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn experiment(configurations: &[(&str, &'static str)]) -> Experiment {
        let configurations = configurations.iter().map(|&(name, part)| Configuration {
            name: name.to_string(),
            part,
            claim: None,
            runs: Vec::new(),
        });
        Experiment { main: 3, configurations: configurations.collect(), ..Experiment::default() }
    }

    #[test]
    fn pairs_differ_in_the_variant_alone_and_main_ones_are_left_out() {
        let experiment = experiment(&[
            ("softmax, gain", ""),
            ("ssmax, norm without gain", ""),
            ("softmax-scale, norm without gain", ""),
            ("ssmax, gain", "norms"),
            ("softmax, norm without gain", "norms"),
            ("ssmax, norm without gain, 2 x steps", "longer"),
            ("softmax, gain, 2 x steps", "longer"),
        ]);
        let names = |part| {
            let pairs = of(&experiment, part).into_iter();
            pairs.map(|(base, other)| format!("{} | {}", base.name, other.name)).collect::<Vec<_>>()
        };
        let norms = ["softmax, norm without gain | ssmax, norm without gain", "softmax, gain | ssmax, gain"];
        assert_eq!(names(NORMS), norms);
        assert_eq!(names(LONGER), ["softmax, gain, 2 x steps | ssmax, norm without gain, 2 x steps"]);
        assert!(names("rotary").is_empty());
    }
}

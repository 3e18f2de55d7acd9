//! What is taken from a model to see what it is good for: the outputs of some heads, and attention to some
//! spans of the prompt.
//!
//! Prompts are the same with and without, so that a masked run and the same run unmasked are compared pair by
//! pair.

use std::collections::BTreeSet;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::attention::Blocked;
use crate::error::{Error, Result};
use crate::prompt::Prompt;
use crate::registry::Entry;
use crate::rng::Rng;
use crate::span::SpanKind;
use crate::spec::{DecoderSpec, HeadPlace, LayerRanges};

use super::model::Facts;

/// What is masked in a run; nothing by default.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Masking {
    /// Heads whose output is taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heads: Option<MaskedHeads>,
    /// Spans that no row behind them attends to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spans: Option<MaskedSpans>,
}

/// Heads whose output is taken away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MaskedHeads {
    /// How they are chosen: `top:K`, `random:K`, `random:K:DRAW`, or `LAYER.HEAD` with commas between
    /// several.
    pub chosen: String,
    /// What stands in the place of their output.
    pub by: MaskBy,
    /// The heads, which a plan settles.
    #[serde(default)]
    pub places: Vec<HeadPlace>,
    /// The best heads first, for choices that go by it.
    #[serde(skip)]
    pub ranking: Vec<HeadPlace>,
}

/// What stands in the place of a masked head's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaskBy {
    /// Zeros.
    #[default]
    Zero,
    /// Its mean over the tokens of the run's calibration prompts.
    Mean,
}

/// What can stand in the place of a masked head's output, by name.
pub const MASKS_BY: &[Entry<MaskBy>] = &[
    Entry { name: "zero", about: "zeros: the head adds nothing", value: MaskBy::Zero },
    Entry {
        name: "mean",
        about: "its mean output over the tokens of the first trials at the shortest length, four at most",
        value: MaskBy::Mean,
    },
];

/// Trials whose prompts a mean is taken of, at most.
pub(super) const CALIBRATION_TRIALS: usize = 4;

/// Spans that no row behind them attends to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MaskedSpans {
    /// Their kinds.
    pub kinds: Vec<SpanKind>,
    /// The layers that do not attend to them; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<LayerRanges>,
    /// Those of these layers that have a state, which nothing can be kept from; a plan settles them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<usize>,
}

/// How masked heads are chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Choice {
    /// The best of a ranking.
    Top(usize),
    /// So many of all heads but the best so many, as the draw has it.
    Random { count: usize, draw: u64 },
    /// These.
    These(Vec<HeadPlace>),
}

impl FromStr for Choice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            let expected = "top:K, random:K, random:K:DRAW, or LAYER.HEAD with commas between several, such as \
                            3.1,4.0";
            Error::invalid("mask heads", format!("{text:?}"), expected)
        };
        let count = |text: &str| text.parse::<usize>().ok().filter(|count| *count > 0).ok_or_else(wrong);
        match text.split_once(':') {
            Some(("top", count_of)) => Ok(Self::Top(count(count_of)?)),
            Some(("random", rest)) => {
                let (count_of, draw) = rest.split_once(':').unwrap_or((rest, "0"));
                Ok(Self::Random { count: count(count_of)?, draw: draw.parse().map_err(|_| wrong())? })
            }
            Some(_) => Err(wrong()),
            None => {
                let places = text.split(',').map(|place| place.parse().map_err(|_| wrong()));
                Ok(Self::These(places.collect::<Result<_>>()?))
            }
        }
    }
}

impl MaskedHeads {
    /// Whether heads are chosen by words that are known, or named.
    #[must_use]
    pub fn is_a_choice(&self) -> bool {
        self.chosen.parse::<Choice>().is_ok()
    }

    /// The same with its heads settled, for a run of this `seed`.
    fn settled(self, spec: &DecoderSpec, seed: u64) -> Result<Self> {
        let mut places = match self.places.is_empty() {
            true => self.choose(spec, seed)?,
            false => self.places,
        };
        places.sort_unstable();
        places.dedup();
        places.iter().try_for_each(|place| spec.check_head("mask heads", *place))?;
        Ok(Self { places, ranking: Vec::new(), ..self })
    }

    fn choose(&self, spec: &DecoderSpec, seed: u64) -> Result<Vec<HeadPlace>> {
        let wrong = |expected: String| Err(Error::invalid("mask heads", &self.chosen, expected));
        let (choice, ranked) = (self.chosen.parse()?, self.ranking.len());
        match choice {
            Choice::These(places) => Ok(places),
            Choice::Top(_) if ranked == 0 => wrong(
                "a ranking of heads for it, by `mask ranking`: a file, or the directory of a run".into(),
            ),
            Choice::Top(count) if count > ranked => {
                wrong(format!("at most the {ranked} heads of the ranking"))
            }
            Choice::Top(count) => Ok(self.ranking[..count].to_vec()),
            Choice::Random { count, draw } => {
                let top = &self.ranking[..count.min(ranked)];
                let mut others: Vec<HeadPlace> = spec.head_places().collect();
                // All heads are shuffled, so that draws of several counts have as much in common as they can.
                Rng::for_purpose(seed, &["masked heads", &draw.to_string()]).shuffle(&mut others);
                others.retain(|place| !top.contains(place));
                if count > others.len() {
                    return wrong(format!(
                        "at most {} heads: no more are left beside the best",
                        others.len()
                    ));
                }
                others.truncate(count);
                Ok(others)
            }
        }
    }

    fn words(&self) -> String {
        const NAMED: usize = 8;
        let chosen = match self.chosen.parse() {
            Ok(Choice::These(_)) if self.places.len() > NAMED => String::new(),
            _ => format!(" ({})", self.chosen),
        };
        let (heads, plural) = (self.places.len(), if self.places.len() == 1 { "head" } else { "heads" });
        let by = if self.by == MaskBy::Mean { " by their mean" } else { "" };
        format!("{heads} {plural} masked{by}{chosen}")
    }
}

impl MaskedSpans {
    fn settled(self, spec: &DecoderSpec) -> Result<Self> {
        let is_meant = |layer: usize| self.layers.as_ref().is_none_or(|layers| layers.contains(layer));
        let last = spec.num_hidden_layers.saturating_sub(1);
        if let Some(layers) = &self.layers
            && layers.ranges().iter().any(|range| *range.end() > last)
        {
            return Err(Error::invalid("mask layers", layers, format!("layers from 0 to {last}")));
        }
        if !spec.attention_layers().any(is_meant) {
            let expected = "layers that attend: where there is a state alone, nothing can be kept from it";
            let words = self.layers.as_ref().map_or("all layers".to_string(), ToString::to_string);
            return Err(Error::invalid("mask layers", words, expected));
        }
        let layers = spec.layers.iter().enumerate();
        let states = layers.filter(|(index, layer)| is_meant(*index) && layer.mixer.recurrent().is_some());
        Ok(Self { states: states.map(|(index, _)| index).collect(), ..self })
    }

    /// The keys of a prompt that are kept from the rows behind them. A span that is not in the text has none.
    #[must_use]
    pub fn of(&self, prompt: &Prompt) -> Blocked {
        let spans = prompt.spans.iter().filter(|span| self.kinds.contains(&span.kind) && !span.absent);
        let layers = self.layers.as_ref().map(|layers| layers.ranges().to_vec());
        Blocked::new(spans.map(|span| span.tokens.clone()).collect(), layers)
    }

    /// Refuses a kind that is none of those `present` in the prompts.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] with those that are.
    pub(super) fn check_present(&self, present: &BTreeSet<SpanKind>) -> Result<()> {
        match self.kinds.iter().find(|kind| !present.contains(kind)) {
            None => Ok(()),
            Some(kind) => {
                let known: Vec<String> = present.iter().map(ToString::to_string).collect();
                let expected = match known.is_empty() {
                    true => "no such setting: the prompts of this task have no spans".to_string(),
                    false => {
                        format!("a kind of span that the prompts of this task have: {}", known.join(", "))
                    }
                };
                Err(Error::invalid("mask span", kind, expected))
            }
        }
    }

    fn kinds(&self) -> String {
        self.kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }

    fn words(&self) -> String {
        let layers = self.layers.as_ref().map(|layers| format!(" at layers {layers}"));
        format!("attention to {} blocked{}", self.kinds(), layers.unwrap_or_default())
    }

    /// What cannot be kept from layers with a state.
    fn note(&self) -> Option<String> {
        let states: Vec<String> = self.states.iter().map(ToString::to_string).collect();
        let (layers, have) = if states.len() == 1 { ("layer", "has") } else { ("layers", "have") };
        (!states.is_empty()).then(|| {
            format!(
                "attention to {} is blocked, but {layers} {} {have} a state, which nothing can be kept from",
                self.kinds(),
                states.join(", ")
            )
        })
    }
}

impl Masking {
    /// Whether nothing is masked.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.heads.is_none() && self.spans.is_none()
    }

    /// Checks what needs no decoder.
    pub(super) fn check(&self) -> Result<()> {
        let unsettled = self.heads.as_ref().filter(|heads| heads.places.is_empty());
        unsettled.map_or(Ok(()), |heads| heads.chosen.parse::<Choice>().map(drop))
    }

    /// The same with heads and layers settled, for a run of this `seed` on such a decoder.
    pub(super) fn settled(self, spec: &DecoderSpec, seed: u64) -> Result<Self> {
        if spec.extras.black_box.is_some() && !self.is_nothing() {
            let setting = if self.heads.is_some() { "mask heads" } else { "mask span" };
            let expected =
                "no such flag: another engine computes this model, and its attention is out of reach";
            return Err(Error::invalid(setting, self.found(), expected));
        }
        Ok(Self {
            heads: self.heads.map(|heads| heads.settled(spec, seed)).transpose()?,
            spans: self.spans.map(|spans| spans.settled(spec)).transpose()?,
        })
    }

    /// The keys of a prompt that are kept from the rows behind them.
    #[must_use]
    pub(super) fn blocked(&self, prompt: &Prompt) -> Blocked {
        self.spans.as_ref().map(|spans| spans.of(prompt)).unwrap_or_default()
    }

    /// What results depend on; nothing where nothing is masked.
    pub(super) fn decisions(&self, calibration: impl FnOnce() -> String) -> Facts {
        let mut facts = Facts::new();
        let mut put = |key: &str, value: Value| drop(facts.insert(key.to_string(), value));
        if let Some(heads) = &self.heads {
            put("masked_heads", json!(heads.places));
            if heads.by == MaskBy::Mean {
                put("masked_by", json!(heads.by));
                put("mask_calibration", json!(calibration()));
            }
        }
        if let Some(spans) = &self.spans {
            put("masked_spans", json!(spans.kinds));
            if let Some(layers) = &spans.layers {
                put("masked_layers", json!(layers));
            }
        }
        facts
    }

    /// What is masked, for titles, each behind a comma; empty where nothing is.
    #[must_use]
    pub fn words(&self) -> String {
        let heads = self.heads.as_ref().map(MaskedHeads::words);
        let spans = self.spans.as_ref().map(MaskedSpans::words);
        [heads, spans].into_iter().flatten().map(|words| format!(", {words}")).collect()
    }

    /// What was asked for, in the words of the first of both.
    pub(super) fn found(&self) -> String {
        let heads = self.heads.as_ref().map(|heads| heads.chosen.clone());
        heads.or(self.spans.as_ref().map(MaskedSpans::kinds)).unwrap_or_default()
    }

    /// What a reader of the report should know.
    #[must_use]
    pub fn note(&self) -> Option<String> {
        self.spans.as_ref().and_then(MaskedSpans::note)
    }

    /// What a directory's name says of it, each part behind a dash.
    #[must_use]
    pub fn file_name(&self) -> String {
        let heads = self.heads.as_ref().map(|heads| {
            let chosen = match heads.chosen.parse() {
                Ok(Choice::These(_)) => format!("{}-heads", heads.places.len()),
                _ => heads.chosen.replace(':', "-"),
            };
            let by = if heads.by == MaskBy::Mean { "-mean" } else { "" };
            format!("-masked-{chosen}{by}")
        });
        let spans = self.spans.as_ref().map(|spans| {
            let layers =
                spans.layers.as_ref().map(|layers| format!("-at-{}", layers.to_string().replace(',', "-")));
            format!("-blocked-{}{}", spans.kinds().replace(", ", "-"), layers.unwrap_or_default())
        });
        [heads, spans].into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(texts: &[&str]) -> Vec<HeadPlace> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn choices_are_read_and_anything_else_is_refused() {
        for (text, expected) in [
            ("top:5", Choice::Top(5)),
            ("random:3", Choice::Random { count: 3, draw: 0 }),
            ("random:3:7", Choice::Random { count: 3, draw: 7 }),
            ("3.1,4.0", Choice::These(places(&["3.1", "4.0"]))),
        ] {
            assert_eq!(text.parse::<Choice>().unwrap(), expected);
        }
        for text in
            ["", "top", "top:", "top:0", "random:-1", "random:2:x", "best:3", "3.1,", "3-1", "heads.json"]
        {
            let said = text.parse::<Choice>().unwrap_err().to_string();
            assert!(said.contains("mask heads") && said.contains("top:K"), "{said}");
        }
    }

    #[test]
    fn nothing_is_stored_and_nothing_is_said_where_nothing_is_masked() {
        let nothing = Masking::default();
        assert_eq!(
            (nothing.words(), nothing.file_name(), nothing.note()),
            (String::new(), String::new(), None)
        );
        assert!(nothing.decisions(|| unreachable!()).is_empty());
        assert_eq!(serde_json::to_string(&nothing).unwrap(), "{}");
    }

    #[test]
    fn what_is_masked_is_said_in_titles_and_names_of_directories() {
        let heads = MaskedHeads {
            chosen: "top:2".to_string(),
            by: MaskBy::Mean,
            places: places(&["3.1", "4.0"]),
            ranking: Vec::new(),
        };
        let spans = MaskedSpans {
            kinds: vec![SpanKind::Target, SpanKind::Hop(2)],
            layers: Some("3-7".parse().unwrap()),
            states: vec![4, 5],
        };
        let masking = Masking { heads: Some(heads), spans: Some(spans) };
        assert_eq!(
            masking.words(),
            ", 2 heads masked by their mean (top:2), attention to target, hop-2 blocked at layers 3-7"
        );
        assert_eq!(masking.file_name(), "-masked-top-2-mean-blocked-target-hop-2-at-3-7");
        assert_eq!(
            masking.note().unwrap(),
            "attention to target, hop-2 is blocked, but layers 4, 5 have a state, which nothing can be kept from"
        );
        let stored = serde_json::to_string(&masking).unwrap();
        assert_eq!(serde_json::from_str::<Masking>(&stored).unwrap(), masking);
        assert!(
            stored.contains(r#""places":["3.1","4.0"]"#) && stored.contains(r#""layers":"3-7""#),
            "{stored}"
        );
    }
}

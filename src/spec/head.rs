//! Heads and layers as they are named: `LAYER.HEAD`, and layers as ranges, all from 0.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::DecoderSpec;
use crate::error::{Error, Result};

/// A query head, or a tile, by its place in a decoder: `3.1` is head 1 of layer 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HeadPlace {
    /// Layer, from 0.
    pub layer: usize,
    /// Head, from 0.
    pub head: usize,
}

impl fmt::Display for HeadPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}", self.layer, self.head))
    }
}

impl FromStr for HeadPlace {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = |text: &str| text.trim().parse().ok();
        let place = text.split_once('.').and_then(|(layer, head)| number(layer).zip(number(head)));
        place
            .map(|(layer, head)| Self { layer, head })
            .ok_or_else(|| Error::invalid("head", format!("{text:?}"), "LAYER.HEAD, such as 12.3"))
    }
}

impl TryFrom<String> for HeadPlace {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<HeadPlace> for String {
    fn from(place: HeadPlace) -> Self {
        place.to_string()
    }
}

/// Some layers of a decoder: `3-7,9`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LayerRanges(Vec<RangeInclusive<usize>>);

impl LayerRanges {
    /// The ranges, as they were named.
    #[must_use]
    pub fn ranges(&self) -> &[RangeInclusive<usize>] {
        &self.0
    }

    /// Whether a layer is one of them.
    #[must_use]
    pub fn contains(&self, layer: usize) -> bool {
        self.0.iter().any(|layers| layers.contains(&layer))
    }
}

impl fmt::Display for LayerRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let range = |layers: &RangeInclusive<usize>| match (layers.start(), layers.end()) {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}-{last}"),
        };
        f.pad(&self.0.iter().map(range).collect::<Vec<_>>().join(","))
    }
}

impl FromStr for LayerRanges {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = |text: &str| text.trim().parse::<usize>().ok();
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = number(first).zip(number(last))?;
            (first <= last).then_some(first..=last)
        };
        let ranges = text.split(',').map(range).collect::<Option<Vec<_>>>();
        ranges.map(Self).ok_or_else(|| {
            Error::invalid("layers", format!("{text:?}"), "layers from 0, such as 3, or 3-7, or 0-3,9")
        })
    }
}

impl TryFrom<String> for LayerRanges {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<LayerRanges> for String {
    fn from(layers: LayerRanges) -> Self {
        layers.to_string()
    }
}

impl DecoderSpec {
    /// The heads of every layer that attends, in their order.
    pub fn head_places(&self) -> impl Iterator<Item = HeadPlace> {
        let heads = self.num_attention_heads;
        self.attention_layers().flat_map(move |layer| (0..heads).map(move |head| HeadPlace { layer, head }))
    }

    /// Why there are no rows of attention, where there are none.
    #[must_use]
    pub fn without_rows(&self) -> Option<String> {
        match self.extras.black_box {
            Some(unseen) => Some(format!("candle computes {} as a black box", unseen.name())),
            None if self.attention_layers().next().is_some() => None,
            None => Some("no layer of this checkpoint attends".to_string()),
        }
    }

    /// Refuses a decoder that has no rows of attention to look at.
    ///
    /// # Errors
    /// [`Error::Message`] that says why there are none.
    pub fn check_attends(&self) -> Result<()> {
        let Some(why) = self.without_rows() else { return Ok(()) };
        Err(Error::Message(format!(
            "there is no attention to show: {why}; its answers and its loss can be measured, with niah run and \
             niah loss"
        )))
    }

    /// Refuses a head that the decoder does not have; `setting` is what named it.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] with the heads that there are.
    pub fn check_head(&self, setting: &str, place: HeadPlace) -> Result<()> {
        let (layers, heads) = (self.num_hidden_layers, self.num_attention_heads);
        let wrong = |expected: String| Err(Error::invalid(setting, place, expected));
        if place.layer >= layers || place.head >= heads {
            let last = HeadPlace { layer: layers.saturating_sub(1), head: heads.saturating_sub(1) };
            return wrong(format!("a head from 0.0 to {last}"));
        }
        let attending: Vec<usize> = self.attention_layers().collect();
        if !attending.contains(&place.layer) {
            let listed = attending.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return wrong(format!("a layer that attends: {listed}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_and_layers_read_as_they_show() {
        let place = HeadPlace { layer: 12, head: 3 };
        assert_eq!((place.to_string().as_str(), "12.3".parse::<HeadPlace>().unwrap()), ("12.3", place));
        for text in ["12", "12.", ".3", "1.2.3", "-1.0", "a.b", ""] {
            assert!(text.parse::<HeadPlace>().is_err(), "{text}");
        }
        let layers: LayerRanges = "3-7,9".parse().unwrap();
        assert_eq!(layers.to_string(), "3-7,9");
        assert_eq!([2, 3, 7, 8, 9].map(|layer| layers.contains(layer)), [false, true, true, false, true]);
        for text in ["", "7-3", "a", "3-", "3,,4", "-3"] {
            assert!(text.parse::<LayerRanges>().is_err(), "{text}");
        }
    }

    #[test]
    fn both_are_texts_where_they_are_stored() {
        let place = HeadPlace { layer: 1, head: 0 };
        assert_eq!(serde_json::to_string(&place).unwrap(), r#""1.0""#);
        assert_eq!(serde_json::from_str::<HeadPlace>(r#""1.0""#).unwrap(), place);
        assert!(serde_json::from_str::<HeadPlace>(r#""1""#).is_err());
        let layers: LayerRanges = serde_json::from_str(r#""0-2""#).unwrap();
        assert_eq!(serde_json::to_string(&layers).unwrap(), r#""0-2""#);
    }
}

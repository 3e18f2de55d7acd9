//! Colours: a value between 0 and 1 to sRGB, and sRGB to what a terminal has.

use crate::registry::Entry;

/// A colour in sRGB, 0 to 255 a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rgb(pub u8, pub u8, pub u8);

impl Rgb {
    /// `#rrggbb`.
    #[must_use]
    pub fn hex(self) -> String {
        format!("#{:02x}{:02x}{:02x}", self.0, self.1, self.2)
    }

    /// Black or white, whichever is easier to read on this colour: the larger contrast ratio of WCAG 2, which
    /// is never below 4.5.
    #[must_use]
    pub fn text_color(self) -> Self {
        let linear = |channel: u8| {
            let c = f64::from(channel) / 255.0;
            if c <= 0.040_45 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        };
        let luminance = 0.2126 * linear(self.0) + 0.7152 * linear(self.1) + 0.0722 * linear(self.2);
        if (luminance + 0.05) / 0.05 >= 1.05 / (luminance + 0.05) {
            Self(0, 0, 0)
        } else {
            Self(255, 255, 255)
        }
    }

    /// The nearest colour of the xterm palette, 16 to 255: the 6 x 6 x 6 cube and the greys. The first 16 are
    /// left out, every terminal paints them differently.
    #[must_use]
    pub fn xterm256(self) -> u8 {
        let distance = |index: u8| {
            let other = xterm_color(index);
            let d = |a: u8, b: u8| (i32::from(a) - i32::from(b)).pow(2);
            d(self.0, other.0) + d(self.1, other.1) + d(self.2, other.2)
        };
        (16..=255).min_by_key(|&index| distance(index)).unwrap_or(16)
    }
}

/// The colour behind an index of the xterm palette from 16 on.
pub(super) fn xterm_color(index: u8) -> Rgb {
    if index >= 232 {
        let grey = 8 + 10 * (index - 232);
        return Rgb(grey, grey, grey);
    }
    let level = |step: u8| if step == 0 { 0 } else { 55 + 40 * step };
    let cube = index.saturating_sub(16);
    Rgb(level(cube / 36), level(cube / 6 % 6), level(cube % 6))
}

/// Two ranges of colours, each given by evenly spaced anchors: from little to much, and from less to more
/// with nearly white between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Palette {
    anchors: &'static [Rgb],
    diverging: &'static [Rgb],
}

impl Palette {
    /// The colour at `position`, 0 to 1: linear between the anchors in sRGB. Positions outside take the
    /// nearer end.
    #[must_use]
    pub fn color(&self, position: f64) -> Rgb {
        between(self.anchors, position)
    }

    /// The colour of a difference at `position`, 0 to 1, where 0.5 is no difference.
    #[must_use]
    pub fn diverging(&self, position: f64) -> Rgb {
        between(self.diverging, position)
    }
}

fn between(anchors: &[Rgb], position: f64) -> Rgb {
    let last = anchors.len() - 1;
    let scaled = position.clamp(0.0, 1.0) * last as f64;
    let index = (scaled as usize).min(last.saturating_sub(1));
    let (low, high) = (anchors[index], anchors[(index + 1).min(last)]);
    let mix =
        |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * (scaled - index as f64)).round() as u8;
    Rgb(mix(low.0, high.0), mix(low.1, high.1), mix(low.2, high.2))
}

/// Red, yellow, green: the colours in which the field draws its haystacks. Differences: red, nearly white,
/// green.
pub const RAG: Palette = Palette {
    anchors: &[Rgb(0xf0, 0x49, 0x6e), Rgb(0xeb, 0xb8, 0x39), Rgb(0x0c, 0xd7, 0x9f)],
    diverging: &[Rgb(0xf0, 0x49, 0x6e), Rgb(0xf7, 0xf7, 0xf7), Rgb(0x0c, 0xd7, 0x9f)],
};

/// Viridis, purple to yellow, brighter all the way and never grey: it can be read with any colour blindness
/// and in grey print (van der Walt and Smith 2015, matplotlib). Every 17th of its 256 colours. Differences:
/// orange, nearly white, purple, ColorBrewer's PuOr turned round, which can be read with any colour blindness
/// as well.
pub const VIRIDIS: Palette = Palette {
    anchors: &[
        Rgb(68, 1, 84),
        Rgb(72, 26, 108),
        Rgb(71, 47, 125),
        Rgb(65, 68, 135),
        Rgb(57, 86, 140),
        Rgb(49, 104, 142),
        Rgb(42, 120, 142),
        Rgb(35, 136, 142),
        Rgb(31, 152, 139),
        Rgb(34, 168, 132),
        Rgb(53, 183, 121),
        Rgb(84, 197, 104),
        Rgb(122, 209, 81),
        Rgb(165, 219, 54),
        Rgb(210, 226, 27),
        Rgb(253, 231, 37),
    ],
    diverging: &[
        Rgb(179, 88, 6),
        Rgb(241, 163, 64),
        Rgb(254, 224, 182),
        Rgb(247, 247, 247),
        Rgb(216, 218, 235),
        Rgb(153, 142, 195),
        Rgb(84, 39, 136),
    ],
};

/// Grey for a missing cell.
pub const MISSING: Rgb = Rgb(0x9e, 0x9e, 0x9e);

/// Every palette; the first is the default, as it can be read with any colour blindness.
pub const PALETTES: &[Entry<Palette>] = &[
    Entry {
        name: "viridis",
        about: "Purple to yellow (differences: orange to purple), safe for colour blindness and grey print",
        value: VIRIDIS,
    },
    Entry { name: "rag", about: "Red, yellow, green", value: RAG },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_and_the_middle_are_the_anchors() {
        assert_eq!(RAG.color(0.0).hex(), "#f0496e");
        assert_eq!(RAG.color(0.5).hex(), "#ebb839");
        assert_eq!(RAG.color(1.0).hex(), "#0cd79f");
        assert_eq!(RAG.color(0.25).hex(), "#ee8154");
        assert_eq!(RAG.color(7.0), RAG.color(1.0));
        assert_eq!(VIRIDIS.color(0.0).hex(), "#440154");
        assert_eq!(VIRIDIS.color(1.0).hex(), "#fde725");
    }

    #[test]
    fn xterm_indices_are_the_nearest() {
        for (color, index) in [
            (Rgb(0, 0, 0), 16),
            (Rgb(255, 255, 255), 231),
            (Rgb(95, 135, 175), 67),
            (Rgb(8, 8, 8), 232),
            (Rgb(238, 238, 238), 255),
            (Rgb(0xf0, 0x49, 0x6e), 203),
        ] {
            assert_eq!(color.xterm256(), index, "{color:?}");
        }
        for index in 16..=255 {
            assert_eq!(xterm_color(xterm_color(index).xterm256()), xterm_color(index));
        }
    }

    #[test]
    fn viridis_gets_brighter_all_the_way() {
        let grey = |Rgb(r, g, b)| 2 * u32::from(r) + 7 * u32::from(g) + u32::from(b);
        let steps: Vec<_> = (0..=100).map(|i| grey(VIRIDIS.color(f64::from(i) / 100.0))).collect();
        assert!(steps.windows(2).all(|pair| pair[0] <= pair[1]), "{steps:?}");
    }

    #[test]
    fn no_difference_is_nearly_white_and_unlike_missing_in_every_palette() {
        for palette in PALETTES {
            assert_eq!(palette.value.diverging(0.5).hex(), "#f7f7f7", "{}", palette.name);
            assert_ne!(palette.value.diverging(0.0), palette.value.diverging(1.0));
        }
        assert_eq!(VIRIDIS.diverging(0.0).hex(), "#b35806");
        assert_eq!(VIRIDIS.diverging(1.0).hex(), "#542788");
    }

    #[test]
    fn text_is_dark_on_bright_colours_and_bright_on_dark_ones() {
        assert_eq!(RAG.color(0.5).text_color(), Rgb(0, 0, 0));
        assert_eq!(VIRIDIS.color(0.0).text_color(), Rgb(255, 255, 255));
    }
}

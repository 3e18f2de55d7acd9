//! Scores by the distance of their keys.

use std::ops::Range;

/// What becomes of the score `z` of a key that stands `t` positions before its query: `a_t z + m_t`, behind a
/// soft cap and before a bias.
#[derive(Debug, Clone, PartialEq)]
pub struct Distances {
    factors: Vec<f32>, // [distances]
    offsets: Vec<f32>, // [distances]
}

impl Distances {
    /// Of the distances `0..longest`, each with its `(a_t, m_t)`.
    #[must_use]
    pub fn new(longest: usize, of: impl Fn(usize) -> (f64, f64)) -> Self {
        let (factors, offsets) = (0..longest).map(of).map(|(a, m)| (a as f32, m as f32)).unzip();
        Self { factors, offsets }
    }

    /// `a_t` and `m_t`.
    pub(super) fn at(&self, distance: usize) -> (f32, f32) {
        (self.factors[distance], self.offsets[distance])
    }

    /// Changes `scores`, those of the keys at these positions and of the row at position `row`. What stands
    /// behind the row is left as it is: no row sees it.
    pub(super) fn change(&self, row: usize, keys: Range<usize>, scores: &mut [f32]) {
        let end = keys.end.min(row + 1);
        if keys.start >= end {
            return;
        }
        let of_keys = row + 1 - end..row + 1 - keys.start;
        let table = self.factors[of_keys.clone()].iter().zip(&self.offsets[of_keys]).rev();
        for (score, (factor, offset)) in scores.iter_mut().zip(table) {
            *score = factor * *score + offset;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_score_is_changed_by_the_distance_of_its_key_and_none_behind_the_row() {
        let distances = Distances::new(9, |t| (t as f64, 10.0 * t as f64));
        let mut scores = [1.0; 4];
        distances.change(4, 2..6, &mut scores);
        assert_eq!(scores, [22.0, 11.0, 0.0, 1.0]);
        distances.change(1, 2..6, &mut scores);
        assert_eq!(scores, [22.0, 11.0, 0.0, 1.0]);
    }
}

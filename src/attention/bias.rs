//! Biases on scores.

use std::ops::Range;

use half::bf16;

use crate::spec::Alibi;

/// A bias on the scores of queries and keys.
pub trait ScoreBias: Send + Sync {
    /// Adds to `scores`, those of query head `head` at the row of position `row` and of the keys at these
    /// positions.
    fn add(&self, head: usize, row: usize, keys: Range<usize>, scores: &mut [f32]);
}

/// The bias of [`Alibi`].
#[derive(Debug, Clone)]
pub struct AlibiBias {
    alibi: Alibi,
    slopes: Vec<f64>, // [heads]
}

impl AlibiBias {
    /// That of a layer of so many query heads.
    #[must_use]
    pub fn new(alibi: Alibi, heads: usize) -> Self {
        let round = |slope: f64| if alibi.rounded { bf16::from_f64(slope).to_f64() } else { slope };
        Self { alibi, slopes: Alibi::slopes(heads).into_iter().map(round).collect() }
    }

    /// `b_h(j)`.
    fn of_key(&self, head: usize, key: usize) -> f64 {
        let bias = self.slopes[head] * key as f64;
        if self.alibi.rounded { bf16::from_f64(bias).to_f64() } else { bias }
    }
}

impl ScoreBias for AlibiBias {
    fn add(&self, head: usize, row: usize, keys: Range<usize>, scores: &mut [f32]) {
        let own = self.of_key(head, row);
        for (score, key) in scores.iter_mut().zip(keys) {
            *score += (self.alibi.scale * (self.of_key(head, key) - own)) as f32;
        }
    }
}

/// The bias of keys that fade: of the key at `j` and the row at `i`, the sum of `ln f_l` over `l = j+1..=i`,
/// by the gates `f` of each query head.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Forgetting {
    /// The sum of `ln f` up to each position.
    sums: Vec<Vec<f64>>, // [heads][positions]
}

impl Forgetting {
    /// Puts the gates `ln f` `[heads][rows]` of the rows from `first_position` on behind those before, in the
    /// place of what was there.
    pub fn put(&mut self, first_position: usize, log_gates: &[Vec<f64>]) {
        self.sums.resize_with(log_gates.len(), Vec::new);
        for (sums, log_gates) in self.sums.iter_mut().zip(log_gates) {
            sums.truncate(first_position);
            let mut sum = sums.last().copied().unwrap_or(0.0);
            sums.extend(log_gates.iter().map(|log_gate| {
                sum += log_gate;
                sum
            }));
        }
    }
}

impl ScoreBias for Forgetting {
    fn add(&self, head: usize, row: usize, keys: Range<usize>, scores: &mut [f32]) {
        let sums = &self.sums[head];
        for (score, key) in scores.iter_mut().zip(keys) {
            *score += (sums[row] - sums[key]) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_fade_by_the_gates_of_the_rows_behind_them_and_rows_can_be_written_over() {
        let mut forgetting = Forgetting::default();
        forgetting.put(0, &[vec![-9.0, -1.0, -7.0, -7.0], vec![0.0; 4]]);
        forgetting.put(2, &[vec![-2.0], vec![-0.5]]);
        forgetting.put(3, &[vec![-4.0], vec![-0.25]]);
        let of = |head, row| {
            let mut scores = [1.0f32; 4];
            forgetting.add(head, row, 0..row + 1, &mut scores[..=row]);
            scores
        };
        assert_eq!(of(0, 3), [1.0 - 7.0, 1.0 - 6.0, 1.0 - 4.0, 1.0]);
        assert_eq!(of(0, 1), [1.0 - 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(of(1, 3), [0.25, 0.25, 0.75, 1.0]);
    }

    #[test]
    fn a_bias_falls_with_the_distance_by_the_slope_of_its_head() {
        let of = |rounded, row| {
            let mut scores = [1.0f32; 4];
            AlibiBias::new(Alibi { scale: 2.0, rounded }, 2).add(0, row, 0..4, &mut scores);
            scores
        };
        assert_eq!(of(false, 3), [0.625, 0.75, 0.875, 1.0]);
        // 0.0625 * 300 = 18.75 is one of bf16's numbers, 0.0625 * 3 as well.
        assert_eq!(of(true, 3), of(false, 3));
        // 0.0625 * 4099 = 256.1875, which bf16 has as 256.
        assert_eq!(of(true, 4099)[0], 1.0 - 2.0 * 256.0);
    }
}

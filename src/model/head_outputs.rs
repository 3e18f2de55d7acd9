//! What heads hand on: to put something else in its place says what a head is good for.
//!
//! The output of head `h` is what it has mixed, behind an output gate and before the output projection: the
//! numbers `h width .. (h + 1) width` of the row that `o_proj` is given. Masked by zero, a head adds nothing;
//! masked by its mean, it adds at every row what it adds on average over all rows of some other texts, which
//! says nothing of this one (mean ablation, as arXiv 2211.00593 has it). Where two maps are subtracted, a
//! query head's output is its own mix, before the difference.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use candle_core::{Result, Tensor};

/// The heads of a decoder that hand on something else than what they mix.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReplacedHeads(BTreeMap<usize, Vec<ReplacedHead>>);

/// What one head of a layer hands on at every row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ReplacedHead {
    head: usize,
    /// `[width]`; zeros where there are none.
    output: Vec<f32>,
}

/// What each head of a decoder hands on in the mean.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MeanOutputs(BTreeMap<usize, Vec<f32>>);

impl ReplacedHeads {
    /// Heads `(layer, head)` that hand on nothing.
    #[must_use]
    pub fn by_zero(heads: &[(usize, usize)]) -> Self {
        Self::by(heads, |_, _| Vec::new())
    }

    /// Heads `(layer, head)` of layers with `count` heads each that hand on what they do in the mean.
    #[must_use]
    pub fn by_mean(heads: &[(usize, usize)], count: usize, means: &MeanOutputs) -> Self {
        Self::by(heads, |layer, head| {
            let of_layer = means.0.get(&layer).map_or(&[][..], Vec::as_slice);
            let width = of_layer.len() / count;
            of_layer.get(head * width..(head + 1) * width).unwrap_or_default().to_vec()
        })
    }

    fn by(heads: &[(usize, usize)], output: impl Fn(usize, usize) -> Vec<f32>) -> Self {
        let mut layers: BTreeMap<usize, Vec<ReplacedHead>> = BTreeMap::new();
        for &(layer, head) in heads {
            layers.entry(layer).or_default().push(ReplacedHead { head, output: output(layer, head) });
        }
        Self(layers)
    }
}

/// Sums over the rows of a decoder's layers, by layer and by the position of the first row, so that the order
/// in which threads add to them makes no difference.
#[derive(Debug, Default)]
pub(super) struct OutputSums(Mutex<BTreeMap<(usize, usize), Sum>>);

#[derive(Debug, Default)]
struct Sum {
    rows: usize,
    outputs: Vec<f64>, // [heads * width]
}

impl OutputSums {
    fn add(&self, layer: usize, first_position: usize, outputs: &Tensor) -> Result<()> {
        let rows = outputs.to_vec2::<f32>()?; // [t, heads * width]
        let mut sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = sums.entry((layer, first_position)).or_default();
        sum.rows += rows.len();
        sum.outputs.resize(rows.first().map_or(0, Vec::len), 0.0);
        for row in rows {
            sum.outputs.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(x));
        }
        Ok(())
    }

    /// The means over all rows.
    pub(super) fn means(self) -> MeanOutputs {
        let mut layers: BTreeMap<usize, Sum> = BTreeMap::new();
        for ((layer, _), part) in self.0.into_inner().unwrap_or_else(PoisonError::into_inner) {
            let sum = layers.entry(layer).or_default();
            sum.rows += part.rows;
            sum.outputs.resize(part.outputs.len(), 0.0);
            sum.outputs.iter_mut().zip(part.outputs).for_each(|(sum, x)| *sum += x);
        }
        let mean = |sum: Sum| sum.outputs.iter().map(|x| (x / sum.rows.max(1) as f64) as f32).collect();
        MeanOutputs(layers.into_iter().map(|(layer, sum)| (layer, mean(sum))).collect())
    }
}

/// What becomes of the outputs of a decoder's heads.
#[derive(Clone, Copy)]
pub(super) enum HeadOutputs<'a> {
    /// Those of some are replaced.
    Replaced(&'a ReplacedHeads),
    /// They are summed up, and handed on as they are.
    Summed(&'a OutputSums),
}

impl<'a> HeadOutputs<'a> {
    /// The same of a layer, for rows from `first_position` on.
    pub(super) fn at(self, layer: usize, first_position: usize) -> LayerOutputs<'a> {
        match self {
            Self::Replaced(heads) => {
                heads.0.get(&layer).map_or(LayerOutputs::Own, |heads| LayerOutputs::Replaced(heads))
            }
            Self::Summed(sums) => LayerOutputs::Summed { sums, layer, first_position },
        }
    }
}

/// What becomes of the outputs of a layer's heads.
#[derive(Clone, Copy)]
pub(super) enum LayerOutputs<'a> {
    /// They are handed on.
    Own,
    /// Those of some are replaced.
    Replaced(&'a [ReplacedHead]),
    /// They are summed up, and handed on.
    Summed { sums: &'a OutputSums, layer: usize, first_position: usize },
}

impl LayerOutputs<'_> {
    /// What `heads` heads hand on, `[t, heads * width]`, of what they put out.
    pub(super) fn of(self, outputs: Tensor, heads: usize) -> Result<Tensor> {
        match self {
            Self::Own => Ok(outputs),
            Self::Summed { sums, layer, first_position } => {
                sums.add(layer, first_position, &outputs)?;
                Ok(outputs)
            }
            Self::Replaced(replaced) => {
                let all = outputs.dim(1)?;
                let width = all / heads;
                let (mut kept, mut put) = (vec![1f32; all], vec![0f32; all]);
                for ReplacedHead { head, output } in replaced {
                    kept[head * width..(head + 1) * width].fill(0.0);
                    put[head * width..][..output.len()].copy_from_slice(output);
                }
                let row = |numbers: Vec<f32>| {
                    Tensor::from_vec(numbers, (1, all), outputs.device())?.to_dtype(outputs.dtype())
                };
                outputs.broadcast_mul(&row(kept)?)?.broadcast_add(&row(put)?) // [t, heads * width]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn rows(rows: &[[f32; 4]]) -> Tensor {
        Tensor::from_vec(rows.concat(), (rows.len(), 4), &Device::Cpu).unwrap()
    }

    #[test]
    fn a_masked_head_hands_on_zeros_or_its_mean_and_the_others_what_they_mix() {
        let sums = OutputSums::default();
        let summed = |first| HeadOutputs::Summed(&sums).at(1, first);
        let given = rows(&[[1.0, 2.0, 3.0, 4.0], [3.0, 6.0, 5.0, 0.0]]);
        let same = summed(0).of(given.clone(), 2).unwrap();
        assert_eq!(same.to_vec2::<f32>().unwrap(), given.to_vec2::<f32>().unwrap());
        summed(2).of(rows(&[[5.0, 1.0, 1.0, 2.0]]), 2).unwrap();
        let means = sums.means();
        assert_eq!(means.0[&1], [3.0, 3.0, 3.0, 2.0]);
        for (heads, expected) in [
            (ReplacedHeads::by_zero(&[(1, 0)]), [[0.0, 0.0, 3.0, 4.0], [0.0, 0.0, 5.0, 0.0]]),
            (ReplacedHeads::by_mean(&[(1, 1)], 2, &means), [[1.0, 2.0, 3.0, 2.0], [3.0, 6.0, 3.0, 2.0]]),
            (ReplacedHeads::by_zero(&[(0, 0), (2, 1)]), [[1.0, 2.0, 3.0, 4.0], [3.0, 6.0, 5.0, 0.0]]),
        ] {
            let found = HeadOutputs::Replaced(&heads).at(1, 0).of(given.clone(), 2).unwrap();
            assert_eq!(found.to_vec2::<f32>().unwrap(), expected);
        }
    }
}

//! Where each parameter is in the one buffer that holds all of them.

use std::ops::Range;

/// A parameter tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorLayout {
    /// Its name in a checkpoint.
    pub name: String,
    /// Its sizes.
    pub shape: Vec<usize>,
    /// Its numbers in the buffer.
    pub range: Range<usize>,
    /// Factor on the learning rate: how much further a step moves it than other tensors.
    pub rate: f32,
}

impl TensorLayout {
    /// Whether weight decay is for it: matrices decay, norms and scales do not.
    #[must_use]
    pub fn decays(&self) -> bool {
        self.shape.len() > 1
    }
}

/// All parameters of a model, in the order of the buffer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Layout {
    tensors: Vec<TensorLayout>,
}

impl Layout {
    /// Adds a tensor behind the others and says where it is.
    pub(super) fn push(&mut self, name: String, shape: &[usize]) -> Range<usize> {
        let start = self.len();
        let range = start..start + shape.iter().product::<usize>();
        self.tensors.push(TensorLayout { name, shape: shape.to_vec(), range: range.clone(), rate: 1.0 });
        range
    }

    /// Gives the tensor pushed at `range` another factor on its learning rate.
    pub(super) fn set_rate(&mut self, range: &Range<usize>, rate: f32) {
        self.tensors.iter_mut().filter(|tensor| tensor.range == *range).for_each(|tensor| tensor.rate = rate);
    }

    /// The tensors.
    #[must_use]
    pub fn tensors(&self) -> &[TensorLayout] {
        &self.tensors
    }

    /// Numbers in the buffer.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tensors.last().map_or(0, |tensor| tensor.range.end)
    }

    /// Whether there is no parameter.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }
}

//! What a decoder keeps of the tokens seen so far: keys and values, or a state.
//!
//! Keys and values in f32 are one buffer of each a layer, written in place and enlarged by an eighth when
//! full; in other precisions, pages. Both have room for the planned sequence from the first token on. To
//! forget the newest tokens costs nothing. A state of fixed size ([`RecurrentState`]) cannot be taken back:
//! where layers have one, the cache keeps copies of them at the places that it is told to
//! [`KvCache::mark`], and goes back to one of these.

mod dtype;

use std::sync::Arc;

use candle_core::{Result, Tensor};

use super::black_box::Reading;
use super::recurrent::RecurrentState;
use crate::attention::{Blocked, Cached, Forgetting, Pages, RowPages};
use crate::kernel::cached::Form;
use dtype::Layout;
pub use dtype::{KV_DTYPES, KvDtype, KvDtypes};

/// Copies of the states that are kept at most: of a prompt where its needle and its question begin and where
/// its answer does, and some of the prompts before, of which the next one may share more.
pub const MARKS: usize = 6;

/// Cached keys and values, or the state, of every layer.
#[derive(Debug, Default)]
pub struct KvCache {
    layers: Vec<Layer>,
    /// Of every layer; empty where it has none.
    states: Vec<RecurrentState>,
    /// In the order of their places.
    marks: Vec<Mark>,
    /// What a black box has read, which has no layers.
    black_box: Option<Reading>,
    len: usize,
    capacity: usize,
    sequence_length: usize,
    blocked: Blocked,
    /// Of layers whose keys fade.
    forgetting: Vec<Arc<Forgetting>>,
    /// Whether what is read of rows is rounded to bf16.
    rounded: bool,
    /// Whether many queries multiply numbers in parts of bf16.
    in_parts: bool,
}

#[derive(Debug)]
enum Layer {
    /// f32 buffers, there from the first token on.
    Tensors(Option<Buffers>),
    /// bf16 pages, likewise.
    Pages(Option<Pages>),
    /// Pages of rows in these forms, likewise.
    Rows([Form; 2], Option<RowPages>),
}

/// The states behind the first `len` tokens.
#[derive(Debug)]
struct Mark {
    len: usize,
    states: Vec<RecurrentState>,
}

#[derive(Debug)]
struct Buffers {
    keys: Tensor,   // [kv_heads, capacity, head_dim]
    values: Tensor, // [kv_heads, capacity, value_dim]
}

impl KvCache {
    /// An empty cache for `layers` layers and a sequence of `sequence_length` tokens.
    #[must_use]
    pub fn new(layers: usize, sequence_length: usize, dtype: impl Into<KvDtypes>) -> Self {
        let layout = dtype.into().layout();
        let layer = || match layout {
            Layout::Tensors => Layer::Tensors(None),
            Layout::Pages => Layer::Pages(None),
            Layout::Rows(forms) => Layer::Rows(forms, None),
        };
        Self {
            layers: (0..layers).map(|_| layer()).collect(),
            states: vec![RecurrentState::default(); layers],
            marks: Vec::new(),
            black_box: None,
            len: 0,
            capacity: sequence_length,
            sequence_length,
            blocked: Blocked::default(),
            forgetting: vec![Arc::default(); layers],
            rounded: false,
            in_parts: false,
        }
    }

    /// The same cache, of whose rows what is read is rounded to bf16 or not ([`KvDtypes::are_rounded`]).
    #[must_use]
    pub fn with_rounding(self, rounded: bool) -> Self {
        Self { rounded, ..self }
    }

    /// The same cache, whose keys and values in f32 many queries multiply in parts of bf16 or not
    /// ([`Dtype::Bf16x2`](crate::spec::Dtype::Bf16x2)).
    #[must_use]
    pub fn with_parts(self, in_parts: bool) -> Self {
        Self { in_parts, ..self }
    }

    /// An empty cache for a black box and a sequence of `sequence_length` tokens.
    pub(super) fn of_black_box(reading: Reading, sequence_length: usize) -> Self {
        Self { black_box: Some(reading), ..Self::new(0, sequence_length, KvDtype::F32) }
    }

    /// What a black box has read.
    pub(super) fn black_box(&mut self) -> Option<&mut Reading> {
        self.black_box.as_mut()
    }

    /// Number of tokens that the sequence was planned for. It never changes, so that all keys were rotated by
    /// one rule.
    #[must_use]
    pub fn sequence_length(&self) -> usize {
        self.sequence_length
    }

    /// Number of tokens cached: the absolute position of the next one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is cached.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Keys that rows behind them do not see.
    #[must_use]
    pub fn blocked(&self) -> &Blocked {
        &self.blocked
    }

    /// Keeps keys from the rows behind them: those that are computed from now on. What is cached already has
    /// to be what it would be with `blocked` ([`Blocked::alike`]).
    pub fn block(&mut self, blocked: Blocked) {
        self.blocked = blocked;
    }

    /// Whether some layer has a state, so that [`Self::truncate`] goes back to marks alone.
    #[must_use]
    pub fn has_states(&self) -> bool {
        self.states.iter().any(|state| !state.is_empty())
    }

    /// The state of a layer, which is to be that of all tokens up to those that are being computed.
    pub fn state(&mut self, layer: usize) -> &mut RecurrentState {
        &mut self.states[layer]
    }

    /// Keeps the states as they are now, as a place to go back to; of too many such places the first is
    /// forgotten. Without states there is nothing to keep.
    pub fn mark(&mut self) {
        if let Some(black_box) = &mut self.black_box {
            black_box.mark(self.len);
            return;
        }
        if !self.has_states() || self.marks.last().is_some_and(|mark| mark.len == self.len) {
            return;
        }
        if self.marks.len() == MARKS {
            self.marks.remove(0);
        }
        self.marks.push(Mark { len: self.len, states: self.states.clone() });
    }

    /// Forgets every token from position `len` on, or more of them where layers have states: from the last
    /// mark on that is not behind `len`. Returns how many tokens are cached then; the caller computes those
    /// that it lacks again.
    pub fn truncate(&mut self, len: usize) -> usize {
        if let Some(black_box) = self.black_box.as_mut().filter(|_| len < self.len) {
            self.len = black_box.go_back(len);
            return self.len;
        }
        if len < self.len && self.has_states() {
            self.marks.retain(|mark| mark.len <= len);
            match self.marks.last() {
                Some(mark) => self.states.clone_from(&mark.states),
                None => self.states.fill(RecurrentState::default()),
            }
            self.len = self.marks.last().map_or(0, |mark| mark.len);
        }
        self.len = self.len.min(len);
        self.len
    }

    /// Writes the keys and values of new tokens of one layer behind the cached ones, those of each of `parts`
    /// (`[kv_heads, rows, head_dim]`) behind those before, and returns all of them. [`Self::advance`] makes
    /// them count.
    ///
    /// # Errors
    /// When shapes differ from those before, or memory is out.
    pub fn append(&mut self, layer: usize, parts: &[(&Tensor, &Tensor)]) -> Result<Cached<'_>> {
        let Some((keys, values)) = parts.first() else { candle_core::bail!("there are no keys to append") };
        let slot = match &mut self.layers[layer] {
            Layer::Tensors(slot) => slot,
            Layer::Pages(pages) => {
                let (kv_heads, _, width) = keys.dims3()?;
                let sizes = [kv_heads, width, self.sequence_length];
                let pages = pages.get_or_insert_with(|| Pages::new(sizes));
                pages.write(self.len, parts)?;
                return Ok(Cached::Pages(pages));
            }
            Layer::Rows(forms, pages) => {
                let (kv_heads, _, width) = keys.dims3()?;
                let sizes = [kv_heads, width, self.sequence_length];
                let pages = pages.get_or_insert_with(|| RowPages::new(sizes, *forms, self.rounded));
                pages.write(self.len, parts)?;
                return Ok(Cached::Rows(pages));
            }
        };
        let rows = parts.iter().map(|(keys, _)| keys.dim(1)).collect::<Result<Vec<_>>>()?;
        let added: usize = rows.iter().sum();
        let needed = self.len + added;
        let held = slot.as_ref().map_or(Ok(0), |buffers| buffers.keys.dim(1))?;
        if held < needed {
            self.capacity = if held == 0 { self.capacity.max(needed) } else { needed.max(held + held / 8) };
            let old = slot.take();
            let grown = |new: &Tensor, old: Option<&Tensor>| -> Result<Tensor> {
                let (heads, _, width) = new.dims3()?;
                let buffer = Tensor::zeros((heads, self.capacity, width), new.dtype(), new.device())?;
                if let Some(old) = old.filter(|_| self.len > 0) {
                    buffer.slice_set(&old.narrow(1, 0, self.len)?.contiguous()?, 1, 0)?;
                }
                Ok(buffer)
            };
            *slot = Some(Buffers {
                keys: grown(keys, old.as_ref().map(|b| &b.keys))?,
                values: grown(values, old.as_ref().map(|b| &b.values))?,
            });
        }
        let Some(buffers) = slot else { candle_core::bail!("layer {layer} has no cache") };
        let mut at = self.len;
        for ((keys, values), rows) in parts.iter().zip(rows) {
            buffers.keys.slice_set(&keys.contiguous()?, 1, at)?;
            buffers.values.slice_set(&values.contiguous()?, 1, at)?;
            at += rows;
        }
        Ok(Cached::Tensors {
            keys: buffers.keys.narrow(1, 0, needed)?,
            values: buffers.values.narrow(1, 0, needed)?,
            in_parts: self.in_parts,
        })
    }

    /// Writes the gates `ln f` of new tokens of one layer behind the cached ones, those of each of `parts`
    /// (`[heads][rows]`) behind those before, and returns the bias of all of them.
    pub fn forget(&mut self, layer: usize, parts: &[&[Vec<f64>]]) -> Arc<Forgetting> {
        let forgetting = Arc::make_mut(&mut self.forgetting[layer]);
        let mut at = self.len;
        for part in parts {
            forgetting.put(at, part);
            at += part.first().map_or(0, Vec::len);
        }
        Arc::clone(&self.forgetting[layer])
    }

    /// What is cached of a layer, with `added` tokens that it has appended and that do not count yet.
    ///
    /// # Errors
    /// When the layer has appended nothing.
    pub fn appended(&self, layer: usize, added: usize) -> Result<Cached<'_>> {
        match &self.layers[layer] {
            Layer::Pages(Some(pages)) => Ok(Cached::Pages(pages)),
            Layer::Rows(_, Some(pages)) => Ok(Cached::Rows(pages)),
            Layer::Tensors(Some(buffers)) => Ok(Cached::Tensors {
                keys: buffers.keys.narrow(1, 0, self.len + added)?,
                values: buffers.values.narrow(1, 0, self.len + added)?,
                in_parts: self.in_parts,
            }),
            _ => candle_core::bail!("layer {layer} has no cache"),
        }
    }

    /// Counts `added` tokens that every layer has appended.
    pub fn advance(&mut self, added: usize) {
        self.len += added;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn token(value: f32) -> Tensor {
        Tensor::full(value, (2, 1, 3), &Device::Cpu).unwrap()
    }

    fn firsts(keys: &Tensor) -> Vec<f32> {
        keys.narrow(0, 0, 1).unwrap().narrow(2, 0, 1).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn truncated_tokens_are_overwritten_and_growth_keeps_the_rest() {
        let mut cache = KvCache::new(1, 2, KvDtype::F32);
        for value in [1.0, 2.0, 3.0] {
            cache.append(0, &[(&token(value), &token(-value))]).unwrap();
            cache.advance(1);
        }
        cache.truncate(1);
        let Cached::Tensors { keys, values, .. } = cache.append(0, &[(&token(9.0), &token(-9.0))]).unwrap()
        else {
            panic!("this cache has no pages");
        };
        assert_eq!(firsts(&keys), [1.0, 9.0]);
        assert_eq!(firsts(&values), [-1.0, -9.0]);
    }
}

//! Keys and values of a layer in pages of rows, each row in bf16 or in ggml's blocks, and attention over them
//! on the CPU: some rows at a time are widened to f32, for the arithmetic of [`super::fused`] and, where
//! queries are few, of [`super::few`]. Beside weights in bf16 what is read is rounded to that, for the
//! arithmetic of [`super::Pages`].
//!
//! Pages are shared as those of [`super::Pages`] are. A row is kept by itself, so it does not depend on how a
//! prompt was cut.

mod tiles;

use std::ops::Range;
use std::sync::Arc;

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::blocks::seen;
use super::fused;
use super::pages::{make_room, normalised};
use super::source::Source;
use super::{View, few, few_rounded, with_f32};
use crate::kernel::bf16::PAGE;
use crate::kernel::cached::{Form, padded};
use crate::kernel::gemm::{Into, Matrix, multiply};

/// The keys and values of one layer.
#[derive(Debug, Clone)]
pub struct RowPages {
    keys: Kept,
    values: Kept,
    rounded: bool,
}

/// Keys, or values.
#[derive(Debug, Clone)]
struct Kept {
    form: Form,
    width: usize,
    heads: Vec<Vec<Arc<Vec<u8>>>>, // [kv_heads][pages] of [PAGE, bytes of a row]
}

impl RowPages {
    /// No keys yet, for `kv_heads` heads of `width` numbers, and room for `tokens` of them as in
    /// [`Pages::new`](super::Pages::new); `forms` are those of keys and of values, and what is read of them
    /// is `rounded` to bf16 or not.
    pub(crate) fn new(
        [kv_heads, width, tokens]: [usize; 3],
        [keys, values]: [Form; 2],
        rounded: bool,
    ) -> Self {
        let kept = |form| {
            let mut kept = Kept { form, width, heads: vec![Vec::new(); kv_heads] };
            let page = || vec![0; PAGE * form.row_bytes(width)];
            kept.heads.iter_mut().for_each(|pages| make_room(pages, tokens, page));
            kept
        };
        Self { keys: kept(keys), values: kept(values), rounded }
    }

    /// Bytes of `tokens` keys and values of `kv_heads` heads of `width` numbers: whole pages.
    pub(crate) fn bytes(kv_heads: usize, width: usize, tokens: usize, [keys, values]: [Form; 2]) -> usize {
        let row = keys.row_bytes(width) + values.row_bytes(width);
        tokens.div_ceil(PAGE).saturating_mul(PAGE * kv_heads * row)
    }

    /// Writes keys and values at the positions from `first` on, those of each of `parts`
    /// (`[kv_heads, rows, width]`) behind those before; what stood there is gone.
    ///
    /// # Errors
    /// When a tensor is not f32 on the CPU.
    pub fn write(&mut self, first: usize, parts: &[(&Tensor, &Tensor)]) -> Result<()> {
        let mut at = first;
        for (keys, values) in parts {
            self.keys.write(at, keys)?;
            self.values.write(at, values)?;
            at += keys.dim(1)?;
        }
        Ok(())
    }

    /// Mixed values `[t, heads * width]` of scaled `queries` `[heads, t, width]`.
    pub(super) fn mix(&self, queries: &Tensor, view: View<'_>) -> Result<Tensor> {
        let kv_heads = self.keys.heads.len();
        let [keys, values] = [&self.keys, &self.values].map(|kept| RowsFrom { kept, first: view.first_key });
        match (few::serves(view, queries.dim(0)? / kv_heads * queries.dim(1)?), self.rounded) {
            (true, true) => few_rounded::mix(queries, self, view),
            (false, true) => self.mix_in_tiles(queries, view),
            (true, false) => few::mix_over(queries, kv_heads, &keys, &values, view),
            (false, false) => fused::mix_over(queries, kv_heads, &keys, &values, view),
        }
    }

    /// The weights of the one row of scaled `queries` `[heads, 1, width]` over all keys up to its own, for
    /// each head.
    pub(super) fn weights(&self, queries: &Tensor, view: View<'_>) -> Result<Vec<Vec<f32>>> {
        let seen = seen(view, 0);
        let rows = self.scores(queries, view)?.into_par_iter().enumerate();
        Ok(rows.map(|(head, scores)| normalised(scores, view, head, &seen)).collect())
    }

    /// The products of the one row of scaled `queries` `[heads, 1, width]` with the keys that it sees, for
    /// each head.
    pub(super) fn scores(&self, queries: &Tensor, view: View<'_>) -> Result<Vec<Vec<f32>>> {
        let (heads, _, width) = queries.dims3()?;
        let groups = heads / self.keys.heads.len();
        let seen = seen(view, 0);
        if self.rounded {
            return self.tiles(0..self.keys.heads.len(), &seen, false).scores(queries, view);
        }
        let keys = RowsFrom { kept: &self.keys, first: 0 };
        with_f32(queries, |queries| {
            let of_kv_head = |(kv, queries): (usize, &[f32])| {
                let mut scores = vec![0f32; groups * seen.len()]; // [groups, seen keys]
                let mut room = Vec::new();
                for from in seen.clone().step_by(PAGE) {
                    let count = PAGE.min(seen.end - from);
                    let (keys, stride) = keys.rows(kv, from..from + count, &mut room);
                    let keys = Matrix::strided(keys, count, width, stride).t(); // [width, count]
                    let place = &mut scores[from - seen.start..];
                    multiply(Matrix::new(queries, groups, width), keys, Into::Write, place, seen.len());
                }
                scores.chunks_exact(seen.len()).map(<[f32]>::to_vec).collect::<Vec<_>>()
            };
            queries.par_chunks_exact(groups * width).enumerate().map(of_kv_head).collect::<Vec<_>>().concat()
        })
    }
}

impl Kept {
    /// Writes the rows of `new` `[kv_heads, rows, width]` at the positions from `first` on.
    fn write(&mut self, first: usize, new: &Tensor) -> Result<()> {
        let (kv_heads, rows, width) = new.dims3()?;
        if (kv_heads, width) != (self.heads.len(), self.width) || rows == 0 {
            candle_core::bail!("a cache of {} heads of {} cannot take {new:?}", self.heads.len(), self.width);
        }
        let (form, bytes) = (self.form, self.form.row_bytes(width));
        with_f32(new, |numbers| {
            let heads = self.heads.par_iter_mut().zip(numbers.par_chunks_exact(rows * width));
            heads.for_each(|(pages, numbers)| {
                make_room(pages, first + rows, || vec![0; PAGE * bytes]);
                for (at, row) in (first..).zip(numbers.chunks_exact(width)) {
                    let page = Arc::make_mut(&mut pages[at / PAGE]);
                    form.keep(row, &mut page[at % PAGE * bytes..][..bytes]);
                }
            });
        })
    }
}

/// Rows of keys or values, counted from the position of the first.
struct RowsFrom<'a> {
    kept: &'a Kept,
    first: usize,
}

impl Source for RowsFrom<'_> {
    fn rows<'r>(&'r self, head: usize, rows: Range<usize>, room: &'r mut Vec<f32>) -> (&'r [f32], usize) {
        let (form, stride) = (self.kept.form, padded(self.kept.width));
        let bytes = form.row_bytes(self.kept.width);
        room.resize(rows.len() * stride, 0.0);
        let (mut at, mut rest) = (self.first + rows.start, &mut room[..]);
        while !rest.is_empty() {
            let count = (PAGE - at % PAGE).min(rest.len() / stride);
            let (numbers, behind) = rest.split_at_mut(count * stride);
            let page = &self.kept.heads[head][at / PAGE];
            form.widen(&page[at % PAGE * bytes..][..count * bytes], numbers);
            (at, rest) = (at + count, behind);
        }
        (room, stride)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::{Window, plain_view, reference};
    use crate::kernel::random;
    use crate::rng::Rng;
    use candle_core::quantized::{GgmlDType, QTensor};
    use candle_core::{DType, Device};

    pub(super) const FORMS: [Form; 4] = [Form::F32, Form::Bf16, Form::Q8_0, Form::Q4_0];

    pub(super) fn tensor(rng: &mut Rng, shape: (usize, usize, usize), scale: f64) -> Tensor {
        let numbers = random::numbers(rng, shape.0 * shape.1 * shape.2, scale);
        Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap()
    }

    /// What is read of a tensor `[heads, rows, width]` that was kept.
    pub(super) fn as_read(x: &Tensor, form: Form) -> Tensor {
        let (heads, rows, width) = x.dims3().unwrap();
        let numbers = x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let row = |row: &[f32]| {
            let (mut bytes, mut read) = (vec![0; form.row_bytes(width)], vec![0.0; padded(width)]);
            form.keep(row, &mut bytes);
            form.widen(&bytes, &mut read);
            read.truncate(width);
            read
        };
        let read: Vec<f32> = numbers.chunks_exact(width).flat_map(row).collect();
        Tensor::from_vec(read, (heads, rows, width), &Device::Cpu).unwrap()
    }

    fn largest(difference: &Tensor) -> f32 {
        difference.abs().unwrap().max_all().unwrap().to_scalar().unwrap()
    }

    #[test]
    fn attention_is_the_reference_over_what_is_read_whatever_the_chunk() {
        let mut rng = Rng::new(97);
        let sizes = [
            (4, 2, 8, 70, 7, Window::Full, None),
            (9, 3, 64, 600, 64, Window::Full, None),
            (2, 2, 48, 600, 600, Window::Full, Some(5.0)),
            (3, 1, 5, 259, 1, Window::Full, None),
            (4, 2, 8, 700, 700, Window::Sliding(24), None),
            (4, 2, 32, 700, 64, Window::Sliding(300), None),
            (4, 2, 8, 700, 64, Window::Chunked(300), Some(3.0)),
        ];
        let sinks = [None, Some([1.0, 9.0, 0.0, -2.0])].into_iter().cycle();
        let forms = FORMS.into_iter().flat_map(|keys| FORMS.map(|values| [keys, values]));
        for (((heads, kv_heads, d, s, chunk, window, softcap), sinks), forms) in
            sizes.into_iter().cycle().zip(sinks).zip(forms)
        {
            let sinks = sinks.filter(|_| heads == 4);
            let queries = tensor(&mut rng, (heads, s, d), 2.0);
            let (keys, values) =
                (tensor(&mut rng, (kv_heads, s, d), 2.0), tensor(&mut rng, (kv_heads, s, d), 1.0));
            let read = [as_read(&keys, forms[0]), as_read(&values, forms[1])];
            let mut pages = RowPages::new([kv_heads, d, s * (chunk % 2)], forms, false);
            for first_position in (0..s).step_by(chunk) {
                let t = chunk.min(s - first_position);
                let new = |tensor: &Tensor| tensor.narrow(1, first_position, t).unwrap();
                pages.write(first_position, &[(&new(&keys), &new(&values))]).unwrap();
                let first_key = window.first_visible(first_position);
                let sinks = sinks.as_ref().map(|sinks| &sinks[..]);
                let view = View { softcap, sinks, ..plain_view(first_position, window) };
                let given = first_position + t - first_key;
                let queries = new(&queries);
                let [keys, values] =
                    [0, 1].map(|i| read[i].narrow(1, first_key, given).unwrap().contiguous().unwrap());
                let plain = reference::mix(&queries, &keys, &values, view).unwrap();
                let plain = plain.transpose(0, 1).unwrap().reshape((t, heads * d)).unwrap();
                let off = largest(&(pages.mix(&queries, view).unwrap() - plain).unwrap());
                assert!(off < 2e-6, "{forms:?}, {d} wide, {window:?}, {first_position}: off by {off}");

                let query = queries.narrow(1, 0, 1).unwrap();
                let visible = keys.narrow(1, 0, view.visible(0).len()).unwrap();
                let plain = reference::weights(&query, &visible, view).unwrap().squeeze(1).unwrap();
                let plain = plain.pad_with_zeros(1, first_key, 0).unwrap();
                let found = pages.weights(&query, view).unwrap();
                let found = Tensor::new(found, &Device::Cpu).unwrap(); // [heads, row + 1]
                assert_eq!(found.dims2().unwrap(), (heads, first_position + 1));
                let off = largest(&(found - plain).unwrap());
                assert!(off < 2e-6, "weights of {forms:?}, {window:?}, {first_position}: off by {off}");
            }
        }
    }

    #[test]
    fn a_row_is_the_same_whoever_wrote_it_and_whatever_came_with_it() {
        let mut rng = Rng::new(101);
        let (keys, values) = (tensor(&mut rng, (2, 300, 40), 2.0), tensor(&mut rng, (2, 300, 40), 1.0));
        let forms = [Form::Q8_0, Form::Q4_0];
        let written = |cuts: &[usize]| {
            let mut pages = RowPages::new([2, 40, 0], forms, false);
            for cut in cuts.windows(2) {
                let new = |tensor: &Tensor| tensor.narrow(1, cut[0], cut[1] - cut[0]).unwrap();
                // In two parts, as blocks of rows come.
                let half = (cut[1] - cut[0]) / 2;
                let part = |x: &Tensor, at, len| new(x).narrow(1, at, len).unwrap();
                let rest = cut[1] - cut[0] - half;
                let parts = [
                    (part(&keys, 0, half), part(&values, 0, half)),
                    (part(&keys, half, rest), part(&values, half, rest)),
                ];
                let parts: Vec<_> = parts.iter().map(|(keys, values)| (keys, values)).collect();
                pages.write(cut[0], &parts).unwrap();
            }
            [pages.keys.heads, pages.values.heads].concat()
        };
        assert_eq!(written(&[0, 300]), written(&[0, 31, 255, 259, 300]));
    }

    #[test]
    fn a_clone_keeps_what_was_written_over_in_the_other() {
        let ones = Tensor::ones((1, 300, 4), DType::F32, &Device::Cpu).unwrap();
        let mut pages = RowPages::new([1, 4, 0], [Form::Q8_0, Form::Q4_0], false);
        pages.write(0, &[(&ones, &ones)]).unwrap();
        let fork = pages.clone();
        let twos = (&ones * 2.0).unwrap().narrow(1, 0, 10).unwrap();
        pages.write(290, &[(&twos, &twos)]).unwrap();
        let key = |pages: &RowPages, at: usize| {
            let mut room = Vec::new();
            RowsFrom { kept: &pages.keys, first: 0 }.rows(0, at..at + 1, &mut room).0[0]
        };
        let near = |x: f32, expected: f32| (x - expected).abs() < 1e-3;
        assert!(near(key(&pages, 289), 1.0) && near(key(&pages, 290), 2.0) && near(key(&fork, 290), 1.0));
        let sides: [fn(&RowPages) -> &Kept; 2] = [|pages| &pages.keys, |pages| &pages.values];
        for kept in sides {
            let shared = |page: usize| Arc::ptr_eq(&kept(&pages).heads[0][page], &kept(&fork).heads[0][page]);
            assert!(shared(0) && !shared(1), "a page nobody wrote into is shared");
        }
    }

    #[test]
    fn numbers_of_another_shape_are_refused() {
        let mut pages = RowPages::new([2, 4, 0], [Form::Q8_0; 2], false);
        for shape in [(1, 3, 4), (2, 3, 5)] {
            let wrong = Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
            assert!(pages.write(0, &[(&wrong, &wrong)]).is_err());
        }
    }

    #[test]
    fn blocks_are_those_of_candle_and_of_the_gguf_package_to_the_bit() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/cache_blocks.safetensors");
        let golden = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
        let x = &golden["x"]; // [blocks, 32]
        let numbers = x.to_vec2::<f32>().unwrap();
        for (name, form, of_candle) in
            [("q8_0", Form::Q8_0, GgmlDType::Q8_0), ("q4_0", Form::Q4_0, GgmlDType::Q4_0)]
        {
            let expected = golden[name].to_vec2::<u8>().unwrap();
            let read = golden[&format!("{name}_read")].to_vec2::<f32>().unwrap();
            let candle = QTensor::quantize(x, of_candle).unwrap();
            assert_eq!(candle.data().unwrap().as_ref(), expected.concat(), "{name} of candle");
            for ((row, expected), read) in numbers.iter().zip(&expected).zip(&read) {
                let mut bytes = vec![0; form.row_bytes(row.len())];
                form.keep(row, &mut bytes);
                assert_eq!(&bytes, expected, "{name} of {row:?}");
                let mut found = vec![0.0; row.len()];
                form.widen(&bytes, &mut found);
                assert_eq!(&found, read, "{name} of {row:?}");
            }
        }
    }
}

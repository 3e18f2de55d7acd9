//! Linear maps, in the precision of their weights.

use std::cell::OnceCell;
use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp2, DType, Device, Layout, Result, Shape, Tensor};

use crate::attention::{contiguous, with_f32};
use crate::kernel::{self, Kept, Stored, bf16, int8};
use crate::spec::Activation;
use crate::spec::Dtype;
use crate::weights::{Matrix, Weights};

/// `y = x Wᵀ + b`, with `x`, `b` and `y` in f32.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Weight,
    /// Whether many rows are multiplied in parts of bf16.
    in_parts: bool,
    bias: Option<Tensor>, // [out]
}

#[derive(Debug, Clone)]
enum Weight {
    /// `[out, in]`, in any dtype and on any device.
    Tensor(Tensor),
    /// For the bf16 kernels of the CPU.
    Packed(Arc<bf16::Matrix>),
    /// As a file has it, for products of f32.
    Kept(Kept),
    /// For the integer kernels of the CPU.
    Integers(Arc<int8::Matrix>),
}

impl Linear {
    /// A map with `weight` `[out, in]` and `bias` `[out]`, both in f32; the weight is kept as `dtype`.
    ///
    /// # Errors
    /// When the device is out of memory.
    pub fn new(weight: &Tensor, bias: Option<Tensor>, dtype: Dtype) -> Result<Self> {
        let weight = match dtype {
            Dtype::Bf16 if weight.device().is_cpu() => {
                let (n, k) = weight.dims2()?;
                Weight::Packed(Arc::new(with_f32(weight, |w| bf16::Matrix::round(w, n, k))?))
            }
            Dtype::Int8 if weight.device().is_cpu() => {
                let (n, k) = weight.dims2()?;
                match with_f32(weight, |w| int8::Matrix::round(w, n, k))? {
                    Some(matrix) => Weight::Integers(Arc::new(matrix)),
                    None => candle_core::bail!("a matrix of {n} rows of {k} numbers"),
                }
            }
            _ => Weight::Tensor(weight.to_dtype(dtype.tensor())?),
        };
        Ok(Self { weight, in_parts: dtype == Dtype::Bf16x2, bias })
    }

    /// The same for a matrix that may be as its file has it, which then is kept.
    ///
    /// # Errors
    /// When the device is out of memory.
    pub(crate) fn of(matrix: &Matrix, bias: Option<Tensor>, dtype: Dtype) -> Result<Self> {
        let weight = match (matrix, dtype) {
            (Matrix::Numbers(weight), _) => return Self::new(weight, bias, dtype),
            (Matrix::Blocks(blocks), Dtype::Bf16) => {
                Weight::Packed(Arc::new(bf16::Matrix::kept(blocks.clone())))
            }
            (Matrix::Blocks(blocks), Dtype::Int8) => {
                Weight::Integers(Arc::new(int8::Matrix::kept(blocks.clone())))
            }
            (Matrix::Blocks(blocks), _) => Weight::Kept(Kept::new(blocks.clone(), dtype == Dtype::F16)),
        };
        Ok(Self { weight, in_parts: dtype == Dtype::Bf16x2, bias })
    }

    /// The map stored here, of `shape` `[out, in]`.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub(crate) fn load(
        weights: &Weights<'_>,
        shape: [usize; 2],
        with_bias: bool,
    ) -> crate::error::Result<Self> {
        let bias = if with_bias { Some(weights.get("bias", &shape[..1])?) } else { None };
        Ok(Self::of(&weights.matrix("weight", shape)?, bias, weights.dtype())?)
    }

    /// Hands the rows of its weight to `then` where it is on the CPU and multiplied in f32, and takes rows of
    /// `k` numbers.
    fn in_f32<T>(&self, k: usize, then: impl FnOnce(&dyn Stored) -> Result<Option<T>>) -> Result<Option<T>> {
        match &self.weight {
            Weight::Kept(kept) if kept.shape()[1] == k => then(kept),
            Weight::Tensor(weight)
                if weight.device().is_cpu() && weight.dtype() == DType::F32 && weight.dim(1)? == k =>
            {
                with_f32(weight, |weight| then(&weight))?
            }
            _ => Ok(None),
        }
    }

    /// `y` and its bias, where it has one.
    fn with_bias(&self, y: Tensor) -> Result<Tensor> {
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }

    /// Whether its weight is for the bf16 kernels of the CPU.
    pub(super) fn is_packed(&self) -> bool {
        matches!(self.weight, Weight::Packed(_))
    }

    /// Its weight for the integer kernels, where it is for those and takes rows of `k` numbers.
    fn in_integers(&self, k: usize) -> Option<&int8::Matrix> {
        match &self.weight {
            Weight::Integers(matrix) => Some(&**matrix).filter(|matrix| matrix.k() == k),
            _ => None,
        }
    }

    /// `x` `[t, in]` to `[t, out]`.
    ///
    /// # Errors
    /// When shapes do not fit together.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.apply(&Input::new(x)?)
    }

    /// The same for rows that other maps take as well.
    pub(super) fn apply(&self, input: &Input) -> Result<Tensor> {
        let x = &input.x;
        let (m, k) = x.dims2()?;
        if self.in_parts && m > kernel::MOST_ROWS {
            let product = |w: &dyn Stored| {
                let [product] = bf16::many_rows_of(input.in_parts()?, [w]);
                Ok(Some(product))
            };
            if let Some(product) = self.in_f32(k, product)? {
                let n = product.len() / m;
                return self.with_bias(Tensor::from_vec(product, (m, n), &Device::Cpu)?);
            }
        }
        let y = match &self.weight {
            Weight::Packed(matrix) => product(input.rounded()?, matrix)?,
            Weight::Kept(matrix) => product_with_kept(x, matrix)?,
            Weight::Integers(matrix) => {
                let [product] = products_in_integers(input, [&**matrix])?;
                product
            }
            Weight::Tensor(weight) if !x.device().is_cpu() => {
                x.to_dtype(weight.dtype())?.matmul(&weight.t()?)?.to_dtype(DType::F32)?
            }
            Weight::Tensor(weight) => x.apply_op2_no_bwd(weight, &Product)?,
        }; // [t, out]
        self.with_bias(y)
    }
}

/// Rows `[t, in]` that maps are applied to, rounded once for all of those that want them so.
pub(super) struct Input {
    x: Tensor, // [t, in]
    rounded: OnceCell<bf16::Rows>,
    in_parts: OnceCell<bf16::RowsInParts>,
    integers: OnceCell<int8::Rows>,
}

impl Input {
    /// `x` `[t, in]`. Rank 2 only: candle 0.11.1 multiplies transposed views of rank 3 wrongly.
    pub(super) fn new(x: &Tensor) -> Result<Self> {
        x.dims2()?;
        Ok(Self {
            x: x.contiguous()?,
            rounded: OnceCell::new(),
            in_parts: OnceCell::new(),
            integers: OnceCell::new(),
        })
    }

    fn rounded(&self) -> Result<&bf16::Rows> {
        self.once(&self.rounded, bf16::Rows::round)
    }

    fn in_parts(&self) -> Result<&bf16::RowsInParts> {
        self.once(&self.in_parts, bf16::RowsInParts::split)
    }

    fn integers(&self) -> Result<&int8::Rows> {
        self.once(&self.integers, int8::Rows::round)
    }

    /// The rows as they are once they have been rounded.
    fn once<'a, T>(&self, rounded: &'a OnceCell<T>, round: fn(&[f32], usize, usize) -> T) -> Result<&'a T> {
        if let Some(rows) = rounded.get() {
            return Ok(rows);
        }
        let (m, k) = self.x.dims2()?;
        let rows = with_f32(&self.x, |x| round(x, m, k))?;
        Ok(rounded.get_or_init(|| rows))
    }
}

/// The gate and the up projection of an MLP and its down projection, `down(act(gate x) * up x)`, for the bf16
/// kernels of the CPU.
#[derive(Debug, Clone)]
pub(super) struct PackedMlp {
    gate_up: Arc<bf16::Matrix>,
    down: Arc<bf16::Matrix>,
    inner: usize,
}

impl PackedMlp {
    /// Of `gate` and `up` `[inner, hidden]` and `down` `[hidden, inner]`, all on the CPU.
    pub(super) fn new([gate, up, down]: &[Matrix; 3]) -> Result<Self> {
        let (gate_up, inner) = match (gate, up) {
            (Matrix::Blocks(gate), Matrix::Blocks(up)) if gate.shape() == up.shape() => {
                (bf16::Matrix::kept_interleaved(gate.clone(), up.clone()), gate.shape()[0])
            }
            _ => {
                let (gate, up) = (gate.numbers()?, up.numbers()?);
                let (inner, hidden) = gate.dims2()?;
                let interleaved =
                    |gate: &[f32], up: &[f32]| bf16::Matrix::interleaved(gate, up, inner, hidden);
                (with_f32(&gate, |gate| with_f32(&up, |up| interleaved(gate, up)))??, inner)
            }
        };
        let down = match down {
            Matrix::Blocks(blocks) => bf16::Matrix::kept(blocks.clone()),
            Matrix::Numbers(down) => {
                let (hidden, inner) = down.dims2()?;
                with_f32(down, |down| bf16::Matrix::round(down, hidden, inner))?
            }
        };
        Ok(Self { gate_up: Arc::new(gate_up), down: Arc::new(down), inner })
    }

    /// `input` `[t, hidden]` to `[t, hidden]`.
    pub(super) fn forward(&self, act: Activation, input: &Input) -> Result<Tensor> {
        let rows = input.rounded()?;
        if rows.k() != self.gate_up.k() {
            candle_core::bail!("{} numbers a row meet a matrix for {}", rows.k(), self.gate_up.k());
        }
        product(&bf16::gated(rows, &self.gate_up, self.inner, act.kernel()), &self.down)
    }
}

/// What three maps make of the same rows `[t, in]`: `[t, out]` each, of one product where all of them
/// multiply in f32 on the CPU.
///
/// # Errors
/// When shapes do not fit together.
pub(super) fn apply_three(maps: [&Linear; 3], input: &Input) -> Result<[Tensor; 3]> {
    let (m, k) = input.x.dims2()?;
    let [a, b, c] = maps;
    let in_parts = a.in_parts && b.in_parts && c.in_parts;
    let products = |matrices: [&dyn Stored; 3]| {
        let products = match m {
            1..=kernel::MOST_ROWS => with_f32(&input.x, |x| kernel::few_rows_of(x, matrices, [m, k]))?,
            _ if in_parts => bf16::many_rows_of(input.in_parts()?, matrices),
            _ => with_f32(&input.x, |x| kernel::many_rows_of(x, matrices, [m, k]))?,
        };
        Ok(Some(products))
    };
    if let (Some(x), Some(y), Some(z)) = (a.in_integers(k), b.in_integers(k), c.in_integers(k)) {
        let [x, y, z] = products_in_integers(input, [x, y, z])?;
        return Ok([a.with_bias(x)?, b.with_bias(y)?, c.with_bias(z)?]);
    }
    let together = match m {
        0 => None,
        _ => a.in_f32(k, |a| b.in_f32(k, |b| c.in_f32(k, |c| products([a, b, c]))))?,
    };
    let Some(products) = together else { return Ok([a.apply(input)?, b.apply(input)?, c.apply(input)?]) };
    let [of_a, of_b, of_c] = products;
    let output = |map: &Linear, product: Vec<f32>| {
        let n = product.len() / m;
        map.with_bias(Tensor::from_vec(product, (m, n), &Device::Cpu)?)
    };
    Ok([output(a, of_a)?, output(b, of_b)?, output(c, of_c)?])
}

/// `act(gate x) * up x` of the rows `x` `[t, in]`, `[t, inner]`, where both are maps in f32 or in integers on
/// the CPU without biases; `None` where it is two products and their gate.
///
/// # Errors
/// When shapes do not fit together.
pub(super) fn gated(gate: &Linear, up: &Linear, act: Activation, x: &Tensor) -> Result<Option<Tensor>> {
    let (m, k) = x.dims2()?;
    if gate.bias.is_some() || up.bias.is_some() {
        return Ok(None);
    }
    if let (Some(gate), Some(up)) = (gate.in_integers(k), up.in_integers(k)) {
        let [gate, up] = products_in_integers(&Input::new(x)?, [gate, up])?; // [t, inner] each
        return Ok(Some(act.gate(&gate, &up)?));
    }
    let inner = |g: &dyn Stored, u: &dyn Stored| {
        let n = g.rows(k);
        if u.rows(k) != n {
            candle_core::bail!("{n} gates meet {} numbers", u.rows(k));
        }
        let inner = match m {
            0 => Vec::new(),
            1..=kernel::MOST_ROWS => {
                with_f32(x, |x| kernel::few_gated_rows(x, [g, u], [m, k], act.kernel()))?
            }
            _ if gate.in_parts && up.in_parts => {
                bf16::gated_rows(Input::new(x)?.in_parts()?, [g, u], act.kernel())
            }
            _ => with_f32(x, |x| kernel::gated_rows(x, [g, u], [m, k], act.kernel()))?,
        };
        Ok(Some(Tensor::from_vec(inner, (m, n), &Device::Cpu)?))
    };
    gate.in_f32(k, |g| up.in_f32(k, |u| inner(g, u)))
}

/// `x [m, k] · wᵀ` for packed `w [n, k]`.
fn product(x: &bf16::Rows, w: &bf16::Matrix) -> Result<Tensor> {
    if x.k() != w.k() {
        candle_core::bail!("{} numbers a row meet a matrix for {}", x.k(), w.k());
    }
    Tensor::from_vec(bf16::multiply(x, w), (x.m(), w.n()), &Device::Cpu)
}

/// `x [m, k] · wᵀ` for several `w [n, k]` in integers: `[m, n]` each.
fn products_in_integers<const N: usize>(input: &Input, w: [&int8::Matrix; N]) -> Result<[Tensor; N]> {
    let rows = input.integers()?;
    if let Some(other) = w.iter().find(|w| w.k() != rows.k()) {
        candle_core::bail!("{} numbers a row meet a matrix for {}", rows.k(), other.k());
    }
    let tensors = int8::multiply(rows, w)
        .into_iter()
        .zip(w)
        .map(|(product, w)| Tensor::from_vec(product, (rows.m(), w.n()), &Device::Cpu));
    let tensors = tensors.collect::<Result<Vec<_>>>()?;
    tensors.try_into().map_err(|_| candle_core::Error::msg("a product for each matrix"))
}

/// `x [m, k] · wᵀ` for `w [n, k]` in blocks, to the bit what the numbers in memory give.
fn product_with_kept(x: &Tensor, w: &Kept) -> Result<Tensor> {
    let ((m, k), [n, w_k]) = (x.dims2()?, w.shape());
    if k != w_k {
        candle_core::bail!("{k} numbers a row meet a matrix for {w_k}");
    }
    Tensor::from_vec(with_f32(x, |x| rows_times(x, w, m, k))?, (m, n), &Device::Cpu)
}

/// `x [m, k] · wᵀ` for `w [n, k]`: `[m, n]`.
fn rows_times(x: &[f32], w: &impl Stored, m: usize, k: usize) -> Vec<f32> {
    match m {
        0 => Vec::new(),
        1..=kernel::MOST_ROWS => kernel::few_rows(x, w, m, k),
        _ => kernel::many_rows(x, w, m, k),
    }
}

/// `x [m, k] · wᵀ` for `w [n, k]` in f32 or f16. Inference only: it has no backward pass.
struct Product;

impl CustomOp2 for Product {
    fn name(&self) -> &'static str {
        "rows-times-matrix"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_at: &Layout,
        w: &CpuStorage,
        w_at: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((m, k), (n, w_k)) = (x_at.shape().dims2()?, w_at.shape().dims2()?);
        let Some((start, end)) = w_at.contiguous_offsets().filter(|_| k == w_k) else {
            candle_core::bail!("{k} numbers a row meet a matrix for {w_k}");
        };
        let x = contiguous(x, x_at)?;
        let product = match w {
            CpuStorage::F16(w) => rows_times(x, &&w[start..end], m, k),
            w => rows_times(x, &&w.as_slice::<f32>()?[start..end], m, k),
        };
        Ok((CpuStorage::F32(product), (m, n).into()))
    }
}

#[cfg(test)]
mod kept_tests;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::random::numbers;
    use crate::rng::Rng;
    use crate::spec::DTYPES;
    use candle_core::Device;

    /// candle 0.11.1 gives wrong numbers for a transposed view times a broadcast weight; rank 2 must stay
    /// right.
    #[test]
    fn a_transposed_view_multiplies_rightly() {
        // [4, 3]
        let x = Tensor::arange(0f32, 12.0, &Device::Cpu).unwrap().reshape((3, 4)).unwrap().t().unwrap();
        let weight = Tensor::arange(0f32, 6.0, &Device::Cpu).unwrap().reshape((2, 3)).unwrap();
        for entry in DTYPES {
            let linear = Linear::new(&weight, None, entry.value).unwrap();
            let y = linear.forward(&x).unwrap().to_vec2::<f32>().unwrap();
            let expected = [1.0 * 0.0 + 5.0 * 1.0 + 9.0 * 2.0, 1.0 * 3.0 + 5.0 * 4.0 + 9.0 * 5.0];
            // In integers 9 and 5 are 127 steps, and the others are no whole ones.
            let within = if entry.value == Dtype::Int8 { 0.5 } else { 0.0 };
            let close = y[1].iter().zip(expected).all(|(y, expected)| (y - expected).abs() <= within);
            assert!(close, "{}: {:?}", entry.name, y[1]);
        }
    }

    #[test]
    fn every_dtype_multiplies_what_it_has_rounded_whatever_the_number_of_rows() {
        let mut rng = Rng::new(23);
        let (k, n) = (70, 45);
        let weight = Tensor::from_vec(numbers(&mut rng, n * k, 1.0), (n, k), &Device::Cpu).unwrap();
        let bias = Tensor::from_vec(numbers(&mut rng, n, 1.0), n, &Device::Cpu).unwrap();
        for entry in DTYPES {
            let linear = Linear::new(&weight, Some(bias.clone()), entry.value).unwrap();
            for m in [1, kernel::MOST_ROWS, kernel::MOST_ROWS + 1, 50] {
                let x = Tensor::from_vec(numbers(&mut rng, m * k, 1.0), (m, k), &Device::Cpu).unwrap();
                let round =
                    |tensor: &Tensor, dtype| tensor.to_dtype(dtype).unwrap().to_dtype(DType::F64).unwrap();
                let inputs = if entry.value == Dtype::Bf16 { DType::BF16 } else { DType::F32 };
                let within = match entry.value {
                    // In integers inputs and weights are off by up to half of a 127th of the largest.
                    Dtype::Int8 => 0.2,
                    // Of 70 products up to 1, each is off by 3 times 2^-17 at most, seldom all one way.
                    Dtype::Bf16x2 => 1e-4,
                    _ => 1e-5,
                };
                let rounded = round(&weight, entry.value.tensor()).t().unwrap();
                let exact = round(&x, inputs).matmul(&rounded).unwrap();
                let exact = exact.broadcast_add(&round(&bias, DType::F32)).unwrap();
                let found = linear.forward(&x).unwrap().to_dtype(DType::F64).unwrap();
                let off = (found - exact).unwrap().abs().unwrap().max_all().unwrap();
                let off = off.to_scalar::<f64>().unwrap();
                assert!(off < within, "{} with {m} rows: off by {off}", entry.name);
            }
        }
    }

    #[test]
    fn rows_of_another_width_are_an_error() {
        let weight = Tensor::zeros((3, 4), DType::F32, &Device::Cpu).unwrap();
        let x = Tensor::zeros((2, 5), DType::F32, &Device::Cpu).unwrap();
        for entry in DTYPES {
            assert!(Linear::new(&weight, None, entry.value).unwrap().forward(&x).is_err(), "{}", entry.name);
        }
    }
}

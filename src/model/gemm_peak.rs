//! The speed of a matrix multiply that has the machine to itself: what linear maps are measured against.

use std::sync::Arc;
use std::time::{Duration, Instant};

use candle_core::{DType, Device, Result, Tensor};

use super::linear::Linear;
use crate::spec::Dtype;
use crate::weights::{Blocks, Matrix};

/// Rows of the left side, and numbers along and across of the right side: shapes on which kernels come close
/// to their best. None has sides that are powers of two, whose strides fall on each other in the caches.
const SHAPES: [[usize; 3]; 3] = [[768, 768, 3072 + 96], [768, 1536 + 96, 1536 + 96], [768, 3072 + 96, 768]];

/// Multiplies of favourable shapes by the kernel of one dtype, with the time that each shape has taken so
/// far.
#[derive(Debug)]
pub struct GemmPeak {
    shapes: Vec<Shape>,
}

#[derive(Debug)]
struct Shape {
    map: Linear,
    x: Tensor, // [rows, inputs]
    operations: f64,
    taken: Duration,
    multiplied: u32,
}

/// A matrix in blocks of few bits, which every kernel of integers multiplies at its best.
fn four_bits(shape: [usize; 2]) -> Result<Matrix> {
    let Some(blocks) = Blocks::zeros("Q4_0", shape) else {
        candle_core::bail!("{shape:?} is no whole blocks")
    };
    Ok(Matrix::Blocks(Arc::new(blocks)))
}

impl GemmPeak {
    /// The multiplies of `dtype`; each has run once, uncounted.
    ///
    /// # Errors
    /// When the device fails.
    pub fn new(dtype: Dtype, device: &Device) -> Result<Self> {
        let shape = |[rows, inputs, outputs]: [usize; 3]| {
            let shape = Shape {
                map: match dtype {
                    Dtype::Int8 => Linear::of(&four_bits([outputs, inputs])?, None, dtype)?,
                    // Numbers that f16 holds and whose products stay small.
                    _ => Linear::new(&Tensor::full(0.03125f32, (outputs, inputs), device)?, None, dtype)?,
                },
                x: Tensor::ones((rows, inputs), DType::F32, device)?,
                operations: 2.0 * (rows * inputs * outputs) as f64,
                taken: Duration::ZERO,
                multiplied: 0,
            };
            shape.map.forward(&shape.x)?;
            Ok(shape)
        };
        Ok(Self { shapes: SHAPES.into_iter().map(shape).collect::<Result<_>>()? })
    }

    /// Multiplies each shape once.
    ///
    /// # Errors
    /// When the device fails.
    pub fn multiply(&mut self) -> Result<()> {
        for shape in &mut self.shapes {
            let started = Instant::now();
            shape.map.forward(&shape.x)?;
            shape.x.device().synchronize()?;
            shape.taken += started.elapsed();
            shape.multiplied += 1;
        }
        Ok(())
    }

    /// Operations a second of the fastest shape since the last call; a multiply and an add are two.
    pub fn take_rate(&mut self) -> f64 {
        let rate = |shape: &mut Shape| {
            let taken = std::mem::take(&mut shape.taken).as_secs_f64();
            f64::from(std::mem::take(&mut shape.multiplied)) * shape.operations / taken.max(1e-9)
        };
        self.shapes.iter_mut().map(rate).fold(0.0, f64::max)
    }
}

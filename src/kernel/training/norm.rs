//! The backward pass of RMSNorm (arXiv 1910.07467): `y = w x r`, `r = 1 / sqrt(mean(x²) + eps)`, over rows of
//! `w.len()` numbers.

use crate::kernel::for_every_instruction_set;
use crate::kernel::lanes::dot;

for_every_instruction_set! {
    /// With `u = x r`: `dx += r (w dy - u mean(u w dy))` and `dw += dy u`.
    fn rms_norm_backward = rms_norm_backward_plain(
        dy: &[f32], x: &[f32], weight: &[f32], r: &[f32], dx: &mut [f32], dw: &mut [f32])
}

#[inline(always)]
fn rms_norm_backward_plain(dy: &[f32], x: &[f32], weight: &[f32], r: &[f32], dx: &mut [f32], dw: &mut [f32]) {
    let width = weight.len();
    let mut scaled = vec![0f32; width]; // x w
    let rows = dy.chunks_exact(width).zip(x.chunks_exact(width)).zip(dx.chunks_exact_mut(width));
    for (((dy, x), dx), &r) in rows.zip(r) {
        for ((scaled, x), w) in scaled.iter_mut().zip(x).zip(weight) {
            *scaled = x * w;
        }
        // mean(u w dy) r, as u = x r.
        let mean = dot(&scaled, dy) * r * r / width as f32;
        for (((dx, dw), (x, dy)), w) in dx.iter_mut().zip(dw.iter_mut()).zip(x.iter().zip(dy)).zip(weight) {
            *dw += dy * x * r;
            *dx += r * (w * dy - x * mean);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::norm::{rms_norm_rows, rms_norm_rows_plain};
    use crate::kernel::random::numbers;
    use crate::rng::Rng;

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        let mut rng = Rng::new(1);
        for width in [128, 37] {
            let [x, dy, mut dx] = [(); 3].map(|()| numbers(&mut rng, 3 * width, 2.0));
            let [weight, mut dw] = [(); 2].map(|()| numbers(&mut rng, width, 1.0));
            let (mut y, mut r) = (vec![0.0; 3 * width], vec![0.0; 3]);
            let (mut plain_y, mut plain_r) = (y.clone(), r.clone());
            rms_norm_rows(&x, &weight, 1e-6, &mut y, &mut r);
            rms_norm_rows_plain(&x, &weight, 1e-6, &mut plain_y, &mut plain_r);
            assert_eq!((&y, &r), (&plain_y, &plain_r));
            let (mut plain_dx, mut plain_dw) = (dx.clone(), dw.clone());
            rms_norm_backward(&dy, &x, &weight, &r, &mut dx, &mut dw);
            rms_norm_backward_plain(&dy, &x, &weight, &r, &mut plain_dx, &mut plain_dw);
            assert_eq!((dx, dw), (plain_dx, plain_dw));
        }
    }
}

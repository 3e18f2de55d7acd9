//! Loops over f32 on the CPU that decide the speed of a run, compiled for every instruction set they can use.
//!
//! Each kernel is one plain function. [`for_every_instruction_set`] compiles it again for AVX-512 and AVX2
//! and picks at run time ([`cpu`]), so the binary runs on any processor. Lanes and the order of sums are
//! written out and nothing is contracted, so every instruction set gives the same bits; a test of each kernel
//! holds them together.

pub(crate) mod bf16;
mod blocks;
pub(crate) mod cached;
mod conv;
pub(crate) mod cpu;
mod delta;
#[cfg(target_arch = "x86_64")]
mod dots;
mod elementwise;
mod exp;
mod fetch;
mod gated;
mod gated_norm;
pub(crate) mod gemm;
pub(crate) mod ggml;
mod heads;
pub(crate) mod int8;
mod kept;
mod lanes;
mod lines;
mod matmul;
mod norm;
mod relevance;
mod rescale;
pub(crate) mod scan;
mod screening;
pub(crate) mod single;
mod softmax;
pub(crate) mod training;
mod weighted;

pub(crate) use conv::causal_conv;
pub(crate) use delta::{DeltaHeads, DeltaRows, delta_rule};
pub(crate) use elementwise::{scale_rows, sum};
pub(crate) use gated::{Gate, gated, gelu_tanh_gate, silu_gate};
pub(crate) use gated_norm::{GatedNorm, gated_head_norm};
pub use ggml::Blocks;
pub(crate) use heads::{Turn, split_heads};
pub(crate) use kept::Kept;
pub(crate) use matmul::{MOST_ROWS, Stored, few_gated_rows, few_products, few_rows, few_rows_of};
pub(crate) use norm::{rms_norm, rms_norm_groups, rms_norm_rows};
pub(crate) use relevance::{add_passed, relevances, softmasks};
pub(crate) use screening::{gated_tanh_norm, unit_heads};
pub(crate) use single::{gated_rows, many_rows, many_rows_of};
pub(crate) use softmax::{Running, online_softmax};
pub(crate) use weighted::add_weighted;

/// Numbers handled side by side: one AVX-512 register, two AVX2 registers, four NEON registers.
pub(crate) const LANES: usize = 16;

/// Defines `$name` as `$plain`, compiled for the best instruction set that the processor has.
macro_rules! for_every_instruction_set {
    ($(#[$doc:meta])* fn $name:ident = $plain:ident($($arg:ident: $type:ty),*) $(-> $result:ty)?) => {
        $(#[$doc])*
        pub(crate) fn $name($($arg: $type),*) $(-> $result)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f")]
                fn avx512($($arg: $type),*) $(-> $result)? {
                    $plain($($arg),*)
                }
                #[target_feature(enable = "avx2")]
                fn avx2($($arg: $type),*) $(-> $result)? {
                    $plain($($arg),*)
                }
                if $crate::kernel::cpu::has($crate::kernel::cpu::Set::Avx512) {
                    // SAFETY: the processor has AVX-512F.
                    return unsafe { avx512($($arg),*) };
                }
                if $crate::kernel::cpu::has($crate::kernel::cpu::Set::Avx2) {
                    // SAFETY: the processor has AVX2.
                    return unsafe { avx2($($arg),*) };
                }
            }
            $plain($($arg),*)
        }
    };
}
pub(crate) use for_every_instruction_set;

#[cfg(test)]
pub(crate) mod random {
    use crate::rng::Rng;

    /// `count` numbers between `-scale` and `scale`.
    pub(crate) fn numbers(rng: &mut Rng, count: usize, scale: f64) -> Vec<f32> {
        (0..count).map(|_| (scale * (2.0 * rng.unit() - 1.0)) as f32).collect()
    }
}

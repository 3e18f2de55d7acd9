//! A fork of a cache in pages by length: what a prompt that shares a prefix costs before its first own token
//! is computed. SmolLM2's shape (3 key-value heads of width 64), one layer; the fork then writes one key and
//! value of its own, which copies the last page of each head.

use std::hint::black_box;

use candle_core::{DType, Device, Tensor};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use niah::attention::Pages;

const KV_HEADS: usize = 3;
const HEAD_DIM: usize = 64;

fn ones(tokens: usize) -> Tensor {
    Tensor::ones((KV_HEADS, tokens, HEAD_DIM), DType::F32, &Device::Cpu).expect("a tensor")
}

fn fork_by_length(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fork of a cache");
    group.sample_size(20);
    let one = ones(1);
    for length in [512, 8 << 10, 128 << 10] {
        // One token into the last page.
        let held = ones(length + 1);
        let mut pages = Pages::new([KV_HEADS, HEAD_DIM, held.dim(1).expect("tokens")]);
        pages.write(0, &[(&held, &held)]).expect("pages");
        group.bench_function(BenchmarkId::from_parameter(length), |bencher| {
            bencher.iter(|| {
                let mut fork = pages.clone();
                fork.write(length + 1, &[(&one, &one)]).expect("pages");
                black_box(fork)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, fork_by_length);
criterion_main!(benches);

//! Attention of one layer by length: SmolLM2's shape (9 query heads, 3 key-value heads of width 64), the last
//! 512 queries of a prompt against all of it.

use std::hint::black_box;

use candle_core::{Device, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use niah::attention::variant::{VARIANTS, VariantInputs};
use niah::attention::{self, AttentionContext, Window};
use niah::model::kv_cache::{KV_DTYPES, KvCache};
use niah::rng::Rng;
use niah::spec::LayerSpec;

const HEADS: usize = 9;
const KV_HEADS: usize = 3;
const HEAD_DIM: usize = 64;
const QUERIES: usize = 512;

fn random(rng: &mut Rng, heads: usize, rows: usize) -> Tensor {
    let numbers: Vec<f32> = (0..heads * rows * HEAD_DIM).map(|_| rng.unit() as f32 - 0.5).collect();
    Tensor::from_vec(numbers, (heads, rows, HEAD_DIM), &Device::Cpu).expect("a tensor")
}

fn attention_by_length(criterion: &mut Criterion) {
    let mut rng = Rng::new(0);
    let layers = [LayerSpec::default()];
    let inputs = VariantInputs {
        layers: &layers,
        heads: HEADS,
        training_length: Some(1024),
        ..VariantInputs::default()
    };
    let mut group = criterion.benchmark_group("attention of 512 queries");
    group.sample_size(10);
    for length in [512, 2048, 8192] {
        let queries = random(&mut rng, HEADS, QUERIES);
        let (keys, values) = (random(&mut rng, KV_HEADS, length), random(&mut rng, KV_HEADS, length));
        let mut caches: Vec<_> =
            KV_DTYPES.iter().map(|entry| (entry.name, KvCache::new(1, length, entry.value))).collect();
        let caches: Vec<_> = caches
            .iter_mut()
            .map(|(name, cache)| (*name, cache.append(0, &[(&keys, &values)]).expect("room")))
            .collect();
        // Each query meets on average length - 256 keys, with a multiply and an add for its key and for its
        // value.
        let operations = 4 * HEADS * HEAD_DIM * QUERIES * (length - QUERIES / 2);
        group.throughput(Throughput::Elements(operations as u64));
        for name in ["softmax", "ssmax"] {
            let entry = niah::registry::find("variant", VARIANTS, name).expect("a known variant");
            let variant = (entry.value)(&inputs).expect("a variant");
            let context = AttentionContext {
                layer: 0,
                first_position: length - QUERIES,
                scale: 0.125,
                window: Window::Full,
                softcap: None,
                bias: None,
                blocked: &[],
                variant: variant.as_ref(),
                multipliers: None,
            };
            for (dtype, cached) in &caches {
                group.bench_function(BenchmarkId::new(format!("{name} {dtype}"), length), |bencher| {
                    bencher.iter(|| {
                        let mixed = attention::attend(&queries, cached, context);
                        black_box(mixed.expect("mixed values"))
                    });
                });
            }
        }
    }
    group.finish();
}

criterion_group!(benches, attention_by_length);
criterion_main!(benches);

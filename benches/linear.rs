//! Linear maps by shape, number of rows and dtype: those of SmolLM2-135M, and one of a model of 1B
//! parameters.

use std::hint::black_box;

use candle_core::{Device, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use niah::model::linear::Linear;
use niah::rng::Rng;
use niah::spec::DTYPES;

fn random(rng: &mut Rng, rows: usize, columns: usize) -> Tensor {
    let numbers: Vec<f32> = (0..rows * columns).map(|_| rng.unit() as f32 - 0.5).collect();
    Tensor::from_vec(numbers, (rows, columns), &Device::Cpu).expect("a tensor")
}

fn linear_by_shape(criterion: &mut Criterion) {
    let mut rng = Rng::new(0);
    for (inputs, outputs) in [(576, 576), (576, 1536), (1536, 576), (2048, 8192)] {
        let weight = random(&mut rng, outputs, inputs);
        let mut group = criterion.benchmark_group(format!("{inputs} to {outputs}"));
        group.sample_size(10);
        for rows in [1, 16, 512] {
            let x = random(&mut rng, rows, inputs);
            group.throughput(Throughput::Elements(2 * (rows * inputs * outputs) as u64));
            for entry in DTYPES {
                let linear = Linear::new(&weight, None, entry.value).expect("a linear map");
                group.bench_function(BenchmarkId::new(entry.name, rows), |bencher| {
                    bencher.iter(|| black_box(linear.forward(&x).expect("a product")));
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, linear_by_shape);
criterion_main!(benches);

//! Screening of one layer by window and acceptance width, against softmax in the kernel of the same kind: the
//! last 512 queries of a prompt of 32k tokens. Eight tiles with keys of width 16 and values of width 64 stand
//! beside eight heads of width 64.
//!
//! Keys are random: of pairs of them 2 % pass at acceptance 0.5, 31 % at 0.88.

use std::hint::black_box;

use candle_core::{D, Device, Tensor};
use criterion::{Criterion, criterion_group, criterion_main};
use niah::attention::screening::{Screen, ScreeningContext, screen};
use niah::attention::variant::{VARIANTS, VariantInputs};
use niah::attention::{self, AttentionContext, Cached, Window};
use niah::rng::Rng;

const HEADS: usize = 8;
const KEY_DIM: usize = 16;
const VALUE_DIM: usize = 64;
const QUERIES: usize = 512;
const LENGTH: usize = 32 * 1024;

/// Rows with normal coordinates, as far as the sum of four uniform ones is.
fn random(rng: &mut Rng, rows: usize, width: usize) -> Tensor {
    let normal = |rng: &mut Rng| (0..4).map(|_| rng.unit() as f32 - 0.5).sum::<f32>();
    let numbers: Vec<f32> = (0..HEADS * rows * width).map(|_| normal(rng)).collect();
    Tensor::from_vec(numbers, (HEADS, rows, width), &Device::Cpu).expect("a tensor")
}

fn unit(rng: &mut Rng, rows: usize, width: usize) -> Tensor {
    let x = random(rng, rows, width);
    let norms = x.sqr().and_then(|x| x.sum_keepdim(D::Minus1)).and_then(|x| x.sqrt()).expect("norms");
    x.broadcast_div(&norms).expect("a tensor")
}

fn screening_by_window(criterion: &mut Criterion) {
    let mut rng = Rng::new(0);
    let mut group = criterion.benchmark_group("512 queries at 32k keys");
    group.sample_size(10);

    let queries = random(&mut rng, QUERIES, VALUE_DIM);
    let [keys, values] = [(); 2].map(|()| random(&mut rng, LENGTH, VALUE_DIM));
    let cached = Cached::Tensors { keys, values, in_parts: false };
    let entry = niah::registry::find("variant", VARIANTS, "softmax").expect("a known variant");
    let variant = (entry.value)(&VariantInputs::default()).expect("a variant");
    let context = AttentionContext {
        layer: 0,
        first_position: LENGTH - QUERIES,
        scale: 0.125,
        window: Window::Full,
        softcap: None,
        bias: None,
        blocked: &[],
        variant: variant.as_ref(),
        multipliers: None,
    };
    group.bench_function("softmax", |bencher| {
        bencher.iter(|| black_box(attention::attend(&queries, &cached, context).expect("mixed values")));
    });

    let queries = unit(&mut rng, QUERIES, KEY_DIM);
    let (keys, values) = (unit(&mut rng, LENGTH, KEY_DIM), unit(&mut rng, LENGTH, VALUE_DIM));
    let cached = Cached::Tensors { keys, values, in_parts: false };
    let mut bench = |name: String, screens: [Screen; HEADS]| {
        let context =
            ScreeningContext { layer: 0, first_position: LENGTH - QUERIES, screens: &screens, blocked: &[] };
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(screen(&queries, &cached, context).expect("mixed values")));
        });
    };
    for (window, acceptance) in [
        (16.0, 0.5),
        (256.0, 0.5),
        (256.0, 0.88),
        (4096.0, 0.5),
        (f64::INFINITY, 0.1),
        (f64::INFINITY, 0.5),
        (f64::INFINITY, 0.88),
    ] {
        let name = format!("window {window}, acceptance {acceptance}");
        bench(name, [Screen { window, acceptance }; HEADS]);
    }
    let mut screens = [Screen { window: 16.0, acceptance: 0.88 }; HEADS];
    screens[HEADS - 1].window = f64::INFINITY;
    bench("one tile of eight without a window, acceptance 0.88".to_string(), screens);
    group.finish();
}

criterion_group!(benches, screening_by_window);
criterion_main!(benches);

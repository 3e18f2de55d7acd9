//! Matrices that stay in blocks against the same matrices expanded: every number has the same bits.

use std::sync::Arc;

use rayon::ThreadPoolBuilder;

use super::*;
use crate::kernel::ggml::{TYPES, TensorType};
use crate::kernel::random::numbers;
use crate::rng::Rng;
use crate::spec::DTYPES;
use crate::weights::Blocks;

/// Bytes of a block whose numbers are none of them large.
fn block(kind: &TensorType, rng: &mut Rng) -> Vec<u8> {
    let small = (rng.unit() * 200.0 - 100.0) as i8;
    match kind.name {
        "I8" => small.to_le_bytes().to_vec(),
        "I16" => i16::from(small).to_le_bytes().to_vec(),
        "I32" => i32::from(small).to_le_bytes().to_vec(),
        "I64" => i64::from(small).to_le_bytes().to_vec(),
        "F32" => (rng.unit() as f32).to_le_bytes().to_vec(),
        "F64" => rng.unit().to_le_bytes().to_vec(),
        _ => loop {
            let bytes: Vec<u8> = (0..kind.block_bytes).map(|_| rng.below(256) as u8).collect();
            let mut numbers = vec![0f32; kind.block_size];
            kind.expand_here(&bytes, &mut numbers);
            // Subnormal numbers would be 0 in tile registers, and no quantised weight is one.
            let sound = |x: &f32| x.abs() < 100.0 && (*x == 0.0 || x.abs() > 1e-20);
            if numbers.iter().all(sound) {
                break bytes;
            }
        },
    }
}

fn blocks(kind: &'static TensorType, [n, k]: [usize; 2], factor: Option<f32>, rng: &mut Rng) -> Matrix {
    let bytes = (0..n * k / kind.block_size).flat_map(|_| block(kind, rng)).collect::<Vec<u8>>();
    Matrix::Blocks(Arc::new(Blocks::new(kind, [n, k], bytes, factor).unwrap()))
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

fn rows(m: usize, k: usize, rng: &mut Rng) -> Tensor {
    Tensor::from_vec(numbers(rng, m * k, 1.0), (m, k), &Device::Cpu).unwrap()
}

/// Runs `check` on one thread and on two.
fn on_some_threads(check: impl Fn() + Sync) {
    for threads in [1, 2] {
        ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(&check);
    }
}

/// Checks that products with a matrix are the same, kept and expanded, for so many rows.
fn check(name: &str, matrix: &Matrix, shape: [usize; 2], heights: &[usize], rng: &mut Rng) {
    let inputs: Vec<_> = heights.iter().map(|m| rows(*m, shape[1], rng)).collect();
    let expanded = Matrix::Numbers(matrix.numbers().unwrap());
    // What a file has in blocks is exact in integers, and its numbers are rounded to such.
    for dtype in DTYPES.iter().filter(|dtype| dtype.value != Dtype::Int8) {
        let [kept, expanded] =
            [matrix, &expanded].map(|matrix| Linear::of(matrix, None, dtype.value).unwrap());
        on_some_threads(|| {
            for x in &inputs {
                let [found, expected] = [&kept, &expanded].map(|map| bits(&map.forward(x).unwrap()));
                assert!(found == expected, "{name} {shape:?} in {} with {:?}", dtype.name, x.dims());
            }
        });
    }
}

#[test]
fn every_type_multiplies_from_its_blocks_to_the_bits_of_its_numbers() {
    let mut rng = Rng::new(41);
    for kind in TYPES {
        for (shape, heights) in [([70, 256], &[1, 3, 16, 17][..]), ([33, 768], &[8, 20, 65])] {
            let matrix = blocks(kind, shape, None, &mut rng);
            check(kind.name, &matrix, shape, heights, &mut rng);
        }
    }
}

#[test]
fn any_size_multiplies_from_its_blocks_to_the_bits_of_its_numbers() {
    let mut rng = Rng::new(43);
    let kind = TYPES.iter().find(|kind| kind.name == "Q4_1").unwrap();
    for (shape, factor) in [
        ([1, 32], None),
        ([64, 576], None),
        ([65, 576], Some(0.37)),
        ([97, 544], None),
        ([191, 1056], None),
        ([192, 2080], Some(-1.5)),
        ([300, 64], None),
    ] {
        let matrix = blocks(kind, shape, factor, &mut rng);
        check(kind.name, &matrix, shape, &[1, 2, 9, 16, 17, 64, 65, 130], &mut rng);
    }
}

#[test]
fn a_gated_mlp_in_blocks_gives_the_bits_of_the_expanded_one() {
    let mut rng = Rng::new(47);
    let kind = |name: &str| TYPES.iter().find(|kind| kind.name == name).unwrap();
    let (hidden, inner) = (96, 160);
    let gate = blocks(kind("Q4_0"), [inner, hidden], None, &mut rng);
    let up = blocks(kind("Q8_0"), [inner, hidden], None, &mut rng);
    let down = blocks(kind("Q5_1"), [hidden, inner], None, &mut rng);
    let numbers = |matrix: &Matrix| Matrix::Numbers(matrix.numbers().unwrap());
    let kept = PackedMlp::new(&[gate.clone(), up.clone(), down.clone()]).unwrap();
    let expanded = PackedMlp::new(&[numbers(&gate), numbers(&up), numbers(&down)]).unwrap();
    let mixed = PackedMlp::new(&[gate, numbers(&up), down]).unwrap();
    let inputs: Vec<_> = [1, 8, 9, 40].into_iter().map(|m| rows(m, hidden, &mut rng)).collect();
    on_some_threads(|| {
        for x in &inputs {
            let [kept, expanded, mixed] = [&kept, &expanded, &mixed]
                .map(|mlp| bits(&mlp.forward(Activation::Silu, &Input::new(x).unwrap()).unwrap()));
            assert!(kept == expanded && mixed == expanded, "{:?}", x.dims());
        }
    });
}

#[test]
fn a_gated_mlp_in_one_go_gives_the_bits_of_two_products_and_their_gate() {
    let mut rng = Rng::new(59);
    let kind = |name: &str| TYPES.iter().find(|kind| kind.name == name).unwrap();
    let (hidden, inner) = (96, 70);
    let gate = blocks(kind("Q4_1"), [inner, hidden], None, &mut rng);
    let up = Matrix::Numbers(blocks(kind("BF16"), [inner, hidden], None, &mut rng).numbers().unwrap());
    let [gate, up] = [&gate, &up].map(|matrix| Linear::of(matrix, None, Dtype::F32).unwrap());
    for m in [1, kernel::MOST_ROWS, kernel::MOST_ROWS + 1, 40] {
        let x = rows(m, hidden, &mut rng);
        let act = Activation::Silu;
        let found = gated(&gate, &up, act, &x).unwrap().unwrap();
        let expected = act.gate(&gate.forward(&x).unwrap(), &up.forward(&x).unwrap()).unwrap();
        assert!(bits(&found) == bits(&expected), "{m}");
    }
    // With a bias, in another dtype and of another width it is for the two products.
    let bias = Some(Tensor::zeros(inner, DType::F32, &Device::Cpu).unwrap());
    let weight = Tensor::zeros((inner, hidden), DType::F32, &Device::Cpu).unwrap();
    let x = rows(40, hidden, &mut rng);
    for other in [Linear::new(&weight, bias, Dtype::F32), Linear::new(&weight, None, Dtype::F16)] {
        assert!(gated(&gate, &other.unwrap(), Activation::Silu, &x).unwrap().is_none());
    }
    assert!(gated(&gate, &up, Activation::Silu, &rows(40, hidden + 1, &mut rng)).unwrap().is_none());
}

#[test]
fn three_maps_at_once_give_the_bits_of_each_alone_in_every_dtype() {
    let mut rng = Rng::new(73);
    let kind = |name: &str| TYPES.iter().find(|kind| kind.name == name).unwrap();
    let hidden = 96;
    let q = blocks(kind("Q4_0"), [70, hidden], None, &mut rng);
    let k = Matrix::Numbers(blocks(kind("F32"), [33, hidden], None, &mut rng).numbers().unwrap());
    let v = blocks(kind("F16"), [40, hidden], None, &mut rng);
    let bias = Tensor::from_vec(numbers(&mut rng, 33, 1.0), 33, &Device::Cpu).unwrap();
    for dtype in DTYPES {
        let map = |matrix, bias| Linear::of(matrix, bias, dtype.value).unwrap();
        let maps = [map(&q, None), map(&k, Some(bias.clone())), map(&v, None)];
        for m in [0, 1, kernel::MOST_ROWS, kernel::MOST_ROWS + 1, 40] {
            let input = Input::new(&rows(m, hidden, &mut rng)).unwrap();
            let found = apply_three([&maps[0], &maps[1], &maps[2]], &input).unwrap();
            for (found, map) in found.iter().zip(&maps) {
                let alone = map.apply(&input).unwrap();
                assert_eq!(found.dims(), alone.dims(), "{} {m}", dtype.name);
                assert!(bits(found) == bits(&alone), "{} {m}", dtype.name);
            }
        }
    }
    let input = Input::new(&rows(3, hidden + 1, &mut rng)).unwrap();
    let maps = [&q, &k, &v].map(|matrix| Linear::of(matrix, None, Dtype::F32).unwrap());
    assert!(apply_three([&maps[0], &maps[1], &maps[2]], &input).is_err());
}

#[test]
fn rows_of_another_width_than_the_blocks_are_an_error_and_no_rows_give_none() {
    let kind = TYPES.iter().find(|kind| kind.name == "Q8_0").unwrap();
    let matrix = blocks(kind, [3, 32], None, &mut Rng::new(53));
    for dtype in DTYPES {
        let map = Linear::of(&matrix, None, dtype.value).unwrap();
        assert!(map.forward(&rows(2, 33, &mut Rng::new(1))).is_err(), "{}", dtype.name);
    }
    let none = Tensor::zeros((0, 32), DType::F32, &Device::Cpu).unwrap();
    let map = Linear::of(&matrix, None, Dtype::F32).unwrap();
    assert_eq!(map.forward(&none).unwrap().dims(), [0, 3]);
}

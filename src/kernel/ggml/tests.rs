//! Every type against the `gguf` Python package (`fixtures/make_gguf_types.py`).

use std::collections::BTreeSet;

use safetensors::SafeTensors;
use sha2::{Digest, Sha256};

use super::*;
use crate::hash;
use crate::rng::Rng;

const GOLDEN: &[u8] = include_bytes!("../../../fixtures/gguf_types.safetensors");

fn expanded(kind: &TensorType, bytes: &[u8]) -> Vec<f32> {
    let mut numbers = vec![f32::NAN; bytes.len() / kind.block_bytes * kind.block_size];
    kind.expand(bytes, &mut numbers);
    // A zero has no sign in the expected numbers.
    numbers.iter().map(|number| number + 0.0).collect()
}

#[test]
fn every_quantised_type_stands_for_the_numbers_of_the_reference() {
    let golden = SafeTensors::deserialize(GOLDEN).unwrap();
    let (_, header) = SafeTensors::read_metadata(GOLDEN).unwrap();
    let words = header.metadata().as_ref().unwrap();
    for kind in TYPES.iter().filter(|kind| !kind.plain) {
        let numbers = expanded(kind, golden.tensor(&format!("{}.blocks", kind.name)).unwrap().data());
        let expected = golden.tensor(&format!("{}.numbers", kind.name)).unwrap();
        let expected = expected.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes));
        for (index, (found, expected)) in numbers.iter().zip(expected).enumerate() {
            assert_eq!(found.to_bits(), expected.to_bits(), "{} number {index}: {found}", kind.name);
        }
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        assert_eq!(hash::hex(Sha256::digest(bytes)), words[kind.name], "all numbers of {}", kind.name);
    }
}

#[test]
fn every_instruction_set_widens_every_type_to_the_same_bits() {
    let mut rng = Rng::new(35);
    for kind in TYPES {
        let bytes: Vec<u8> = (0..37 * kind.block_bytes).map(|_| rng.below(256) as u8).collect();
        let (mut fast, mut plain) = (vec![0f32; 37 * kind.block_size], vec![1f32; 37 * kind.block_size]);
        kind.expand_here(&bytes, &mut fast);
        (kind.expand_plain)(&bytes, &mut plain);
        for (fast, plain) in fast.iter().zip(&plain) {
            // The sign of what is not a number is nobody's.
            let same = fast.to_bits() == plain.to_bits() || (fast.is_nan() && plain.is_nan());
            assert!(same, "{}: {fast} and {plain}", kind.name);
        }
    }
}

/// Processors with AVX-512 take others.
#[cfg(target_arch = "x86_64")]
#[test]
fn what_is_written_for_avx2_alone_gives_the_same_bits() {
    if !avx2::available() {
        return;
    }
    let mut rng = Rng::new(37);
    for (name, by) in [("Q4_0", avx2::q4_0 as fn(&[u8], &mut [f32])), ("Q4_1", avx2::q4_1)] {
        let kind = TYPES.iter().find(|kind| kind.name == name).unwrap();
        let bytes: Vec<u8> = (0..37 * kind.block_bytes).map(|_| rng.below(256) as u8).collect();
        let (mut found, mut plain) = (vec![0f32; 37 * kind.block_size], vec![1f32; 37 * kind.block_size]);
        by(&bytes, &mut found);
        (kind.expand_plain)(&bytes, &mut plain);
        for (found, plain) in found.iter().zip(&plain) {
            assert!(found.to_bits() == plain.to_bits() || (found.is_nan() && plain.is_nan()), "{name}");
        }
    }
}

#[test]
fn halves_are_widened_as_the_half_crate_widens_them() {
    for bits in 0..=u16::MAX {
        assert_eq!(widen_half(bits).to_bits(), half::f16::from_bits(bits).to_f32().to_bits(), "{bits:#x}");
    }
}

#[test]
fn numbers_that_are_stored_one_by_one_are_read_as_they_stand() {
    let read =
        |name: &str, bytes: &[u8]| expanded(TYPES.iter().find(|kind| kind.name == name).unwrap(), bytes);
    assert_eq!(read("F32", &[1.5f32, -2.0].map(f32::to_le_bytes).concat()), [1.5, -2.0]);
    assert_eq!(read("F64", &[0.1f64, -2.0].map(f64::to_le_bytes).concat()), [0.1, -2.0]);
    assert_eq!(read("F16", &[0x00, 0x3E, 0x01, 0x00]), [1.5, 2f32.powi(-24)]);
    assert_eq!(read("BF16", &[0xC0, 0x3F, 0x00, 0xC0]), [1.5, -2.0]);
    assert_eq!(read("I8", &[1, 0xFF]), [1.0, -1.0]);
    assert_eq!(read("I16", &[1, 0, 0xFE, 0xFF]), [1.0, -2.0]);
    assert_eq!(read("I32", &[7i32, -7].map(i32::to_le_bytes).concat()), [7.0, -7.0]);
    assert_eq!(read("I64", &[1i64 << 40, -3].map(i64::to_le_bytes).concat()), [2f32.powi(40), -3.0]);
}

#[test]
fn parts_of_a_large_tensor_are_each_in_their_place() {
    let golden = SafeTensors::deserialize(GOLDEN).unwrap();
    for kind in TYPES.iter().filter(|kind| !kind.plain) {
        let few = golden.tensor(&format!("{}.blocks", kind.name)).unwrap();
        let one = expanded(kind, few.data());
        let copies = (3 << 14) / one.len() + 1;
        let many = expanded(kind, &few.data().repeat(copies));
        assert!(many.chunks_exact(one.len()).all(|part| part == one), "{}", kind.name);
    }
}

#[test]
fn types_have_one_name_and_one_number_each_and_fill_whole_parts() {
    let ids: BTreeSet<u64> =
        TYPES.iter().map(|kind| kind.id).chain(REMOVED.iter().map(|(id, _)| *id)).collect();
    assert_eq!(ids.len(), TYPES.len() + REMOVED.len());
    let names: BTreeSet<&str> = TYPES.iter().map(|kind| kind.name).collect();
    assert_eq!(names.len(), TYPES.len());
    for kind in TYPES {
        assert!(kind.block_size.is_power_of_two() && kind.block_size <= 256, "{}", kind.name);
        assert_eq!(kind.bytes(3 * kind.block_size as u64), Some(3 * kind.block_bytes as u64));
        assert!(find(kind.id).is_some_and(|found| found.name == kind.name));
    }
    assert!(find(4).is_none() && find(99).is_none());
    assert_eq!(
        (unknown_name(31), unknown_name(99)),
        ("Q4_0_4_4, type 31".to_string(), "type 99".to_string())
    );
}

//! Models of candle-transformers. Nothing else of this crate names it.
//!
//! | trap | what is done about it |
//! |---|---|
//! | logits of the last row alone | where those of more rows are asked for, tokens go in one at a time |
//! | a mask of `[t, t]` whatever is cached | more than one token goes in only where nothing is cached |
//! | RWKV 5 and 6 compute one token a call, and say nothing where it is more | tokens go in one at a time |
//! | the norm of RWKV's heads leaves out their division by 8, so that its epsilon is another one | values are divided as they are read: what is normed is linear in them |
//! | tables of positions that end | longer sequences are refused before anything runs |

mod attending;
mod rwkv;

use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};

use super::Reader;
use crate::error::{Error, Result};
use crate::spec::{BlackBoxSpec, DecoderSpec};
use crate::weights::Weights;

/// The model that `spec` describes, with nothing read.
pub(super) fn load(spec: &DecoderSpec, weights: &Weights<'_>) -> Result<Box<dyn Reader>> {
    let Some(black_box) = spec.extras.black_box else {
        return Err(Error::Compute("this decoder is no black box".to_string()));
    };
    let failed = Mutex::default();
    let backend: Box<dyn SimpleBackend + '_> = Box::new(Read { weights, failed: &failed });
    let vb = VarBuilder::from_backend(backend, DType::F32, weights.device().clone());
    let reader = match black_box {
        BlackBoxSpec::Rwkv5(rwkv) => rwkv::v5(spec, rwkv, vb),
        BlackBoxSpec::Rwkv6(rwkv) => rwkv::v6(spec, rwkv, vb),
        BlackBoxSpec::Rwkv7(_) => rwkv::v7(spec, vb),
        BlackBoxSpec::ChatGlm(chatglm) => attending::chatglm(spec, chatglm, vb),
        BlackBoxSpec::MixFormer(mixformer) => attending::mixformer(spec, mixformer, vb),
    };
    // What was wrong with a tensor, in its own words.
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(reader?),
    }
}

/// Tensors as candle asks for them. Their shapes have been checked; what files have as a vector candle may
/// have in three dimensions.
struct Read<'a> {
    weights: &'a Weights<'a>,
    /// The first that could not be read.
    failed: &'a Mutex<Option<Error>>,
}

impl SimpleBackend for Read<'_> {
    fn get(&self, s: Shape, name: &str, _: Init, dtype: DType, dev: &Device) -> candle_core::Result<Tensor> {
        self.get_unchecked(name, dtype, dev)?.reshape(s)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, _: &Device) -> candle_core::Result<Tensor> {
        let shape = self.weights.shape(name).unwrap_or_default();
        let tensor = self.weights.get(name, &shape).map_err(|error| {
            let text = error.to_string();
            self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            candle_core::Error::Msg(text)
        })?;
        tensor.to_dtype(dtype)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.weights.contains(name)
    }
}

//! Families without a decoder here, which candle's engine runs as black boxes: what their configurations
//! mean, and where they keep the tensors that candle asks for.

mod chatglm;
mod mixformer;
mod rwkv;

use serde_json::Value;

use super::Family;
use super::gpt_like::{Sizes, gpt_like};
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::registry::Entry;
use crate::spec::{BlackBoxSpec, DecoderSpec, LayerSpec, Mixer};

/// Every one, by the `model_type` of `config.json`. Each gives the logits of its reference at 2,100 tokens
/// (`fixtures/make_black_boxes.py`); what does not is not here.
pub(super) const BLACK_BOXES: &[Entry<Family>] = &[
    Entry {
        name: "rwkv5",
        about: "RWKV 5 (Eagle): a state with a decay for each channel",
        value: Family { describe: rwkv::v5, stored: rwkv::stored_v5 },
    },
    Entry {
        name: "rwkv6",
        about: "RWKV 6 (Finch): a decay that follows from the tokens",
        value: Family { describe: rwkv::v6, stored: rwkv::stored_v6 },
    },
    Entry {
        name: "rwkv7",
        about: "RWKV 7 (Goose): a state that unlearns what it is given anew",
        value: Family { describe: rwkv::v7, stored: rwkv::stored_v7 },
    },
    Entry {
        name: "chatglm",
        about: "ChatGLM 2 and 3, and GLM 4 under its first names",
        value: Family { describe: chatglm::spec, stored: by_name },
    },
    Entry {
        name: "mixformer-sequential",
        about: "Phi 1 to 2 under their first names",
        value: Family { describe: mixformer::spec, stored: by_name },
    },
];

/// Names that candle and the files have in common.
fn by_name(_: &DecoderSpec, name: &str) -> Stored {
    Stored::whole(name)
}

/// A model of these sizes, of whose layers nothing is seen.
fn unseen(config: &Config, sizes: Sizes, vocab_size: usize, black_box: BlackBoxSpec) -> Result<DecoderSpec> {
    if config.optional_flag("tie_word_embeddings")? == Some(true) {
        let expected = "false: candle reads a head of its own for this architecture";
        return Err(config.wrong("tie_word_embeddings", expected, true));
    }
    let untied = Value::Bool(false);
    let vocab = Value::from(vocab_size);
    let config = config.with_defaults([("tie_word_embeddings", &untied), ("vocab_size", &vocab)]);
    let mut spec = gpt_like(&config, sizes)?;
    let layer = LayerSpec { mixer: Mixer::None, ..LayerSpec::default() };
    spec.layers = vec![layer; spec.num_hidden_layers];
    spec.extras.black_box = Some(black_box);
    Ok(spec)
}

/// Refuses another value than `wanted` of a flag that candle's code was held against with that one alone;
/// `otherwise` is what it is where the configuration is silent.
fn only(config: &Config, key: &str, wanted: bool, otherwise: bool) -> Result<()> {
    match config.optional_flag(key)?.unwrap_or(otherwise) {
        found if found != wanted => {
            let expected =
                format!("{wanted}: candle's engine was held against its reference with that alone");
            Err(config.wrong(key, expected, found))
        }
        _ => Ok(()),
    }
}

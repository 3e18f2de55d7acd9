//! Families: each is a function from a configuration to a [`DecoderSpec`] and a map of tensor names, one file
//! and one line of the table.

mod apertus;
mod arcee;
mod bailing_hybrid;
mod bamba;
#[cfg(feature = "candle-engine")]
mod black_box;
mod bloom;
mod cohere;
mod cohere2;
mod common;
mod cwm;
mod deepseek;
mod defaults;
mod delta_net;
mod diffllama;
mod ernie4_5;
mod ernie4_5_moe;
mod exaone4;
mod exaone_moe;
mod experts;
mod falcon;
mod falcon_h1;
mod gemma;
mod gemma3n;
mod gemma4;
mod glm;
mod glm4_moe;
mod glm4_moe_lite;
mod gpt2;
mod gpt_bigcode;
mod gpt_like;
mod gpt_neox;
mod gpt_oss;
mod gptj;
mod granite;
mod granitemoe;
mod granitemoehybrid;
mod granitemoeshared;
mod helium;
mod hunyuan;
mod hy_v3;
mod internlm3;
mod jamba;
mod kimi_linear;
mod latent;
mod lfm2;
mod lfm2_moe;
mod lfm3;
mod llama4;
mod mainline_ladder;
mod mamba;
mod mimo_v2_flash;
mod minicpm3;
mod minimax_m2;
mod ministral;
mod ministral3;
mod mistral;
mod mistral4;
mod mixtral;
mod mpt;
mod multiscreen;
mod nanochat;
mod nemotron;
mod nemotron_h;
mod niah;
mod olmo;
mod olmo2;
mod olmo3;
mod olmo3moe;
mod olmo_hybrid;
mod olmoe;
mod opt;
mod persimmon;
mod phi;
mod phi3;
mod phimoe;
mod qwen;
mod qwen3_5;
mod qwen3_next;
mod recurrent_gemma;
mod rope_config;
mod rwkv;
mod seed_oss;
mod smollm3;
mod stablelm;
mod starcoder2;
mod state_space;

use crate::checkpoint::{Config, NameMap, Stored};
use crate::error::{Error, Result};
use crate::registry::Entry;
use crate::spec::{DecoderSpec, Engine, WITHOUT_ENGINE};

/// How a family is read.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    describe: fn(&Config) -> Result<DecoderSpec>,
    stored: fn(&DecoderSpec, &str) -> Stored,
}

impl Family {
    /// Where this family keeps the tensors of a decoder of this spec, by the names that Llama gives them.
    #[must_use]
    pub fn names(&self, spec: &DecoderSpec) -> NameMap {
        let (stored, spec) = (self.stored, spec.clone());
        Box::new(move |name| stored(&spec, name))
    }
}

const fn named_as_llama(describe: fn(&Config) -> Result<DecoderSpec>) -> Family {
    Family { describe, stored: |_, name| Stored::whole(name) }
}

/// Every family, by the `model_type` of `config.json`.
#[rustfmt::skip]
pub const FAMILIES: &[Entry<Family>] = &[
    Entry { name: "llama", about: "Llama 1 to 3, SmolLM, SmolLM2, TinyLlama and their like", value: named_as_llama(common::llama_like) },
    Entry { name: "llama4_text", about: "Llama 4 (text): attention in chunks, mixture of experts, layers \
                                         without rotary positions", value: Family { describe: llama4::spec, stored: llama4::stored } },
    Entry { name: "mistral", about: "Mistral: a sliding window on every layer", value: named_as_llama(mistral::spec) },
    Entry { name: "mixtral", about: "Mixtral: Mistral with a mixture of experts", value: Family { describe: mixtral::spec, stored: mixtral::stored } },
    Entry { name: "ministral3", about: "Ministral 3: Mistral with YaRN and attention temperature", value: named_as_llama(ministral3::spec) },
    Entry { name: "qwen2", about: "Qwen 2 and 2.5: biases on q, k and v", value: named_as_llama(qwen::qwen2) },
    Entry { name: "qwen3", about: "Qwen 3: norms on each query and key head", value: named_as_llama(qwen::qwen3) },
    Entry { name: "qwen2_5_vl", about: "Qwen 2.5 VL (text), as a flat configuration names it", value: named_as_llama(qwen::qwen2_5_vl) },
    Entry { name: "qwen2_5_vl_text", about: "Qwen 2.5 VL (text)", value: named_as_llama(qwen::qwen2_5_vl) },
    Entry { name: "qwen3_vl_text", about: "Qwen 3 VL (text)", value: named_as_llama(qwen::qwen3_vl) },
    Entry { name: "qwen3_moe", about: "Qwen 3 with a mixture of experts", value: named_as_llama(qwen::qwen3_moe) },
    Entry { name: "qwen2_moe", about: "Qwen 1.5 and 2 with a mixture of experts and a gated shared one", value: named_as_llama(qwen::qwen2_moe) },
    Entry { name: "qwen3_5_text", about: "Qwen 3.5 and 3.6: Gated DeltaNet beside gated attention", value: Family { describe: qwen3_5::spec, stored: qwen3_5::stored } },
    Entry { name: "qwen3_5_moe_text", about: "Qwen 3.5 and 3.6 with a mixture of experts", value: Family { describe: qwen3_5::moe, stored: qwen3_5::stored } },
    Entry { name: "qwen3_next", about: "Qwen 3 Next: Gated DeltaNet beside gated attention, mixture of \
                                        experts", value: Family { describe: qwen3_next::spec, stored: qwen3_next::stored } },
    Entry { name: "gemma2", about: "Gemma 2: soft caps, norms before and after, alternating \
                                    windows", value: named_as_llama(gemma::gemma2) },
    Entry { name: "gemma3_text", about: "Gemma 3 (text): query and key norms, two rotary bases", value: named_as_llama(gemma::gemma3) },
    Entry { name: "phi3", about: "Phi 3 and 3.5: fused projections", value: Family { describe: phi3::spec, stored: phi3::stored } },
    Entry { name: "phi", about: "Phi 1.5 and 2: parallel block, partial rotary positions", value: Family { describe: phi::spec, stored: phi::stored } },
    Entry { name: "smollm3", about: "SmolLM3: layers without rotary positions", value: named_as_llama(smollm3::spec) },
    Entry { name: "cohere2", about: "Command R7B: parallel block, interleaved rotary positions on \
                                     windows", value: named_as_llama(cohere2::spec) },
    Entry { name: "olmo2", about: "OLMo 2: norms after attention and MLP", value: named_as_llama(olmo2::spec) },
    Entry { name: "olmo_hybrid", about: "OLMo Hybrid: Gated DeltaNet beside attention", value: Family { describe: olmo_hybrid::spec, stored: olmo_hybrid::stored } },
    Entry { name: "olmo3moe", about: "OLMo 3 MoE and its hybrids: Kimi Delta Attention beside gated attention, with \
                                      Scalable-Softmax", value: Family { describe: olmo3moe::spec, stored: olmo3moe::stored } },
    Entry { name: "kimi_linear", about: "Kimi Linear: Kimi Delta Attention beside latent attention, mixture of \
                                         experts", value: Family { describe: kimi_linear::spec, stored: kimi_linear::stored } },
    Entry { name: "bailing_hybrid", about: "Ling 3: Kimi Delta Attention beside gated latent attention, mixture of \
                                            experts", value: Family { describe: bailing_hybrid::spec, stored: bailing_hybrid::stored } },
    Entry { name: "mainline_ladder", about: "OLMo's ladder of hybrids: Gated DeltaNet beside gated attention, with \
                                             Scalable-Softmax", value: Family { describe: mainline_ladder::spec, stored: mainline_ladder::stored } },
    Entry { name: "granite", about: "Granite 3: four multipliers", value: named_as_llama(granite::spec) },
    Entry { name: "granitemoe", about: "Granite 3 with a mixture of experts", value: Family { describe: granitemoe::spec, stored: granitemoe::stored } },
    Entry { name: "olmoe", about: "OLMoE: norms over whole queries and keys, mixture of experts", value: named_as_llama(olmoe::olmoe) },
    Entry { name: "flex_olmo", about: "FlexOlmo: OLMo 2 with a mixture of experts", value: named_as_llama(olmoe::flex_olmo) },
    Entry { name: "phimoe", about: "Phi 3.5 MoE: LayerNorm, LongRoPE, a sparse mixer of two experts", value: Family { describe: phimoe::spec, stored: mixtral::stored } },
    Entry { name: "glm4_moe", about: "GLM 4.5 and 4.6: DeepSeek's experts, partial rotary positions", value: Family { describe: glm4_moe::spec, stored: glm4_moe::stored } },
    Entry { name: "minimax_m2", about: "MiniMax M2: experts by a biased sigmoid, partial rotary positions", value: Family { describe: minimax_m2::spec, stored: minimax_m2::stored } },
    Entry { name: "ernie4_5_moe", about: "ERNIE 4.5 with a mixture of experts", value: Family { describe: ernie4_5_moe::spec, stored: ernie4_5_moe::stored } },
    Entry { name: "exaone_moe", about: "EXAONE with a mixture of experts: rotary positions on windows alone", value: Family { describe: exaone_moe::spec, stored: exaone_moe::stored } },
    Entry { name: "hy_v3", about: "Hunyuan 3: experts by a biased sigmoid", value: Family { describe: hy_v3::spec, stored: hy_v3::stored } },
    Entry { name: "granitemoeshared", about: "Granite 3 with experts and a shared MLP", value: Family { describe: granitemoeshared::spec, stored: granitemoeshared::stored } },
    Entry { name: "granitemoehybrid", about: "Granite 4: Mamba-2 and attention, experts or an MLP", value: Family { describe: granitemoehybrid::spec, stored: granitemoehybrid::stored } },
    Entry { name: "lfm2", about: "LFM2: gated short convolutions, attention in some layers", value: Family { describe: lfm2::spec, stored: lfm2::stored } },
    Entry { name: "lfm2_moe", about: "LFM2 with a mixture of experts", value: Family { describe: lfm2_moe::spec, stored: lfm2_moe::stored } },
    Entry { name: "lfm3", about: "LFM3: LFM2 with sandwich norms, windows and gates", value: Family { describe: lfm3::spec, stored: lfm3::stored } },
    Entry { name: "mamba", about: "Mamba: state spaces alone", value: Family { describe: mamba::mamba, stored: mamba::stored } },
    Entry { name: "falcon_mamba", about: "Falcon Mamba: Mamba with norms on what it selects by", value: Family { describe: mamba::falcon_mamba, stored: mamba::stored } },
    Entry { name: "mamba2", about: "Mamba 2: state spaces alone", value: Family { describe: mamba::mamba_2, stored: mamba::stored } },
    Entry { name: "bamba", about: "Bamba: Mamba-2, attention in some layers", value: Family { describe: bamba::spec, stored: bamba::stored } },
    Entry { name: "falcon_h1", about: "Falcon-H1: Mamba-2 and attention side by side", value: Family { describe: falcon_h1::spec, stored: falcon_h1::stored } },
    Entry { name: "nemotron_h", about: "Nemotron-H: Mamba-2, attention, an MLP or experts, one a layer", value: Family { describe: nemotron_h::spec, stored: nemotron_h::stored } },
    Entry { name: "jamba", about: "Jamba: Mamba, attention in some layers, experts", value: Family { describe: jamba::spec, stored: jamba::stored } },
    Entry { name: "recurrent_gemma", about: "RecurrentGemma: linear recurrent units, attention in a window", value: Family { describe: recurrent_gemma::spec, stored: recurrent_gemma::stored } },
    Entry { name: "rwkv", about: "RWKV-4: time and channel mixing, no attention", value: Family { describe: rwkv::spec, stored: rwkv::stored } },
    Entry { name: "diffllama", about: "DiffLlama: the difference of two attention maps", value: named_as_llama(diffllama::spec) },
    Entry { name: "gpt_oss", about: "gpt-oss: sinks, windows on every other layer, clamped experts", value: Family { describe: gpt_oss::spec, stored: gpt_oss::stored } },
    Entry { name: "deepseek_v2", about: "DeepSeek 2 and its Lite: latent attention, experts in groups", value: Family { describe: deepseek::v2, stored: deepseek::stored } },
    Entry { name: "deepseek_v3", about: "DeepSeek 3 and R1: latent attention, experts by a biased sigmoid", value: Family { describe: deepseek::v3, stored: deepseek::stored } },
    Entry { name: "deepseek_v32", about: "DeepSeek 3.2: rows see the keys that an indexer chooses", value: Family { describe: deepseek::v32, stored: deepseek::stored } },
    Entry { name: "glm4_moe_lite", about: "GLM 4.7 Flash: DeepSeek's attention and experts", value: Family { describe: glm4_moe_lite::spec, stored: deepseek::stored } },
    Entry { name: "mistral4", about: "Mistral 4: DeepSeek's latent attention, experts of a softmax", value: Family { describe: mistral4::spec, stored: deepseek::stored } },
    Entry { name: "mimo_v2_flash", about: "MiMo 2 Flash: sinks and more key heads on windows, DeepSeek's experts", value: Family { describe: mimo_v2_flash::spec, stored: mimo_v2_flash::stored } },
    Entry { name: "gpt_neox", about: "GPT-NeoX, Pythia: parallel residual, fused projections by \
                                      head", value: Family { describe: gpt_neox::spec, stored: gpt_neox::stored } },
    Entry { name: "stablelm", about: "StableLM 2: LayerNorm, partial rotary positions", value: Family { describe: stablelm::spec, stored: stablelm::stored } },
    Entry { name: "starcoder2", about: "StarCoder 2: LayerNorm, plain MLP, biases", value: Family { describe: starcoder2::spec, stored: starcoder2::stored } },
    Entry { name: "ministral", about: "Ministral: Mistral with windows on some layers", value: named_as_llama(ministral::spec) },
    Entry { name: "gemma", about: "Gemma: norms of 1 + w, scaled embeddings", value: named_as_llama(gemma::gemma1) },
    Entry { name: "olmo", about: "OLMo: LayerNorms without weights, clipped projections", value: named_as_llama(olmo::spec) },
    Entry { name: "olmo3", about: "OLMo 3: OLMo 2 with windows on three layers of four", value: named_as_llama(olmo3::spec) },
    Entry { name: "exaone4", about: "EXAONE 4: norms after attention and MLP, full layers without rotary \
                                     positions", value: named_as_llama(exaone4::spec) },
    Entry { name: "ernie4_5", about: "ERNIE 4.5: interleaved rotary positions", value: named_as_llama(ernie4_5::spec) },
    Entry { name: "hunyuan_v1_dense", about: "Hunyuan (dense): norms on rotated queries and keys", value: Family { describe: hunyuan::spec, stored: hunyuan::stored } },
    Entry { name: "seed_oss", about: "Seed-OSS: biases on q, k and v", value: named_as_llama(seed_oss::spec) },
    Entry { name: "arcee", about: "Arcee: an MLP of squared ReLU", value: named_as_llama(arcee::spec) },
    Entry { name: "glm", about: "GLM 4: interleaved rotary positions on half of a head", value: Family { describe: glm::spec, stored: glm::stored } },
    Entry { name: "glm4", about: "GLM 4 of 2025: norms before and after attention and MLP", value: Family { describe: glm::glm4, stored: glm::stored } },
    Entry { name: "cohere", about: "Command R: parallel block, interleaved rotary positions", value: Family { describe: cohere::spec, stored: cohere::stored } },
    Entry { name: "nemotron", about: "Nemotron: LayerNorms of 1 + w, an MLP of squared ReLU", value: named_as_llama(nemotron::spec) },
    Entry { name: "internlm3", about: "InternLM3: rotary base by the length of the sequence", value: named_as_llama(internlm3::spec) },
    Entry { name: "helium", about: "Helium: interleaved rotary positions", value: named_as_llama(helium::spec) },
    Entry { name: "cwm", about: "Code World Model: windows on three layers of four", value: named_as_llama(cwm::spec) },
    Entry { name: "nanochat", about: "nanochat: norms without weights, one on the embedding", value: Family { describe: nanochat::spec, stored: nanochat::stored } },
    Entry { name: "apertus", about: "Apertus: an MLP of xIELU, norms on each query and key head", value: Family { describe: apertus::spec, stored: apertus::stored } },
    Entry { name: "minicpm3", about: "MiniCPM3: latent attention", value: named_as_llama(minicpm3::spec) },
    Entry { name: "gemma4_text", about: "Gemma 4 (text): two kinds of heads, values normed, shared keys and \
                                         values", value: Family { describe: gemma4::spec, stored: gemma4::stored } },
    Entry { name: "gemma3n_text", about: "Gemma 3n (text): several residual streams, a learned residual, sparse \
                                          gates", value: named_as_llama(gemma3n::spec) },
    Entry { name: "falcon", about: "Falcon: parallel block, fused projections in three orders", value: Family { describe: falcon::spec, stored: falcon::stored } },
    Entry { name: "mpt", about: "MPT: biases by distance in place of positions", value: Family { describe: mpt::spec, stored: mpt::stored } },
    Entry { name: "bloom", about: "BLOOM: biases by distance, a norm of the embedding", value: Family { describe: bloom::spec, stored: bloom::stored } },
    Entry { name: "gptj", about: "GPT-J: parallel block, interleaved rotary positions", value: Family { describe: gptj::spec, stored: gptj::stored } },
    Entry { name: "opt", about: "OPT: learned positions, an MLP of ReLU", value: Family { describe: opt::spec, stored: opt::stored } },
    Entry { name: "gpt_bigcode", about: "GPT BigCode: GPT-2 with one key head", value: Family { describe: gpt_bigcode::spec, stored: gpt_bigcode::stored } },
    Entry { name: "persimmon", about: "Persimmon: LayerNorms on queries and keys, partial rotary positions", value: Family { describe: persimmon::spec, stored: persimmon::stored } },
    Entry { name: "niah", about: "what niah train writes: windows, positions and norms on queries and keys \
                                  layer by layer", value: named_as_llama(niah::spec) },
    Entry { name: "multiscreen", about: "Multiscreen: screening tiles without softmax, MLP or norms", value: Family { describe: multiscreen::spec, stored: multiscreen::stored } },
    Entry { name: "gpt2", about: "GPT-2: learned positions", value: Family { describe: gpt2::spec, stored: gpt2::stored } },
];

/// Every architecture that candle's engine runs as a black box, by the `model_type` of `config.json`; none
/// where `niah` was built without it.
#[cfg(feature = "candle-engine")]
pub const BLACK_BOXES: &[Entry<Family>] = black_box::BLACK_BOXES;
/// The architectures of candle's engine, which this `niah` was built without: none.
#[cfg(not(feature = "candle-engine"))]
pub const BLACK_BOXES: &[Entry<Family>] = &[];

pub(crate) use rope_config::section as rope_section;

/// The family and the spec that a configuration describes.
///
/// # Errors
/// [`crate::error::Error::UnknownChoice`] for a `model_type` that is not in the table, before any weight is
/// read.
pub fn describe(config: &Config) -> Result<(&'static Entry<Family>, DecoderSpec)> {
    let family = find(config)?;
    Ok((family, (family.value.describe)(&defaults::completed(config, family.name)?)?))
}

/// The same of the architectures that `engine` runs; the own decoder's are those of [`describe`].
///
/// # Errors
/// As of [`describe`], and [`Error::InvalidValue`] for a family that the engine does not run.
pub fn describe_for(config: &Config, engine: Engine) -> Result<(&'static Entry<Family>, DecoderSpec)> {
    if engine.is_own() {
        return describe(config);
    }
    if !cfg!(feature = "candle-engine") {
        return Err(Error::invalid("engine", "candle", WITHOUT_ENGINE));
    }
    let model_type = config.string("model_type")?;
    let Some(family) = BLACK_BOXES.iter().find(|family| family.name == model_type) else {
        let known = names(BLACK_BOXES);
        let expected = match FAMILIES.iter().any(|family| family.name == model_type) {
            true => format!(
                "one of those without a decoder here ({known}): niah has its own for this one, so leave out \
                 `engine`"
            ),
            false => format!("one of those that candle's engine runs: {known}"),
        };
        return Err(config.wrong("model_type", expected, format!("{model_type:?}")));
    };
    Ok((family, (family.value.describe)(config)?))
}

fn names(table: &[Entry<Family>]) -> String {
    table.iter().map(|family| family.name).collect::<Vec<_>>().join(", ")
}

/// A configuration with what its family takes where it is silent; of no known family, as it is.
#[must_use]
pub fn with_defaults(config: &Config) -> Config {
    find(config).map_or_else(|_| config.clone(), |family| defaults::with_defaults(config, family.name))
}

/// What is told of a configuration that `describe` has read as `spec` before anything runs: keys that nothing
/// has asked for, and a base of rotary positions that does not count.
///
/// # Errors
/// Those of [`describe`].
pub fn warnings(config: &Config, spec: &DecoderSpec) -> Result<Vec<String>> {
    if let Some(unseen) = spec.extras.black_box {
        let mut warnings = defaults::warnings(config, &config.string("model_type")?)?;
        let shares = match unseen.is_recurrent() {
            true => "",
            false => ", and every prompt is read whole, whatever it has in common with the one before",
        };
        warnings.push(format!(
            "{} is computed by candle as a black box: its attention is not seen, so that what is said of it stays \
             empty{shares}",
            unseen.name()
        ));
        return Ok(warnings);
    }
    let family = find(config)?;
    let mut warnings = defaults::warnings(config, family.name)?;
    if let Some(rope) = spec.layers.iter().find_map(|layer| layer.rope.as_ref()) {
        warnings.extend(rope_config::hidden_theta(config, rope.theta)?);
    }
    Ok(warnings)
}

/// Families that are known and cannot run, each with the block that it needs and that is missing here.
const MISSING: &[(&str, &str)] = &[
    ("inkling_text", "a learned bias by distance, and convolutions behind attention and MLP"),
    ("qwen4_exp_text", "several residual streams, and an indexer that chooses the keys a row sees"),
];

fn find(config: &Config) -> Result<&'static Entry<Family>> {
    let model_type = config.string("model_type")?;
    if let Some((_, block)) = MISSING.iter().find(|(name, _)| *name == model_type) {
        let expected = format!("another family: this one needs {block}, which niah does not have");
        return Err(config.wrong("model_type", expected, format!("{model_type:?}")));
    }
    FAMILIES.iter().find(|family| family.name == model_type).ok_or_else(|| {
        let expected = match BLACK_BOXES.iter().any(|family| family.name == model_type) {
            true => "a family with a decoder here; `engine` candle runs this one as a black box: answers, \
                     log-probabilities and ranks, no attention"
                .to_string(),
            false => format!("one of the known families: {}", names(FAMILIES)),
        };
        config.wrong("model_type", expected, format!("{model_type:?}"))
    })
}

//! The tensors of a GGUF file under Llama's names in Hugging Face's layout.
//!
//! GGUF names are the same in every architecture, so one map serves all. Matrices that share an input may be
//! stored as one (q, k and v; gate and up). Where an architecture turns neighbouring coordinates
//! (`interleaved`), rows of q and k are stored in that order; they are put back into the half-split order
//! here, so that there is one rope.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use candle_core::{Device, Tensor};

use super::gguf::GgufFile;
use crate::error::{Error, Result};
use crate::spec::{BlockKind, DecoderSpec, MlpKind};
use crate::weights::TensorSource;

/// The tensors of a GGUF file.
pub(super) struct GgufTensors {
    pub(super) file: GgufFile,
    /// What the tensors make up: its sizes say where fused matrices are cut.
    pub(super) spec: DecoderSpec,
    /// Whether rows of q and k are in the order of interleaved rotary positions.
    pub(super) interleaved: bool,
}

/// Where a tensor is stored.
struct Place {
    /// Its GGUF name.
    stored: String,
    /// Its rows, when it is a part of a fused matrix.
    rows: Option<Range<usize>>,
    /// Heads whose rows are put back into the half-split order.
    heads: Option<usize>,
    /// Its place in a stack: of vectors, one a head, or of matrices, one an expert.
    index: Option<usize>,
}

impl Place {
    fn whole(stored: String) -> Self {
        Self { stored, rows: None, heads: None, index: None }
    }
}

impl GgufTensors {
    /// Where the tensor is that Llama would call `name`.
    fn place(&self, name: &str) -> Option<Place> {
        let (module, kind) = name.rsplit_once('.')?;
        let whole = |part: &str| Place::whole(format!("{part}.{kind}"));
        match module {
            "model.embed_tokens" => return Some(whole("token_embd")),
            "model.embed_positions" => return Some(whole("position_embd")),
            "model.norm" => return Some(whole("output_norm")),
            "lm_head" => return Some(whole("output")),
            _ => {}
        }
        let (layer, within) = name.strip_prefix("model.layers.")?.split_once('.')?;
        if let Some(stored) = named_otherwise(within) {
            return Some(Place::whole(format!("blk.{layer}.{stored}")));
        }
        let (part, _) = within.rsplit_once('.')?;
        let spec = &self.spec;
        for (norm, stack) in [("self_attn.q_norm.", "attn_q_norm"), ("self_attn.k_norm.", "attn_k_norm")] {
            if let Some(head) = part.strip_prefix(norm) {
                let index = Some(head.parse().ok()?);
                return Some(Place { index, ..whole(&format!("blk.{layer}.{stack}")) });
            }
        }
        if let Some(expert) = part.strip_prefix("mlp.experts.") {
            return self.expert(&format!("blk.{layer}"), expert, kind);
        }
        let stored = |part: &str| format!("blk.{layer}.{part}");
        let of = spec.layers.get(layer.parse::<usize>().ok()?)?;
        let own = match part_name(part, spec.block_of(of))? {
            // Named by what it follows, where it stands before the MLP as well.
            "ffn_norm" if !self.file.contains(&format!("{}.{kind}", stored("ffn_norm"))) => {
                "post_attention_norm"
            }
            own => own,
        };
        let heads = spec.heads(of);
        let q = spec.num_attention_heads * heads.head_dim;
        let (k, v) =
            (heads.num_key_value_heads * heads.head_dim, heads.num_key_value_heads * heads.value_dim);
        let inner = spec.intermediate_of(of);
        // The fused matrix that may hold it, its first row there, its rows and all rows.
        let (fused, start, len, total) = match own {
            "attn_q" => ("attn_qkv", 0, q, q + k + v),
            "attn_k" => ("attn_qkv", q, k, q + k + v),
            "attn_v" => ("attn_qkv", q + k, v, q + k + v),
            "ffn_gate" => ("ffn_up", 0, inner, 2 * inner),
            "ffn_up" if spec.mlp == MlpKind::Gated => ("ffn_up", inner, inner, 2 * inner),
            _ => return Some(whole(&stored(own))),
        };
        let rows =
            self.file.shape(&format!("{}.{kind}", stored(fused))).and_then(|shape| shape.first().copied());
        let mut place = match rows == Some(total) {
            true => Place { rows: Some(start..start + len), ..whole(&stored(fused)) },
            false => whole(&stored(own)),
        };
        place.heads = match own {
            "attn_q" if self.interleaved => Some(spec.num_attention_heads),
            "attn_k" if self.interleaved => Some(heads.num_key_value_heads),
            _ => None,
        };
        Some(place)
    }

    /// Where `E.gate_proj`, `E.up_proj` or `E.down_proj` of expert `E` is: in a stack of matrices, which for the
    /// first two may be one.
    fn expert(&self, block: &str, expert: &str, kind: &str) -> Option<Place> {
        let (index, map) = expert.split_once('.')?;
        let index = Some(index.parse().ok()?);
        let (own, half) = match map {
            "gate_proj" => ("ffn_gate_exps", Some(0)),
            "up_proj" => ("ffn_up_exps", Some(1)),
            "down_proj" => ("ffn_down_exps", None),
            _ => return None,
        };
        let place = |stack: &str| Place { index, ..Place::whole(format!("{block}.{stack}.{kind}")) };
        let fused = place("ffn_gate_up_exps");
        let rows = self.file.shape(&fused.stored).and_then(|shape| shape.get(1).map(|rows| rows / 2));
        Some(match (half, rows) {
            (Some(half), Some(rows)) => Place { rows: Some(half * rows..(half + 1) * rows), ..fused },
            _ => place(own),
        })
    }
}

/// What GGUF files call tensors of a layer whose names do not end alike.
fn named_otherwise(name: &str) -> Option<&'static str> {
    Some(match name {
        "mlp.gate.e_score_correction_bias" => "exp_probs_b.bias",
        "self_attn.sinks" => "attn_sinks.weight",
        _ => return None,
    })
}

/// The GGUF name of a part of a layer. Norms are named after their place in a block, which differs.
fn part_name(part: &str, block: BlockKind) -> Option<&'static str> {
    Some(match part {
        "input_layernorm" => "attn_norm",
        "post_attention_layernorm" => match block {
            BlockKind::PreNorm | BlockKind::ParallelTwoNorms => "ffn_norm",
            BlockKind::PostNorm | BlockKind::SandwichNorm | BlockKind::ParallelOneNorm => {
                "post_attention_norm"
            }
        },
        "pre_feedforward_layernorm" => "ffn_norm",
        "post_feedforward_layernorm" => "post_ffw_norm",
        "self_attn.q_proj" => "attn_q",
        "self_attn.k_proj" => "attn_k",
        "self_attn.v_proj" => "attn_v",
        "self_attn.o_proj" => "attn_output",
        "self_attn.q_norm" => "attn_q_norm",
        "self_attn.k_norm" => "attn_k_norm",
        "mlp.gate_proj" => "ffn_gate",
        "mlp.up_proj" => "ffn_up",
        "mlp.down_proj" => "ffn_down",
        "mlp.gate" => "ffn_gate_inp",
        "mlp.shared_expert.gate_proj" => "ffn_gate_shexp",
        "mlp.shared_expert.up_proj" => "ffn_up_shexp",
        "mlp.shared_expert.down_proj" => "ffn_down_shexp",
        "mlp.shared_expert_gate" => "ffn_gate_inp_shexp",
        _ => return None,
    })
}

/// Puts rows `[heads, d/2, 2]` of an interleaved projection, or of its bias, back into `[heads, 2, d/2]`.
fn unpermute(rows: &Tensor, heads: usize) -> Result<Tensor> {
    let shape = rows.dims().to_vec();
    let split = rows.reshape((heads, shape[0] / heads / 2, 2, ()))?.transpose(1, 2)?; // [heads, 2, d/2, in]
    Ok(split.contiguous()?.reshape(shape)?)
}

impl TensorSource for GgufTensors {
    fn contains(&self, name: &str) -> bool {
        self.place(name).is_some_and(|place| self.file.contains(&place.stored))
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        let place = self.place(name)?;
        let mut shape = self.file.shape(&place.stored)?;
        // One that the stack does not have keeps the whole shape, which then is reported as the wrong one.
        if place.index.is_some_and(|index| shape.len() > 1 && index < shape[0]) {
            shape.remove(0);
        }
        if let Some(rows) = place.rows {
            *shape.first_mut()? = rows.len();
        }
        // The map of one row is stored as a vector.
        if place.stored.ends_with(".ffn_gate_inp_shexp.weight") && shape.len() == 1 {
            shape.insert(0, 1);
        }
        Some(shape)
    }

    fn read(&self, name: &str, device: &Device) -> Result<Tensor> {
        let place = self.place(name).ok_or_else(|| Error::Tensor {
            path: self.file.path().to_path_buf(),
            tensor: name.to_string(),
            expected: "a tensor that GGUF files have".to_string(),
            found: "no such tensor".to_string(),
        })?;
        if let Some(index) = place.index {
            let one = self.file.read_rows(&place.stored, index..index + 1, device)?.get(0)?;
            return Ok(match place.rows {
                Some(rows) => one.narrow(0, rows.start, rows.len())?.contiguous()?,
                None => one,
            });
        }
        let rows = match place.rows {
            Some(rows) => self.file.read_rows(&place.stored, rows, device)?,
            None => self.file.read(&place.stored, device)?,
        };
        let rows = match self.shape(name) {
            Some(shape) => rows.reshape(shape)?,
            None => rows,
        };
        match place.heads {
            Some(heads) => unpermute(&rows, heads),
            None => Ok(rows),
        }
    }

    /// A type that is not known keeps the weights from loading, not the file from being looked at:
    /// [`GgufFile::of_unknown_type`] names those tensors.
    fn check_dtype(&self, _name: &str) -> Result<()> {
        Ok(())
    }

    fn dtypes(&self) -> BTreeMap<String, usize> {
        self.file.dtypes()
    }

    fn file_of(&self, name: &str) -> PathBuf {
        let stored = self.place(name).map(|place| place.stored).unwrap_or_default();
        self.file.file_of(&stored).to_path_buf()
    }

    fn stored_name(&self, name: &str) -> Option<String> {
        self.place(name).map(|place| place.stored).filter(|stored| self.file.contains(stored))
    }

    fn stored_names(&self) -> Vec<String> {
        self.file.names()
    }

    fn stored_shape(&self, stored: &str) -> Option<Vec<usize>> {
        self.file.shape(stored)
    }

    fn read_stored(&self, stored: &str) -> Result<Tensor> {
        self.file.read(stored, &Device::Cpu)
    }
}

//! What GGUF files call the tensors of a decoder, and in which layout they hold them.
//!
//! Names are the same in every architecture, so one map serves all. Matrices that share an input may be
//! stored as one (q, k and v; gate and up), and those of experts are stacked.

use super::gguf_layouts::Change;
use super::gguf_tensors::{GgufTensors, Place};
use crate::spec::{BlockKind, Mixer, MlpKind, RecurrentSpec};

impl GgufTensors {
    /// Where the tensor is that Llama would call `name`.
    pub(super) fn place(&self, name: &str) -> Option<Place> {
        let (module, kind) = name.rsplit_once('.')?;
        let whole = |part: &str| Place::whole(format!("{part}.{kind}"));
        match module {
            "model.embed_tokens" => return Some(whole("token_embd")),
            "model.embed_positions" => return Some(whole("position_embd")),
            // LFM2's files name the last norm after the first.
            "model.norm" if !self.file.contains(&format!("output_norm.{kind}")) => {
                return Some(whole("token_embd_norm"));
            }
            "model.norm" => return Some(whole("output_norm")),
            "model.embed_norm" => return Some(whole("token_embd_norm")),
            "lm_head" => return Some(whole("output")),
            "model.embed_tokens_per_layer" => return Some(whole("per_layer_token_embd")),
            "model.per_layer_model_projection" => return Some(whole("per_layer_model_proj")),
            "model.per_layer_projection_norm" => return Some(whole("per_layer_proj_norm")),
            _ => {}
        }
        let (layer, within) = name.strip_prefix("model.layers.")?.split_once('.')?;
        if let Some((_, stored, changes)) = ALONE.iter().find(|(own, ..)| *own == within) {
            return Some(Place::whole(format!("blk.{layer}.{stored}")).changed(changes));
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
        if let Some(name) = within.strip_prefix("linear_attn.") {
            return self.delta_net(layer, name);
        }
        let stored = |part: &str| format!("blk.{layer}.{part}");
        let of = spec.layers.get(layer.parse::<usize>().ok()?)?;
        // Queries and what gates what they mix may stand side by side by head.
        let gated = |name| self.file.shape(&format!("{}.{kind}", stored(name)))?.first().map(|rows| rows / 2);
        for (name, part_of_head) in [("self_attn.q_proj", 0), ("self_attn.gate_proj", 1)] {
            if part == name
                && of.mixer == Mixer::Attention
                && gated("attn_q") == Some(spec.num_attention_heads * spec.heads(of).head_dim)
            {
                let heads = spec.num_attention_heads;
                let change = Change::PartOfHeads { heads, parts: 2, part: part_of_head };
                return Some(whole(&stored("attn_q")).changed(&[change]));
            }
        }
        // Falcon-H1's has no ending.
        let bare = stored("ffn_norm");
        if part == "post_attention_layernorm" && self.file.contains(&bare) {
            return Some(Place::whole(bare));
        }
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
        match own {
            "attn_q" if self.interleaved => {
                place.changes.push(Change::Halves { heads: spec.num_attention_heads });
            }
            "attn_k" if self.interleaved => {
                place.changes.push(Change::Halves { heads: heads.num_key_value_heads });
            }
            _ => {}
        }
        Some(place)
    }

    /// Where `E.gate_proj`, `E.up_proj` or `E.down_proj` of expert `E` is: in a stack of matrices, which for
    /// the first two may be one.
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

impl GgufTensors {
    /// What makes keys and values of a latent, in two stacks of one matrix a head: `[heads, latent, keys]`
    /// and `[heads, values, latent]`. Nothing where `name` is another tensor, or it is stored as one.
    pub(super) fn keys_and_values(&self, name: &str) -> Option<[String; 2]> {
        let layer = name.strip_prefix("model.layers.")?.strip_suffix(".self_attn.kv_b_proj.weight")?;
        let stacks = ["attn_k_b", "attn_v_b"].map(|part| format!("blk.{layer}.{part}.weight"));
        stacks.iter().all(|stack| self.file.contains(stack)).then_some(stacks)
    }

    /// Where a tensor of a Gated DeltaNet of Qwen is. Value heads of Qwen 3.5 stand in turns over the key
    /// heads, those of Qwen 3 Next by key head.
    fn delta_net(&self, layer: &str, name: &str) -> Option<Place> {
        let of = self.spec.layers.get(layer.parse::<usize>().ok()?)?;
        let Mixer::Recurrent(RecurrentSpec::DeltaNet(net)) = &of.mixer else { return None };
        let (keys, values) = (net.linear_num_key_heads, net.linear_num_value_heads);
        let (of_keys, of_values) = (keys * net.linear_key_head_dim, values * net.linear_value_head_dim);
        let by_key = |columns| match self.file.architecture() == "qwen3next" || keys == values {
            true => vec![],
            false => vec![Change::ByKey { keys, values, columns }],
        };
        let stored = |part: &str| Place::whole(format!("blk.{layer}.{part}"));
        let beta_and_decay =
            |part| stored("ssm_ba.weight").changed(&[Change::PartOfHeads { heads: keys, parts: 2, part }]);
        let rows = match name.chars().next()? {
            'q' => 0..of_keys,
            'k' => of_keys..2 * of_keys,
            _ => 2 * of_keys..2 * of_keys + of_values,
        };
        let of_rows = if name.starts_with('v') { by_key(false) } else { vec![] };
        Some(match name {
            "q_proj.weight" | "k_proj.weight" | "v_proj.weight" => {
                Place { rows: Some(rows), ..stored("attn_qkv.weight").changed(&of_rows) }
            }
            "q_conv1d.weight" | "k_conv1d.weight" | "v_conv1d.weight" => {
                let changes = [of_rows, vec![Change::OneInput]].concat();
                Place { rows: Some(rows), ..stored("ssm_conv1d.weight").changed(&changes) }
            }
            "b_proj.weight" if self.file.architecture() == "qwen3next" => beta_and_decay(0),
            "a_proj.weight" if self.file.architecture() == "qwen3next" => beta_and_decay(1),
            "b_proj.weight" => stored("ssm_beta.weight").changed(&by_key(false)),
            "a_proj.weight" => stored("ssm_alpha.weight").changed(&by_key(false)),
            "g_proj.weight" => stored("attn_gate.weight").changed(&by_key(false)),
            "A_log" => stored("ssm_a").changed(&[vec![Change::LogOfMinus], by_key(false)].concat()),
            "dt_bias" => stored("ssm_dt.bias").changed(&by_key(false)),
            "o_norm.weight" => stored("ssm_norm.weight"),
            "o_proj.weight" => stored("ssm_out.weight").changed(&by_key(true)),
            _ => return None,
        })
    }
}

/// Tensors of a layer that GGUF files hold under another ending or in another layout, with their changes.
#[rustfmt::skip]
const ALONE: &[(&str, &str, &[Change])] = &[
    ("mlp.gate.e_score_correction_bias", "exp_probs_b.bias", &[]),
    ("mlp.gate.scale", "ffn_gate_inp.scale", &[]),
    ("mlp.gate.per_expert_scale", "ffn_down_exps.scale", &[]),
    ("mlp.shared_expert_gate.weight", "ffn_gate_inp_shexp.weight", &[Change::OneRow]),
    ("self_attn.sinks", "attn_sinks.weight", &[]),
    ("layer_scalar", "layer_output_scale.weight", &[]),
    ("self_attn.q_conv1d.weight", "ssm_conv1d_q.weight", &[Change::OneInput]),
    ("self_attn.k_conv1d.weight", "ssm_conv1d_k.weight", &[Change::OneInput]),
    ("self_attn.v_conv1d.weight", "ssm_conv1d_v.weight", &[Change::OneInput]),
    ("self_attn.f_a_proj.weight", "ssm_f_a.weight", &[]),
    ("self_attn.f_b_proj.weight", "ssm_f_b.weight", &[]),
    ("self_attn.b_proj.weight", "ssm_beta.weight", &[]),
    ("self_attn.g_a_proj.weight", "ssm_g_a.weight", &[]),
    ("self_attn.g_b_proj.weight", "ssm_g_b.weight", &[]),
    ("self_attn.A_log", "ssm_a", &[Change::Flat, Change::LogOfMinus]),
    ("self_attn.dt_bias", "ssm_dt.bias", &[]),
    ("self_attn.o_norm.weight", "ssm_norm.weight", &[]),
    ("mamba.in_proj.weight", "ssm_in.weight", &[]),
    ("mamba.in_proj.bias", "ssm_in.bias", &[]),
    ("mamba.conv1d.weight", "ssm_conv1d.weight", &[Change::OneInput]),
    ("mamba.conv1d.bias", "ssm_conv1d.bias", &[]),
    ("mamba.x_proj.weight", "ssm_x.weight", &[]),
    ("mamba.dt_proj.weight", "ssm_dt.weight", &[]),
    ("mamba.dt_proj.bias", "ssm_dt.bias", &[]),
    ("mamba.dt_bias", "ssm_dt.bias", &[]),
    ("mamba.A_log", "ssm_a", &[Change::Column, Change::LogOfMinus]),
    ("mamba.D", "ssm_d", &[Change::Column]),
    ("mamba.norm.weight", "ssm_norm.weight", &[Change::Flat]),
    ("mamba.dt_layernorm.weight", "ssm_dt_norm.weight", &[]),
    ("mamba.b_layernorm.weight", "ssm_b_norm.weight", &[]),
    ("mamba.c_layernorm.weight", "ssm_c_norm.weight", &[]),
    ("mamba.out_proj.weight", "ssm_out.weight", &[]),
    ("mamba.out_proj.bias", "ssm_out.bias", &[]),
    ("conv.in_proj.weight", "shortconv.in_proj.weight", &[]),
    ("conv.conv.weight", "shortconv.conv.weight", &[Change::OneInput]),
    ("conv.out_proj.weight", "shortconv.out_proj.weight", &[]),
];

/// The GGUF name of a part of a layer. Norms are named after their place in a block, which differs.
fn part_name(part: &str, block: BlockKind) -> Option<&'static str> {
    Some(match part {
        "input_layernorm" => "attn_norm",
        "post_attention_layernorm" => match block {
            BlockKind::PreNorm | BlockKind::ParallelTwoNorms => "ffn_norm",
            _ => "post_attention_norm",
        },
        "pre_feedforward_layernorm" => "ffn_norm",
        "post_feedforward_layernorm" => "post_ffw_norm",
        "post_feedforward_layernorm_1" => "post_ffw_norm_1",
        "pre_feedforward_layernorm_2" => "pre_ffw_norm_2",
        "post_feedforward_layernorm_2" => "post_ffw_norm_2",
        "self_attn.q_proj" => "attn_q",
        "self_attn.k_proj" => "attn_k",
        "self_attn.v_proj" => "attn_v",
        "self_attn.o_proj" => "attn_output",
        "self_attn.q_norm" => "attn_q_norm",
        "self_attn.k_norm" => "attn_k_norm",
        "self_attn.q_a_proj" => "attn_q_a",
        "self_attn.q_a_layernorm" => "attn_q_a_norm",
        "self_attn.q_b_proj" => "attn_q_b",
        "self_attn.kv_a_proj_with_mqa" => "attn_kv_a_mqa",
        "self_attn.kv_a_layernorm" => "attn_kv_a_norm",
        "self_attn.kv_b_proj" => "attn_kv_b",
        "per_layer_input_gate" => "inp_gate",
        "per_layer_projection" => "proj",
        "post_per_layer_input_norm" => "post_norm",
        "mlp.gate_proj" => "ffn_gate",
        "mlp.up_proj" => "ffn_up",
        "mlp.down_proj" => "ffn_down",
        "mlp.gate" => "ffn_gate_inp",
        "mlp.fc1_latent_proj" => "ffn_latent_down",
        "mlp.fc2_latent_proj" => "ffn_latent_up",
        "mlp.shared_expert.gate_proj" => "ffn_gate_shexp",
        "mlp.shared_expert.up_proj" => "ffn_up_shexp",
        "mlp.shared_expert.down_proj" => "ffn_down_shexp",
        _ => return None,
    })
}

//! Prefill of 4,096 tokens through one layer of each kind of mixer, between residual streams of one width:
//! what a state of fixed size takes beside full attention. Each layer is a norm and its mixer, without an
//! MLP; tokens go through in chunks of 512, as in a run.

use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;
use std::path::PathBuf;

use candle_core::{Device, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use niah::attention::variant::{VARIANTS, VariantInputs};
use niah::error::Result;
use niah::model::decoder::{Decoder, Forward};
use niah::rng::Rng;
use niah::spec::{
    Activation, Biases, BlockKind, DecoderSpec, DeltaDecay, DeltaGate, DeltaNetSpec, Dtype, Extras,
    GatedUnitSpec, LayerSpec, Mamba2Spec, MambaSpec, Mixer, MlpKind, NormKind, QkNorm, ReadNorm,
    RecurrentSpec, RotaryLayout, SelectionNorms, ShortConvSpec,
};
use niah::weights::{TensorSource, Weights};

const HIDDEN: usize = 1024;
const TOKENS: usize = 4096;
const CHUNK: usize = 512;
const HEAD_DIM: usize = 64;

/// Tensors of random numbers, of the shapes that a decoder asks for.
struct Random(HashMap<String, Vec<usize>>);

impl TensorSource for Random {
    fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.0.get(name).cloned()
    }

    fn read(&self, name: &str, device: &Device) -> Result<Tensor> {
        let shape = self.0[name].clone();
        let (count, width) = (shape.iter().product(), shape.last().copied().unwrap_or(1) as f64);
        let mut rng = Rng::new(name.len() as u64);
        let numbers: Vec<f32> =
            (0..count).map(|_| ((2.0 * rng.unit() - 1.0) * width.powf(-0.5)) as f32).collect();
        Ok(Tensor::from_vec(numbers, shape, device)?)
    }

    fn check_dtype(&self, _name: &str) -> Result<()> {
        Ok(())
    }

    fn dtypes(&self) -> BTreeMap<String, usize> {
        BTreeMap::new()
    }

    fn file_of(&self, _name: &str) -> PathBuf {
        PathBuf::from("random")
    }

    fn stored_name(&self, name: &str) -> Option<String> {
        self.contains(name).then(|| name.to_string())
    }

    fn stored_names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    fn stored_shape(&self, stored: &str) -> Option<Vec<usize>> {
        self.shape(stored)
    }

    fn read_stored(&self, stored: &str) -> Result<Tensor> {
        self.read(stored, &Device::Cpu)
    }
}

/// A decoder of one layer with this mixer.
fn decoder(mixer: Mixer) -> Decoder {
    let spec = DecoderSpec {
        vocab_size: 256,
        hidden_size: HIDDEN,
        intermediate_size: HIDDEN,
        num_hidden_layers: 1,
        num_attention_heads: HIDDEN / HEAD_DIM,
        num_key_value_heads: HIDDEN / HEAD_DIM / 4,
        head_dim: HEAD_DIM,
        norm: NormKind::Rms,
        norm_eps: 1e-5,
        block: BlockKind::MixerAlone,
        qk_norm: QkNorm::None,
        bias: Biases::default(),
        mlp: MlpKind::Gated,
        hidden_act: Activation::Silu,
        tie_word_embeddings: true,
        layers: vec![LayerSpec { mixer, ..LayerSpec::default() }],
        rotary_layout: RotaryLayout::Half,
        rotary_dim: HEAD_DIM,
        learned_positions: None,
        attention_scale: 0.125,
        attn_logit_softcapping: None,
        final_logit_softcapping: None,
        embedding_multiplier: 1.0,
        residual_multiplier: 1.0,
        logits_multiplier: 1.0,
        max_position_embeddings: None,
        screening: None,
        extras: Extras::default(),
    };
    let mut shapes = HashMap::new();
    let visited: std::result::Result<(), ()> = spec.each_tensor(
        |_| false,
        |name, shape| {
            shapes.insert(name.to_string(), shape.to_vec());
            Ok(())
        },
    );
    visited.expect("nothing refuses a tensor");
    let source = Random(shapes);
    Decoder::load(spec, &Weights::new(&source, &Device::Cpu, Dtype::F32)).expect("a decoder")
}

fn mixers() -> Vec<(&'static str, Mixer)> {
    let mamba2 = Mamba2Spec {
        mamba_n_heads: 2 * HIDDEN / 64,
        mamba_d_head: 64,
        mamba_n_groups: 1,
        mamba_d_state: 128,
        mamba_d_conv: 4,
        mamba_conv_bias: true,
        mamba_proj_bias: false,
        out_bias: false,
        time_step_limit: (0.0, None),
        norm: ReadNorm::AfterGate,
        norm_eps: 1e-5,
        ssm_multipliers: None,
    };
    let mamba = MambaSpec {
        intermediate_size: 2 * HIDDEN,
        mamba_d_state: 16,
        mamba_d_conv: 4,
        mamba_dt_rank: HIDDEN / 16,
        mamba_conv_bias: true,
        mamba_proj_bias: false,
        norms: SelectionNorms::None,
    };
    let gated_unit = GatedUnitSpec {
        lru_width: HIDDEN,
        num_attention_heads: HIDDEN / 128,
        conv1d_width: 4,
        hidden_activation: Activation::GeluTanh,
    };
    // Queries, keys and values, each as wide as the queries of attention.
    let delta_net = DeltaNetSpec {
        place: "linear_attn",
        linear_num_key_heads: HIDDEN / 128,
        linear_num_value_heads: HIDDEN / 128,
        linear_key_head_dim: 128,
        linear_value_head_dim: 128,
        linear_conv_kernel_dim: 4,
        linear_allow_neg_eigval: false,
        decay: DeltaDecay::PerHead,
        output_gate: DeltaGate::Silu,
        norm_eps: 1e-6,
    };
    let kimi_delta = DeltaNetSpec { decay: DeltaDecay::LowRank { rank: 128 }, ..delta_net.clone() };
    let short_conv = ShortConvSpec { conv_l_cache: 3, conv_bias: false };
    vec![
        ("attention", Mixer::Attention),
        ("gated delta net", Mixer::Recurrent(RecurrentSpec::DeltaNet(delta_net))),
        ("kimi delta attention", Mixer::Recurrent(RecurrentSpec::DeltaNet(kimi_delta))),
        ("mamba2", Mixer::Recurrent(RecurrentSpec::Mamba2(mamba2))),
        ("mamba", Mixer::Recurrent(RecurrentSpec::Mamba(mamba))),
        ("rg-lru", Mixer::Recurrent(RecurrentSpec::GatedUnit(gated_unit))),
        ("short convolution", Mixer::Recurrent(RecurrentSpec::ShortConv(short_conv))),
    ]
}

fn prefill_by_mixer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("prefill of 4k tokens through one layer");
    group.sample_size(10);
    group.throughput(Throughput::Elements(TOKENS as u64));
    let tokens: Vec<u32> = (0..TOKENS as u32).map(|token| token * 7 % 256).collect();
    for (name, mixer) in mixers() {
        let decoder = decoder(mixer);
        let entry = niah::registry::find("variant", VARIANTS, "softmax").expect("a known variant");
        let inputs = VariantInputs {
            layers: &decoder.spec().layers,
            heads: decoder.spec().num_attention_heads,
            ..VariantInputs::default()
        };
        let variant = (entry.value)(&inputs).expect("a variant");
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| {
                let mut cache = decoder.new_cache(TOKENS);
                for chunk in tokens.chunks(CHUNK) {
                    let forward = Forward { variant: variant.as_ref(), keep_logits: 0, probe: None };
                    decoder.forward(chunk, &mut cache, forward).expect("a pass");
                }
                black_box(cache)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, prefill_by_mixer);
criterion_main!(benches);

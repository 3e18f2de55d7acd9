//! A checkpoint as a report: a page of facts, what it has learned, and the memory of its runs.

use serde::Serialize;

use super::Report;
use super::bound::{bounded, significant};
use super::data::Data;
use super::document::{Axis, Block, Chart, Document, Figure, Point, Series, Shape, Table};
use super::experts;
use super::heatmap::Heatmap;
use super::recurrent;
use crate::attention::Window;
use crate::grid::ContextLength;
use crate::plan::{Inspection, LearnedScreen, LengthMemory, NamedToken, TokenizerFacts};
use crate::spec::MipePositions;
use crate::spec::{
    DecoderSpec, Dtype, LaurelRank, LayerSpec, Mixer, OutputGate, QkNorm, RopeScaling, RopeSpec, WeightForm,
};

/// A fact of a checkpoint, as a row.
#[derive(Default, Serialize)]
struct Fact {
    name: String,
    value: String,
}

impl From<Inspection> for Report {
    fn from(found: Inspection) -> Self {
        let facts = facts(&found);
        let row = |(name, value): &(String, String)| Fact { name: name.clone(), value: value.clone() };
        let rows = facts.iter().map(row).collect();
        let mut blocks = vec![Block::Facts(facts)];
        let attention = &found.attention;
        for (name, numbers) in [("scale s", &attention.ssmax_scale), ("bias b", &attention.ssmax_bias)] {
            if let Some(numbers) = numbers {
                let map = Heatmap::of_heads(&format!("Learned {name}"), numbers);
                blocks.push(Block::Figure(Figure::heatmap(&name.replace(' ', "-"), map)));
            }
        }
        blocks.extend(attention.screens.iter().flat_map(|screens| windows(screens)).map(Block::Wide));
        let memory = memory(&found.memory).captioned("Memory of a run");
        blocks.push(Block::Together(vec![Block::Table(memory), Block::Lines(memory_notes(&found))]));
        blocks.push(Block::Figure(memory_curve(&found.memory)));
        let title = format!("Checkpoint {}", found.model);
        let data = Data::rows::<Fact>("checkpoint", rows).of(found);
        Self { document: Document { title, blocks }, data }
    }
}

fn facts(found: &Inspection) -> Vec<(String, String)> {
    let (spec, attention) = (&found.spec, &found.attention);
    let mut facts = Vec::new();
    let mut line = |name: &str, text: &str| facts.push((name.to_string(), text.to_string()));
    line("model", &found.model);
    line("files", &files(found));
    line("tensors", &tensors(found));
    line("family", found.family);
    line("parameters", &parameters(found));
    line("sizes", &sizes(spec));
    match spec.extras.black_box {
        Some(unseen) => {
            let name = unseen.name();
            line("engine", &format!("candle's {name}, a black box: no layer shows its rows of attention"));
            recurrent::states(spec).iter().for_each(|states| line("states", states));
            if let Some(most) = unseen.positions() {
                line("positions", &format!("{most} at most"));
            }
        }
        None => decoder_facts(spec, &mut line),
    }
    if let Some(largest) = attention.largest_score {
        line("bound", &bounded(largest));
    }
    line("training", &training(found));
    line("variant", &format!("{} ({})", attention.variant, attention.description));
    if let Some(swap) = &attention.swap {
        line("swap", &format!("--variant ssmax would be a {swap}"));
    }
    match &found.tokenizer {
        Some(tokenizer) => {
            line("tokenizer", &describe_tokenizer(tokenizer));
            line("template", &template(tokenizer));
        }
        None if found.problems.is_empty() => line("tokenizer", "none found"),
        None => line("tokenizer", "cannot be used"),
    }
    for warning in &found.warnings {
        line("warning", warning);
    }
    for problem in &found.problems {
        line("problem", problem);
    }
    facts
}

/// What a decoder does between embedding and head.
fn decoder_facts(spec: &DecoderSpec, line: &mut dyn FnMut(&str, &str)) {
    line("block", &block(spec));
    if spec.screening.is_none() {
        for group in layer_groups(spec) {
            line("layers", &group);
        }
        recurrent::states(spec).iter().for_each(|states| line("states", states));
    }
    line("positions", &positions(spec));
    if spec.screening.is_none() {
        line("scores", &scores(spec));
    }
}

/// The name of a choice as it stands in JSON.
pub(super) fn label(choice: &impl Serialize) -> String {
    match serde_json::to_value(choice) {
        Ok(serde_json::Value::String(name)) => name,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}

fn plural(count: usize, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{} {one}s", thousands(count)) }
}

/// `1234567` as `1,234,567`.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in the unit that gives three digits or so.
pub(super) fn bytes(count: f64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (count, 0);
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = if unit == 0 || value >= 100.0 { 0 } else { 1 };
    format!("{value:.decimals$} {}", units[unit])
}

fn files(found: &Inspection) -> String {
    let names: Vec<_> = found.files.iter().map(|file| file.display().to_string()).collect();
    match names.as_slice() {
        [one] => format!("{one}, {}", bytes(found.file_bytes as f64)),
        [first, .., last] => {
            format!("{} files, {}: {first} to {last}", names.len(), bytes(found.file_bytes as f64))
        }
        [] => String::new(),
    }
}

/// `GGUF: Q4_1 x 210, F32 x 61`, the most frequent dtype first.
fn tensors(found: &Inspection) -> String {
    let mut counts: Vec<_> = found.tensors.iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let counts: Vec<_> = counts.into_iter().map(|(dtype, count)| format!("{dtype} x {count}")).collect();
    let gguf = found.files.iter().any(|file| file.extension().is_some_and(|extension| extension == "gguf"));
    format!("{}: {}", if gguf { "GGUF" } else { "safetensors" }, counts.join(", "))
}

fn parameters(found: &Inspection) -> String {
    let bits = 8.0 * found.file_bytes as f64 / found.parameters as f64;
    let loaded = found.memory.first().map(|memory| format!(", {} as run", bytes(memory.weights as f64)));
    let active = found.spec.active_parameter_count();
    let met = match active < found.parameters {
        true => format!(", {} of them for each token", thousands(active)),
        false => String::new(),
    };
    format!(
        "{}{met} ({bits:.1} bits each in the files{})",
        thousands(found.parameters),
        loaded.unwrap_or_default()
    )
}

fn sizes(spec: &DecoderSpec) -> String {
    if let Some(screening) = &spec.screening {
        return [
            ("hidden_size", spec.hidden_size),
            ("num_hidden_layers", spec.num_hidden_layers),
            ("num_attention_heads", spec.num_attention_heads),
            ("key_dim", spec.head_dim),
            ("value_dim", screening.value_dim),
            ("vocab_size", spec.vocab_size),
        ]
        .map(|(name, size)| format!("{name}={size}"))
        .join(", ");
    }
    [
        ("hidden_size", spec.hidden_size),
        ("intermediate_size", spec.intermediate_size),
        ("num_hidden_layers", spec.num_hidden_layers),
        ("num_attention_heads", spec.num_attention_heads),
        ("num_key_value_heads", spec.num_key_value_heads),
        ("head_dim", spec.head_dim),
        ("vocab_size", spec.vocab_size),
    ]
    .map(|(name, size)| format!("{name}={size}"))
    .join(", ")
}

fn block(spec: &DecoderSpec) -> String {
    if spec.screening.is_some() {
        return "screening tiles in place of attention, MLP and norms, head tied to the embedding, both with \
                rows of unit length"
            .to_string();
    }
    let mut parts = vec![
        label(&spec.block),
        // Many files hold it in f32, where 1e-5 is 9.999999747378752e-6.
        format!("norm {} (eps {:e})", label(&spec.norm), spec.norm_eps as f32),
        format!("MLP {} ({})", label(&spec.mlp), label(&spec.hidden_act)),
    ];
    if spec.qk_norm != QkNorm::None {
        parts.push(format!("query and key norm {}", label(&spec.qk_norm)));
    }
    match spec.extras.output_gate {
        Some(OutputGate::ByElement) => parts.push("output gate of attention by coordinate".to_string()),
        Some(OutputGate::ByHead) => parts.push("output gate of attention by head".to_string()),
        None => {}
    }
    if spec.extras.embedding_norm {
        parts.push("norm of the embedding".to_string());
    }
    if let Some(alt_up) = spec.extras.alt_up {
        parts.push(format!("{} residual streams (AltUp)", alt_up.altup_num_inputs));
    }
    if let Some(LaurelRank(rank)) = spec.extras.laurel_rank {
        parts.push(format!("a learned residual of rank {rank} (LAuReL)"));
    }
    let biases = [
        ("qkv", spec.bias.qkv),
        ("output", spec.bias.output),
        ("mlp", spec.bias.mlp),
        ("head", spec.bias.head),
    ];
    let biased: Vec<_> = biases.iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect();
    if !biased.is_empty() {
        parts.push(format!("bias on {}", biased.join(", ")));
    }
    parts.push(
        if spec.tie_word_embeddings { "head tied to the embedding" } else { "head of its own" }.to_string(),
    );
    parts.join(", ")
}

/// One text for each kind of layer, in the order of the first layer of each.
fn layer_groups(spec: &DecoderSpec) -> Vec<String> {
    let mut groups: Vec<(&LayerSpec, Vec<usize>)> = Vec::new();
    for (index, layer) in spec.layers.iter().enumerate() {
        match groups.iter_mut().find(|(known, _)| *known == layer) {
            Some((_, members)) => members.push(index),
            None => groups.push((layer, vec![index])),
        }
    }
    let alone = groups.len() == 1;
    let describe = |(layer, members): (&LayerSpec, Vec<usize>)| {
        let which = match alone {
            true => format!("all {}", members.len()),
            false => format!("{} ({})", members.len(), ranges(&members)),
        };
        let rope = || layer.rope.as_ref().map_or("no rotary positions".to_string(), rotary);
        let attention = match (layer.latent, layer.window) {
            (Some(latent), _) => {
                let (kept, turned) = (latent.kv_lora_rank, latent.qk_rope_head_dim);
                let chosen = latent.indexer.map(|indexer| {
                    let (keys, heads) = (indexer.index_topk, indexer.index_n_heads);
                    format!(", {keys} keys a row chosen by {heads} index heads")
                });
                let chosen = chosen.unwrap_or_default();
                format!("latent attention, {kept} + {turned} numbers a token kept{chosen}, {}", rope())
            }
            (None, Window::Full) => format!("full attention, {}", rope()),
            (None, Window::Sliding(width)) => format!("sliding window {width}, {}", rope()),
            (None, Window::Chunked(size)) => format!("chunks of {size}, {}", rope()),
        };
        let mixer = match &layer.mixer {
            Mixer::Attention => attention,
            Mixer::Recurrent(mixer) => format!("{}; no rows of attention", recurrent::describe(mixer)),
            Mixer::Both(mixer) => format!("{attention}, beside {}", recurrent::describe(mixer)),
            Mixer::None => "no mixer, no rows of attention".to_string(),
        };
        let heads = layer.heads.filter(|_| layer.latent.is_none()).map(|heads| {
            format!(", num_key_value_heads={}, head_dim={}", heads.num_key_value_heads, heads.head_dim)
        });
        let shared = layer.shares.map(|from| format!(", keys and values of layer {from}"));
        let sinks = if layer.sinks { ", a learned sink for each head" } else { "" };
        let pairs = if layer.differential.is_some() { ", heads subtracted in pairs" } else { "" };
        let mixer = [
            mixer,
            heads.unwrap_or_default(),
            shared.unwrap_or_default(),
            sinks.to_string(),
            pairs.to_string(),
        ]
        .concat();
        let experts = layer.moe.as_ref().map(|moe| format!(", {}", experts::describe(moe)));
        let wide = layer.intermediate_size.filter(|_| layer.moe.is_none());
        let wide = wide.map(|width| format!(", an MLP of width {width}"));
        let sparse = layer.activation_sparsity.map(|share| {
            let percent = significant(100.0 * share);
            format!(", gates cut off below the {percent} % of a normal distribution")
        });
        let mlp = [experts, wide, sparse].into_iter().flatten().collect::<String>();
        format!("{which}: {mixer}{mlp}")
    };
    groups.into_iter().map(describe).collect()
}

/// `0-4, 6, 8-9` for 0, 1, 2, 3, 4, 6, 8, 9.
fn ranges(ascending: &[usize]) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for &number in ascending {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let text = |(first, last): (usize, usize)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    runs.into_iter().map(text).collect::<Vec<_>>().join(", ")
}

fn rotary(rope: &RopeSpec) -> String {
    let scaling = match &rope.scaling {
        RopeScaling::Default => return format!("rotary theta {}", rope.theta),
        RopeScaling::Linear { factor } => format!("linear, factor {factor}"),
        RopeScaling::Llama3 { factor, original_max_position_embeddings, .. } => {
            format!("llama3, factor {factor} over {original_max_position_embeddings} positions")
        }
        RopeScaling::Yarn { factor, original_max_position_embeddings, .. } => {
            format!("yarn, factor {factor} over {original_max_position_embeddings} positions")
        }
        RopeScaling::Dynamic { factor, max_position_embeddings } => {
            format!("dynamic, factor {factor} beyond {max_position_embeddings} positions")
        }
        RopeScaling::LongRope { original_max_position_embeddings, .. } => {
            format!("longrope, other divisors beyond {original_max_position_embeddings} positions")
        }
        RopeScaling::Proportional { factor, pairs } => {
            format!("proportional, {pairs} pairs of a head, factor {factor}")
        }
        RopeScaling::Divisors { divisors } => {
            let largest = divisors.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            format!("a divisor for each frequency, up to {largest}")
        }
    };
    format!("rotary theta {}, scaled: {scaling}", rope.theta)
}

fn positions(spec: &DecoderSpec) -> String {
    if let Some(screening) = &spec.screening {
        let wrapped = match screening.mipe_positions {
            MipePositions::Absolute => "absolute".to_string(),
            MipePositions::Wrapped => {
                format!(
                    "absolute below {}, and from there on wrapped at each tile's window",
                    screening.training_length
                )
            }
        };
        return format!(
            "2 of {} coordinates turn in tiles with windows below {} (MiPE), {wrapped}",
            spec.head_dim, screening.mipe_threshold
        );
    }
    match spec.learned_positions {
        Some(rows) => format!("{rows} learned"),
        None if spec.ropes().is_empty() => "none".to_string(),
        None => {
            let (layout, turning) = (label(&spec.rotary_layout), spec.rotary_dim);
            format!("rotary on {turning} of {} coordinates, {layout} layout", spec.head_dim)
        }
    }
}

/// Windows and acceptance widths, layers down and tiles across.
fn windows(screens: &[Vec<LearnedScreen>]) -> [Table; 2] {
    let tiles = screens.iter().map(Vec::len).max().unwrap_or(0);
    let names: Vec<String> = (0..tiles).map(|tile| tile.to_string()).collect();
    let header: Vec<&str> = std::iter::once("layer").chain(names.iter().map(String::as_str)).collect();
    let table = |caption: &str, cell: &dyn Fn(&LearnedScreen) -> String| {
        let row = |(layer, screens): (usize, &Vec<LearnedScreen>)| {
            let cells = (0..tiles).map(|tile| screens.get(tile).map(cell).unwrap_or_default());
            std::iter::once(layer.to_string()).chain(cells).collect()
        };
        Table::new(&header, screens.iter().enumerate().map(row).collect()).captioned(caption)
    };
    let window = |screen: &LearnedScreen| {
        let window = screen.screen.window;
        let text = if window < 1e7 { significant(window) } else { format!("{window:.1e}") };
        format!("{text}{}", if screen.wide { "*" } else { "" })
    };
    let acceptance = |screen: &LearnedScreen| format!("{:.3}", screen.screen.acceptance);
    let mark = match screens.iter().flatten().any(|screen| screen.wide) {
        true => "Windows w in tokens by layer and tile (* wider than the training length)",
        false => "Windows w in tokens by layer and tile (none is wider than the training length)",
    };
    [
        table(mark, &window),
        table(
            "Acceptance widths r by layer and tile (a key passes if its similarity is above 1 - r)",
            &acceptance,
        ),
    ]
}

/// Memory of a run, one row a length.
fn memory(lengths: &[LengthMemory]) -> Table {
    // Most decoders have no states.
    let columns: Vec<_> = [
        ("weights", (|memory| memory.weights) as fn(&LengthMemory) -> usize),
        ("copies", |memory| memory.copies),
        ("cache", |memory| memory.cache),
        ("states", |memory| memory.states),
        ("working set", |memory| memory.working),
        ("loading", |memory| memory.loading),
        ("total", |memory| memory.total),
    ]
    .into_iter()
    .filter(|(name, size)| *name != "states" || lengths.iter().any(|memory| size(memory) > 0))
    .collect();
    let row = |memory: &LengthMemory| {
        let fits = if memory.fits { "yes" } else { "no" };
        let sizes = columns.iter().map(|(_, size)| bytes(size(memory) as f64));
        [ContextLength(memory.context_length).to_string()]
            .into_iter()
            .chain(sizes)
            .chain([fits.to_string()])
            .collect()
    };
    let names = columns.iter().map(|(name, _)| *name);
    let header: Vec<_> = std::iter::once("length").chain(names).chain(["fits"]).collect();
    Table::new(&header, lengths.iter().map(row).collect())
}

/// Memory of a run over its length.
fn memory_curve(lengths: &[LengthMemory]) -> Figure {
    let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    let series = |name: &str, color, bytes: fn(&LengthMemory) -> usize| Series {
        name: name.to_string(),
        color,
        shape: Shape::Line,
        points: lengths.iter().map(|at| Point::new(at.context_length as f64, mib(bytes(at)))).collect(),
    };
    let chart = Chart {
        title: "Memory of a run".to_string(),
        x: Axis::logarithmic("prompt length (tokens)"),
        y: Axis::linear("MiB", None),
        series: vec![series("total", 1, |at| at.total), series("cache", 0, |at| at.cache)],
        marks: Vec::new(),
    };
    Figure::chart("memory", "Memory of a run by the length of its prompts", chart)
}

/// What is done to scores, activations and logits.
fn scores(spec: &DecoderSpec) -> String {
    let mut parts = vec![format!("scale {}", significant(spec.attention_scale))];
    let caps = [("attention", spec.attn_logit_softcapping), ("logits", spec.final_logit_softcapping)];
    parts.extend(caps.iter().filter_map(|(what, cap)| cap.map(|cap| format!("soft cap {cap} on {what}"))));
    let multipliers = [
        ("embeddings", spec.embedding_multiplier),
        ("the residual stream", spec.residual_multiplier),
        ("logits", spec.logits_multiplier),
    ];
    let set = multipliers.iter().filter(|(_, factor)| *factor != 1.0);
    parts.extend(set.map(|(what, factor)| format!("{what} times {}", significant(*factor))));
    parts.join(", ")
}

fn training(found: &Inspection) -> String {
    match (found.training_length, found.spec.max_position_embeddings) {
        (Some(length), Some(declared)) if length != declared => {
            format!("{length} tokens, stretched to {declared} positions")
        }
        (Some(length), _) => format!("{length} tokens"),
        (None, _) => "length not declared".to_string(),
    }
}

fn describe_tokenizer(tokenizer: &TokenizerFacts) -> String {
    let named = |token: &NamedToken| format!("{} ({})", token.text.escape_debug(), token.id);
    let bos = tokenizer.bos.as_ref().map_or("no BOS".to_string(), |bos| format!("BOS {}", named(bos)));
    let ends: Vec<_> = tokenizer.end_tokens.iter().map(named).collect();
    let ends = if ends.is_empty() { "nothing".to_string() } else { ends.join(", ") };
    let (size, special) = (plural(tokenizer.vocab_size, "token"), tokenizer.special_tokens);
    format!("{}, {size} ({special} special), {bos}; answers end with {ends}", tokenizer.kind)
}

/// Characters of a chat template that are shown.
const TEMPLATE_SHOWN: usize = 60;

fn template(tokenizer: &TokenizerFacts) -> String {
    let Some(source) = &tokenizer.chat_template else { return "no chat template".to_string() };
    let line = source.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
    let shown: String = line.chars().take(TEMPLATE_SHOWN).collect();
    let more = if shown.len() < source.trim().len() { " ..." } else { "" };
    format!("chat template of {}: {shown}{more}", plural(source.chars().count(), "character"))
}

fn memory_notes(found: &Inspection) -> Vec<String> {
    let mut notes = Vec::new();
    let widened = |kept| format!("weights stay in the {kept}, and are widened where they are multiplied");
    let integers = |form| format!("weights {form}, and are multiplied as integers");
    notes.extend(match (found.weights, found.dtype) {
        (WeightForm::Expanded, _) => None,
        (WeightForm::Rounded, _) => Some(integers("are rounded to blocks of 34 bytes for 32 numbers")),
        (WeightForm::Quantised, Dtype::Int8) => Some(integers("stay in the blocks of the file")),
        (WeightForm::Quantised, _) => Some(widened("blocks of the file")),
        (WeightForm::Halves, _) => Some(widened("numbers of 16 bits that the file has")),
    });
    if let Some(available) = found.available_bytes {
        notes.push(format!("{} available on this machine", bytes(available as f64)));
    }
    if let Some(positions) = found.spec.learned_positions {
        notes.push(format!("positions are learned: nothing runs past {positions} tokens"));
    }
    let longer = |length: &usize| found.memory.iter().any(|memory| memory.context_length > *length);
    if let Some(trained) = found.training_length.filter(longer) {
        notes.push(format!("training length {}: longer contexts were never seen", ContextLength(trained)));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_readers() {
        assert_eq!([0, 999, 1000, 134_515_008].map(thousands), ["0", "999", "1,000", "134,515,008"]);
        assert_eq!(
            [0.0, 999.0, 1024.0, 98_362_432.0].map(bytes),
            ["0 bytes", "999 bytes", "1.0 KiB", "93.8 MiB"]
        );
        assert_eq!(
            [0.125, 1.0 / 576f64.sqrt(), 12.0, 45.254_834].map(significant),
            ["0.125", "0.04167", "12", "45.25"]
        );
        assert_eq!(ranges(&[0, 1, 2, 3, 4, 6, 8, 9]), "0-4, 6, 8-9");
        assert_eq!(ranges(&[]), "");
        assert_eq!(plural(1, "token") + &plural(2000, "token"), "1 token2,000 tokens");
    }

    #[test]
    fn choices_carry_the_names_they_have_in_json() {
        use crate::spec::{Activation, NormKind};
        assert_eq!(label(&NormKind::RmsPlusOne), "rms-plus-one");
        assert_eq!(label(&Activation::GeluTanh), "gelu-tanh");
        assert_eq!(label(&serde_json::json!({"experts": 8})), r#"{"experts":8}"#);
    }
}

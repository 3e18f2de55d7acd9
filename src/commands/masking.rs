//! What is masked, with what files say of it.

use std::path::Path;

use crate::cli::MaskArgs;
use crate::error::Result;
use crate::plan::{MaskedHeads, MaskedSpans, Masking};
use crate::spec::HeadPlace;
use crate::store::ranking;

/// What was typed, as a part of settings.
///
/// # Errors
/// When a file of heads, or a ranking of them, cannot be read.
pub(super) fn masking(args: &MaskArgs) -> Result<Masking> {
    let heads = args.mask_heads.as_deref().map(|heads| masked_heads(heads, args)).transpose()?;
    let mut kinds = args.mask_span.clone();
    kinds.sort_unstable();
    kinds.dedup();
    let spans = MaskedSpans { kinds, layers: args.mask_layers.clone(), states: Vec::new() };
    Ok(Masking { heads, spans: (!spans.kinds.is_empty()).then_some(spans) })
}

fn masked_heads(heads: &str, args: &MaskArgs) -> Result<MaskedHeads> {
    let named = |chosen: &str| MaskedHeads {
        chosen: chosen.to_string(),
        by: args.mask_heads_by,
        places: Vec::new(),
        ranking: Vec::new(),
    };
    let path = Path::new(heads);
    if named(heads).is_a_choice() || !path.exists() {
        let ranking = args.mask_ranking.as_deref().map(ranking::ranking).transpose()?;
        return Ok(MaskedHeads { ranking: ranking.unwrap_or_default(), ..named(heads) });
    }
    let places: Vec<HeadPlace> = ranking::heads(path)?;
    let chosen: Vec<String> = places.iter().map(ToString::to_string).collect();
    Ok(MaskedHeads { places, ..named(&chosen.join(",")) })
}

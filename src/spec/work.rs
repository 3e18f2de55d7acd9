//! What the computation of a prompt, or of one token, takes at least: operations, and numbers that are read.

use super::{DecoderSpec, LayerSpec};

impl DecoderSpec {
    /// Operations of a prompt of `tokens` tokens with the logits of its last row: those of the linear maps,
    /// `2 w` a token for `w` weights, and of attention, `2 (d_k + d_v)` for each query head and each key that
    /// a row sees. `None` where a layer mixes rows in another way.
    #[must_use]
    pub fn prompt_operations(&self, tokens: usize) -> Option<f64> {
        let linear = self.linear_weights_per_token() as f64 * tokens as f64;
        let head = (self.vocab_size * self.embedding_size()) as f64;
        let rows = |layer: &LayerSpec| (0..tokens).map(|row| layer.window.visible(row)).sum::<usize>();
        let attention = self.rows_of_attention(|layer, widths| rows(layer) as f64 * widths as f64)?;
        Some(2.0 * (linear + head + attention))
    }

    /// Bytes that the token behind `tokens` others reads at least: of weights that take `weights` bytes in
    /// all, those that it meets, and of a cache of `cached` bytes in all, the keys and values of its windows.
    /// Each weight counts as many bytes as the others. `None` where a layer mixes rows in another way.
    #[must_use]
    pub fn token_bytes(&self, tokens: usize, weights: usize, cached: usize) -> Option<f64> {
        let parameters = self.parameter_count() as f64;
        // One row of a table that is no head.
        let table = if self.tie_word_embeddings { 0 } else { self.vocab_size * self.embedding_size() };
        let met = self.active_parameter_count().saturating_sub(table) as f64;
        let seen = self.rows_of_attention(|layer, _| {
            let width = 2 * self.heads(layer).cached_width() * self.heads(layer).num_key_value_heads;
            (layer.window.visible(tokens) * width) as f64
        })?;
        let kept: usize =
            self.cached_heads().map(|heads| 2 * heads.num_key_value_heads * heads.cached_width()).sum();
        let share = seen / (kept * (tokens + 1)).max(1) as f64;
        Some(weights as f64 * met / parameters.max(1.0) + cached as f64 * share)
    }

    /// The sum over all layers of what `of` makes of a layer and of the widths of keys and values of its
    /// query heads; `None` where one of them has no rows of attention over keys and values as they are
    /// cached.
    fn rows_of_attention(&self, of: impl Fn(&LayerSpec, usize) -> f64) -> Option<f64> {
        if self.screening.is_some() || self.extras.black_box.is_some() {
            return None;
        }
        let layer = |layer: &LayerSpec| {
            let heads = self.heads(layer);
            let plain = layer.mixer.is_attention() && layer.latent.is_none() && layer.differential.is_none();
            plain.then(|| of(layer, self.num_attention_heads * (heads.head_dim + heads.value_dim)))
        };
        self.layers.iter().map(layer).sum()
    }
}

//! GGUF files: metadata and quantised tensors, memory-mapped, read under Hugging Face's names.
//!
//! Quantised weights are expanded to f32 exactly. Rows of the `llama` architecture's q and k projections are stored in the
//! order of interleaved rotary positions; they are put back into the half-split order here, so that there is one rope.

use std::collections::HashMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::quantized::gguf_file::{Content, TensorInfo, Value};
use candle_core::{Device, Tensor};
use memmap2::Mmap;

use super::weights::{TensorSource, map_file};
use crate::error::{Error, Result};

/// An open GGUF file.
pub struct GgufFile {
    path: PathBuf,
    bytes: Mmap,
    content: Content,
    metadata: Metadata,
    architecture: String,
}

/// The metadata of a GGUF file, with checked access.
#[derive(Clone)]
pub struct Metadata {
    path: PathBuf,
    values: Arc<HashMap<String, Value>>,
}

impl GgufFile {
    /// Opens a file and checks that every tensor it announces lies inside it.
    ///
    /// # Errors
    /// [`Error::File`] when it is missing, no GGUF, cut short, split, or uses a quantisation that cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = map_file(path)?;
        if !bytes.starts_with(b"GGUF") {
            return Err(Error::file(
                path,
                "not a GGUF file: it does not begin with the letters GGUF; download it again",
            ));
        }
        if super::gguf_walk::alignment_is_zero(&bytes) {
            return Err(Error::file(path, "damaged: general.alignment is 0; download it again"));
        }
        let mut content = Content::read(&mut Cursor::new(&bytes[..]))
            .map_err(|error| unreadable(path, bytes.len(), &error))?;
        let ends = content.tensor_infos.iter().map(|(name, info)| (end_of(info, &content), name));
        if let Some((end, name)) = ends.max().filter(|(end, _)| *end > bytes.len() as u64) {
            return Err(Error::file(
                path,
                format!(
                    "cut short: tensor {name} ends at byte {end}, the file has {}; download it again",
                    bytes.len()
                ),
            ));
        }
        let values = Arc::new(std::mem::take(&mut content.metadata));
        let metadata = Metadata { path: path.to_path_buf(), values };
        if metadata.integer("split.count")?.is_some_and(|count| count > 1) {
            return Err(Error::file(
                path,
                "one part of a split GGUF; merge the parts with: llama-gguf-split --merge",
            ));
        }
        let architecture = metadata.string("general.architecture")?.ok_or_else(|| {
            Error::file(path, "the metadata has no general.architecture; convert the model again")
        })?;
        Ok(Self { path: path.to_path_buf(), bytes, content, metadata, architecture })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its metadata.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// `general.architecture`.
    #[must_use]
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// Expands the tensor stored under a GGUF name to f32.
    ///
    /// # Errors
    /// [`Error::Tensor`] when it is missing or cannot be read.
    pub fn read_stored(&self, stored: &str, device: &Device) -> Result<Tensor> {
        let wrong = |found: String| Error::Tensor {
            path: self.path.clone(),
            tensor: stored.to_string(),
            expected: "a readable tensor".to_string(),
            found,
        };
        if !self.content.tensor_infos.contains_key(stored) {
            return Err(wrong("no such tensor".to_string()));
        }
        let expand =
            || self.content.tensor(&mut Cursor::new(&self.bytes[..]), stored, device)?.dequantize(device);
        expand().map_err(|error| wrong(error.to_string().lines().next().unwrap_or_default().to_string()))
    }

    /// The shape of the tensor stored under a GGUF name.
    #[must_use]
    pub fn stored_shape(&self, stored: &str) -> Option<Vec<usize>> {
        self.content.tensor_infos.get(stored).map(|info| info.shape.dims().to_vec())
    }

    /// Puts rows `[heads, d/2, 2]` of an interleaved projection back into `[heads, 2, d/2]`.
    fn unpermute(&self, weight: &Tensor, heads_key: &str) -> Result<Tensor> {
        let key = format!("{}.attention.{heads_key}", self.architecture);
        let heads = self.metadata.integer(&key)?.unwrap_or(0) as usize;
        let shape = weight.dims().to_vec();
        if heads == 0 || !shape[0].is_multiple_of(2 * heads) {
            return Err(Error::file(
                &self.path,
                format!("{key} = {heads} does not divide {} rows", shape[0]),
            ));
        }
        let pairs = shape[0] / heads / 2;
        let split = weight.reshape((heads, pairs, 2, ()))?.transpose(1, 2)?; // [heads, 2, d/2, in]
        Ok(split.contiguous()?.reshape(shape)?)
    }
}

impl TensorSource for GgufFile {
    fn contains(&self, name: &str) -> bool {
        stored_name(name).is_some_and(|stored| self.content.tensor_infos.contains_key(&stored))
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.stored_shape(&stored_name(name)?)
    }

    fn read(&self, name: &str, device: &Device) -> Result<Tensor> {
        let stored = stored_name(name).unwrap_or_else(|| name.to_string());
        let tensor = self.read_stored(&stored, device)?;
        match (self.architecture.as_str(), stored.split('.').nth(2)) {
            ("llama", Some("attn_q")) => self.unpermute(&tensor, "head_count"),
            ("llama", Some("attn_k")) => {
                let grouped = self.metadata.integer("llama.attention.head_count_kv")?.is_some();
                self.unpermute(&tensor, if grouped { "head_count_kv" } else { "head_count" })
            }
            _ => Ok(tensor),
        }
    }

    /// Opening the file has checked that every quantisation is known.
    fn check_dtype(&self, _name: &str) -> Result<()> {
        Ok(())
    }

    fn file_of(&self, _name: &str) -> PathBuf {
        self.path.clone()
    }
}

/// The byte after a tensor's last one.
fn end_of(info: &TensorInfo, content: &Content) -> u64 {
    let elements = info.shape.dims().iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    let blocks = elements.unwrap_or(usize::MAX).div_ceil(info.ggml_dtype.block_size());
    let size = blocks.saturating_mul(info.ggml_dtype.type_size()) as u64;
    content.tensor_data_offset.saturating_add(info.offset).saturating_add(size)
}

/// The GGUF name of a tensor, `blk.3.attn_q.weight` for `model.layers.3.self_attn.q_proj.weight`.
fn stored_name(name: &str) -> Option<String> {
    let (module, kind) = name.rsplit_once('.')?;
    let stored = match module {
        "model.embed_tokens" => "token_embd".to_string(),
        "model.norm" => "output_norm".to_string(),
        "lm_head" => "output".to_string(),
        _ => {
            let (layer, part) = module.strip_prefix("model.layers.")?.split_once('.')?;
            let part = match part {
                "input_layernorm" => "attn_norm",
                "post_attention_layernorm" => "ffn_norm",
                "self_attn.q_proj" => "attn_q",
                "self_attn.k_proj" => "attn_k",
                "self_attn.v_proj" => "attn_v",
                "self_attn.o_proj" => "attn_output",
                "mlp.gate_proj" => "ffn_gate",
                "mlp.up_proj" => "ffn_up",
                "mlp.down_proj" => "ffn_down",
                _ => return None,
            };
            format!("blk.{layer}.{part}")
        }
    };
    Some(format!("{stored}.{kind}"))
}

fn unreadable(path: &Path, length: usize, error: &candle_core::Error) -> Error {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    let problem = if first.contains("unknown dtype for tensor") {
        format!(
            "uses a quantisation that niah cannot read ({first}); readable are F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, \
             Q8_0 and the K-quants Q2_K to Q6_K; quantise the model again to one of them"
        )
    } else if ["fill whole buffer", "unexpected end", "remaining"].iter().any(|cut| first.contains(cut)) {
        format!("cut short in its header ({length} bytes found); download it again")
    } else {
        format!(
            "damaged or of an unknown version ({first}); download it again, or convert it with a newer tool"
        )
    };
    Error::file(path, problem)
}

impl Metadata {
    /// The file the metadata is from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn typed<T>(&self, key: &str, expected: &str, read: impl Fn(&Value) -> Option<T>) -> Result<Option<T>> {
        let Some(value) = self.values.get(key) else { return Ok(None) };
        let found = || format!("{:?}", value.value_type());
        let error = || Error::invalid(format!("{}: {key}", self.path.display()), found(), expected);
        read(value).map(Some).ok_or_else(error)
    }

    /// A string.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when the key holds something else.
    pub fn string(&self, key: &str) -> Result<Option<String>> {
        self.typed(key, "a string", |value| value.to_string().ok().cloned())
    }

    /// A whole number of any width, at least 0. Of an array (one number a layer) whose entries agree, that number.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when the key holds something else.
    pub fn integer(&self, key: &str) -> Result<Option<u64>> {
        self.typed(key, "a whole number, the same for all layers", |value| match value {
            Value::Array(items) => {
                let first = whole(items.first()?)?;
                items.iter().all(|item| whole(item) == Some(first)).then_some(first)
            }
            single => whole(single),
        })
    }

    /// A number.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when the key holds something else.
    pub fn number(&self, key: &str) -> Result<Option<f64>> {
        self.typed(key, "a number", number)
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when the key holds something else.
    pub fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.typed(key, "true or false", |value| value.to_bool().ok())
    }

    /// A list of strings.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when the key holds something else.
    pub fn strings(&self, key: &str) -> Result<Option<Vec<String>>> {
        self.list(key, "a list of strings", |value| value.to_string().ok().cloned())
    }

    /// A list of numbers.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when the key holds something else.
    pub fn numbers(&self, key: &str) -> Result<Option<Vec<f64>>> {
        self.list(key, "a list of numbers", number)
    }

    fn list<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<Vec<T>>> {
        self.typed(key, expected, |value| match value {
            Value::Array(items) => items.iter().map(&read).collect(),
            _ => None,
        })
    }

    /// Length of a list without reading it.
    #[must_use]
    pub fn list_len(&self, key: &str) -> Option<usize> {
        match self.values.get(key) {
            Some(Value::Array(items)) => Some(items.len()),
            _ => None,
        }
    }
}

fn whole(value: &Value) -> Option<u64> {
    match *value {
        Value::I8(x) => u64::try_from(x).ok(),
        Value::I16(x) => u64::try_from(x).ok(),
        Value::I32(x) => u64::try_from(x).ok(),
        Value::I64(x) => u64::try_from(x).ok(),
        _ => value.to_u64().ok(),
    }
}

fn number(value: &Value) -> Option<f64> {
    match *value {
        Value::F32(x) => Some(f64::from(x)),
        Value::F64(x) => Some(x),
        Value::I8(x) => Some(f64::from(x)),
        Value::I16(x) => Some(f64::from(x)),
        Value::I32(x) => Some(f64::from(x)),
        Value::I64(x) => Some(x as f64),
        _ => whole(value).map(|x| x as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_gguf_convention() {
        let stored = |name: &str| stored_name(name).unwrap();
        assert_eq!(stored("model.layers.12.self_attn.o_proj.weight"), "blk.12.attn_output.weight");
        assert_eq!(stored("lm_head.weight"), "output.weight");
        assert_eq!(stored_name("model.layers.0.self_attn.ssmax_scale"), None);
    }
}

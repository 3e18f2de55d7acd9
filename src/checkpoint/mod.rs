//! Checkpoints: where weights and configurations come from (a directory, a GGUF file, the hub, the binary
//! itself).

mod adaptive;
mod config;
pub mod families;
mod gguf;
mod gguf_architectures;
mod gguf_blocks;
mod gguf_config;
mod gguf_header;
mod gguf_hybrids;
mod gguf_latent;
mod gguf_layouts;
mod gguf_names;
mod gguf_tensors;
pub mod hub;
mod kept;
mod kinds;
mod mxfp4;
mod own_variant;
mod quantised;
mod reading;
mod renamed;
mod row_maps;
mod safetensors;
mod screening;
mod shipped;
mod ssmax;
mod unread;
mod weight_file;
mod writing;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use candle_core::Device;
use sha2::{Digest, Sha256};

pub use config::{Config, Dialect};
pub use gguf::{GgufFile, Metadata};
pub use gguf_architectures::{ARCHITECTURES, Architecture};
use gguf_tensors::GgufTensors;
pub use kept::KeptWeights;
use mxfp4::WithMxfp4;
use quantised::Quantised;
pub use reading::{TensorsAndWords, read_safetensors};
pub use renamed::{NameMap, Part, Stored};
use safetensors::SafetensorsFiles;
pub use shipped::{DEFAULT_CHECKPOINT, EmbeddedCheckpoint, SHIPPED, SHIPPED_PREFIX, shipped_directory};
pub use ssmax::read_scales;
use unread::{Recorded, Unread};
use weight_file::WeightFile;
pub use writing::{NamedTensor, Numbers, write_safetensors};

use crate::attention::variant::{GivenScales, OwnVariant};
use crate::error::{Error, Result};
use crate::hash;
use crate::kernel::ggml;
use crate::registry::Entry;
use crate::spec::{DecoderSpec, Dtype, Engine, NormKind, WeightForm};
use crate::weights::{TensorSource, Weights};

/// A checkpoint whose configuration has been read and understood; its weights load with [`Checkpoint::load`].
pub struct Checkpoint {
    /// Name of the family in the table.
    pub family: &'static str,
    /// What the decoder is made of.
    pub spec: DecoderSpec,
    /// The attention rule that the checkpoint was made with.
    pub own_variant: OwnVariant,
    /// Scales of Scalable-Softmax that were given beside it, in the place of its own.
    pub given_scales: Option<GivenScales>,
    /// Where its tokenizer is.
    pub tokenizer: TokenizerSource,
    /// What its files hold that nothing reads: an evaluation may not be of the model that was meant.
    pub warnings: Vec<String>,
    /// Why its weights must not run, though they could be read.
    refusal: Option<String>,
    source: Box<dyn TensorSource>,
    files: Vec<PathBuf>,
    /// What the one file holds when it is in the binary.
    embedded: Option<&'static [u8]>,
    sha256: OnceLock<String>,
}

/// Where a checkpoint keeps its tokenizer.
pub enum TokenizerSource {
    /// `tokenizer.json` and its neighbours in this directory.
    Directory(PathBuf),
    /// The metadata of a GGUF file.
    Gguf(Metadata),
    /// `tokenizer.json` and its neighbours in the binary.
    Embedded(EmbeddedCheckpoint),
}

impl TokenizerSource {
    /// A tokenizer that a user has named: a directory with `tokenizer.json` or that file itself, a GGUF file,
    /// a hub id, or `shipped:NAME`. No weights are downloaded for it, unless they are in the GGUF file that
    /// is named.
    ///
    /// # Errors
    /// When it cannot be found, or holds no tokenizer.
    pub fn named(name: &str) -> Result<Self> {
        if let Some(shipped) = name.strip_prefix(SHIPPED_PREFIX) {
            return Ok(Self::Embedded(shipped::find(shipped)?));
        }
        let path = Path::new(name);
        let path = if path.exists() { path.to_path_buf() } else { hub::fetch_tokenizer(name)? };
        let parent = || path.parent().map_or(PathBuf::new(), Path::to_path_buf);
        let is_json = path.extension().is_some_and(|extension| extension == "json");
        match () {
            () if path.is_dir() && path.join("tokenizer.json").is_file() => Ok(Self::Directory(path)),
            () if path.is_dir() => Ok(Checkpoint::open_directory(&path, Engine::Niah)?.tokenizer),
            () if path.file_name().is_some_and(|file| file == "tokenizer.json") => {
                Ok(Self::Directory(parent()))
            }
            () if is_json => Err(Error::file(&path, "a tokenizer is a file by the name tokenizer.json")),
            () => Ok(Self::Gguf(GgufFile::open(&path)?.metadata().clone())),
        }
    }
}

/// Changes to rotary positions for evaluation past the training length.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RopeOverride {
    /// `--rope-theta`: the base itself.
    pub theta: Option<f64>,
    /// `--rope-theta-scale`: a factor on the base.
    pub theta_scale: Option<f64>,
    /// `--rope none`: no layer has any.
    pub none: bool,
}

/// Who named a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// The user: it may be downloaded.
    ByUser,
    /// A file, such as the record of a run that somebody else has made: it is taken from this machine or not
    /// at all.
    ByFile,
}

impl Checkpoint {
    /// Opens a checkpoint named by a user: a GGUF file, a directory in Hugging Face's layout, a hub id, or
    /// `shipped:NAME`.
    ///
    /// # Errors
    /// When it cannot be found, is damaged, or is of an unknown family; no weight has been read by then.
    pub fn open(name: &str, rope: RopeOverride) -> Result<Self> {
        Self::open_as(name, Named::ByUser, Engine::Niah, rope)
    }

    /// Opens a checkpoint that a user or a file has named, for the engine that is to compute it: what a file
    /// names is not downloaded.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_as(name: &str, named: Named, engine: Engine, rope: RopeOverride) -> Result<Self> {
        let mut checkpoint =
            match name.strip_prefix(shipped::SHIPPED_PREFIX).map(shipped::find).transpose()? {
                Some(embedded) => Self::open_embedded(embedded, engine)?,
                None => Self::open_path(name, named, engine)?,
            };
        if rope.none {
            checkpoint.spec.layers.iter_mut().for_each(|layer| layer.rope = None);
        }
        checkpoint.spec.change_theta(|base| rope.theta.unwrap_or(base) * rope.theta_scale.unwrap_or(1.0));
        Ok(checkpoint)
    }

    fn open_path(name: &str, named: Named, engine: Engine) -> Result<Self> {
        let path = Path::new(name);
        let located = if path.exists() { path.to_path_buf() } else { hub::fetch(name, named)? };
        match located.is_dir() {
            true => Self::open_directory(&located, engine),
            false => Self::open_file(&located, engine),
        }
    }

    fn open_file(path: &Path, engine: Engine) -> Result<Self> {
        // By what it begins with: Ollama's files have no extension, and some systems write .GGUF.
        let begins = WeightFile::open(path).and_then(|file| file.begins(16));
        match path.extension().and_then(|extension| extension.to_str()) {
            _ if begins.as_ref().is_ok_and(|begins| begins.starts_with(gguf::MAGIC)) => {
                Self::open_gguf(path, engine)
            }
            Some("gguf") => Self::open_gguf(path, engine),
            Some("safetensors") => {
                let checkpoint = Self::open_directory(path.parent().unwrap_or(Path::new(".")), engine)?;
                if checkpoint.files.iter().any(|file| file.file_name() == path.file_name()) {
                    return Ok(checkpoint);
                }
                Err(Error::file(path, "not the weights of its directory; rename it to model.safetensors"))
            }
            Some(extension) if kinds::is_pickle(extension) => Err(kinds::other_file(path, &[])),
            _ => Err(kinds::other_file(path, &begins?)),
        }
    }

    fn open_directory(path: &Path, engine: Engine) -> Result<Self> {
        kinds::refuse_adapter(path)?;
        let (config, weights) = (path.join("config.json"), SafetensorsFiles::paths(path)?);
        if weights.is_empty()
            && let Some(file) = kinds::only_gguf(path)?
        {
            return Self::open_gguf(&file, engine);
        }
        if !config.exists() {
            return Err(kinds::without_config(path));
        }
        let config = Config::read(&config)?;
        if weights.is_empty() {
            return Err(kinds::without_weights(path));
        }
        let weights = SafetensorsFiles::open(&weights)?;
        Self::from_safetensors(&config, weights, TokenizerSource::Directory(path.to_path_buf()), engine)
    }

    fn open_embedded(embedded: EmbeddedCheckpoint, engine: Engine) -> Result<Self> {
        let read = |file: &str| {
            let path = embedded.directory().join(file);
            let bytes = embedded.read(file).map_err(|error| Error::file(&path, error))?;
            Ok::<_, Error>((bytes, path))
        };
        let (bytes, path) = read("config.json")?;
        let config = Config::parse(&path, bytes)?;
        let (bytes, path) = read("model.safetensors")?;
        let weights = SafetensorsFiles::read(vec![WeightFile::embedded(path, bytes)])?;
        let checkpoint =
            Self::from_safetensors(&config, weights, TokenizerSource::Embedded(embedded), engine)?;
        Ok(Self { embedded: Some(bytes), ..checkpoint })
    }

    fn from_safetensors(
        config: &Config,
        weights: SafetensorsFiles,
        tokenizer: TokenizerSource,
        engine: Engine,
    ) -> Result<Self> {
        let weights = WithMxfp4::new(weights);
        let quantised = match Quantised::of(config, weights.kinds()) {
            Quantised::No => None,
            Quantised::OnlySaid(said) => Some(format!(
                "the configuration says that the weights are quantised ({said}), but they are stored as \
                 plain numbers, and read so"
            )),
            Quantised::Yes(error) => return Err(error),
        };
        let said_tied = config.optional_flag("tie_word_embeddings")? == Some(true);
        let config = &config.clone().text_part()?;
        let (family, spec) = families::describe_for(config, engine)?;
        let files = weights.files();
        let source = renamed::Renamed { inner: Box::new(weights), map: family.value.names(&spec) };
        let said_untied = !said_tied && config.optional_flag("tie_word_embeddings")? == Some(false);
        if said_untied && spec.extras.black_box.is_none() && !source.contains("lm_head.weight") {
            let expected = "true, or a head in the files: they hold no lm_head.weight, so they are not \
                            complete; download all of them, or say true if the head is the embedding";
            return Err(config.wrong("tie_word_embeddings", expected, false));
        }
        let mut checkpoint = Self::assemble(family, spec, config, Box::new(source), tokenizer, files)?;
        checkpoint.warnings.extend(quantised);
        Ok(checkpoint)
    }

    fn open_gguf(path: &Path, engine: Engine) -> Result<Self> {
        if !engine.is_own() {
            return Err(Error::file(
                path,
                "candle's engine reads config.json and safetensors, and no GGUF; take these, or leave out `engine`",
            ));
        }
        let file = GgufFile::open(path)?;
        let (config, architecture) = gguf_config::to_config(&file)?;
        let (family, mut spec) = families::describe(&config)?;
        // GGUF files store 1 + w.
        spec.norm = match spec.norm {
            NormKind::RmsPlusOne => NormKind::Rms,
            NormKind::LayerPlusOneWithBias => NormKind::LayerWithBias,
            norm => norm,
        };
        let (tokenizer, files) = (TokenizerSource::Gguf(file.metadata().clone()), file.files());
        if architecture.own_biases {
            // llama.cpp adds the bias where there is one.
            spec.bias.output = file.contains("blk.0.attn_output.bias");
        }
        let source = GgufTensors { file, spec: spec.clone(), interleaved: architecture.interleaved };
        let unknown = source.file.of_unknown_type();
        let mut checkpoint = Self::assemble(family, spec, &config, Box::new(source), tokenizer, files)?;
        if !unknown.is_empty() {
            let refusal = checkpoint.of_unknown_type(&unknown)?;
            checkpoint.refusal = refusal.or(checkpoint.refusal);
        }
        Ok(checkpoint)
    }

    fn assemble(
        family: &'static Entry<families::Family>,
        mut spec: DecoderSpec,
        config: &Config,
        source: Box<dyn TensorSource>,
        tokenizer: TokenizerSource,
        files: Vec<PathBuf>,
    ) -> Result<Self> {
        settle_head(&mut spec, source.as_ref())?;
        let recorded = Recorded::new(source.as_ref());
        let weights = Weights::new(&recorded, &Device::Cpu, Dtype::F32);
        spec.each_tensor(|name| weights.contains(name), |name, shape| weights.check(name, shape))?;
        let own_variant = own_variant::detect(&families::with_defaults(config), &spec, &recorded)?;
        let Unread { warnings: of_tensors, refusal } = recorded.unread(&spec);
        let mut warnings = match config.dialect() {
            Dialect::Transformers => families::warnings(config, &spec)?,
            Dialect::LlamaCpp => Vec::new(),
        };
        warnings.extend(of_tensors);
        let (family, sha256) = (family.name, OnceLock::new());
        let embedded = None;
        Ok(Self {
            family,
            spec,
            own_variant,
            given_scales: None,
            tokenizer,
            warnings,
            refusal,
            source,
            files,
            embedded,
            sha256,
        })
    }

    /// Why the weights must not run when a layer reads one of these tensors, given with their types.
    fn of_unknown_type(&self, unknown: &BTreeMap<String, String>) -> Result<Option<String>> {
        let mut problem = None;
        let find = |name: &str, _: &[usize]| {
            let stored = self.source.stored_name(name).unwrap_or_default();
            if let (None, Some(kind)) = (&problem, unknown.get(&stored)) {
                problem = Some(format!(
                    "tensor {stored} is of a type that is not known ({kind}), {} of its tensors in all; \
                     known are {}; {}",
                    unknown.len(),
                    ggml::known_names(),
                    gguf::REMEDY
                ));
            }
            Ok::<_, Error>(())
        };
        self.spec.each_tensor(|name| self.source.contains(name), find)?;
        Ok(problem)
    }

    /// Refuses a checkpoint that holds parameters of layers that run which none of them reads, or whose type
    /// is not known. All else about it can be looked at.
    ///
    /// # Errors
    /// [`Error::File`] naming some of them, with what to do.
    pub fn check_all_read(&self) -> Result<()> {
        match (&self.refusal, self.files.first()) {
            (Some(problem), Some(file)) => Err(Error::file(file, problem)),
            (Some(problem), None) => Err(Error::Message(problem.clone())),
            (None, _) => Ok(()),
        }
    }

    /// Hands the weights to what is made of them, to be kept and multiplied as `dtype` on `device`; for a
    /// decoder that is [`Decoder::load`](crate::model::decoder::Decoder::load).
    ///
    /// # Errors
    /// That of [`Self::check_all_read`], and those of `load`: [`Error::Tensor`] when a tensor is missing, has
    /// another shape or dtype, or is not finite.
    pub fn load<T>(
        &self,
        device: &Device,
        dtype: Dtype,
        load: impl FnOnce(DecoderSpec, &Weights<'_>) -> Result<T>,
    ) -> Result<T> {
        self.load_in_form(WeightForm::Expanded, device, dtype, load)
    }

    /// The same, with matrices that are kept in this form where they can be.
    ///
    /// # Errors
    /// As of [`Self::load`].
    pub fn load_in_form<T>(
        &self,
        form: WeightForm,
        device: &Device,
        dtype: Dtype,
        load: impl FnOnce(DecoderSpec, &Weights<'_>) -> Result<T>,
    ) -> Result<T> {
        self.check_all_read()?;
        load(self.spec.clone(), &Weights::new(self.source.as_ref(), device, dtype).in_form(form))
    }

    /// The numbers of one tensor, by the name that Llama gives it; `None` when the checkpoint has none of
    /// this name.
    ///
    /// # Errors
    /// [`Error::Tensor`] when it has another shape or dtype, or is not finite.
    pub fn parameter(&self, name: &str, shape: &[usize]) -> Result<Option<Vec<f32>>> {
        if !self.source.contains(name) {
            return Ok(None);
        }
        let tensor = Weights::new(self.source.as_ref(), &Device::Cpu, Dtype::F32).get(name, shape)?;
        Ok(Some(tensor.flatten_all()?.to_vec1()?))
    }

    /// Size of the files that hold the weights, in bytes.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        let stored = self.files.iter().filter_map(|path| path.metadata().ok()).map(|metadata| metadata.len());
        self.embedded.map_or_else(|| stored.sum(), |bytes| bytes.len() as u64)
    }

    /// How many tensors of each dtype or quantisation the files hold.
    #[must_use]
    pub fn dtypes(&self) -> BTreeMap<String, usize> {
        self.source.dtypes()
    }

    /// Whether any of its weights are stored in blocks of a few bits each.
    #[must_use]
    pub fn is_quantised(&self) -> bool {
        self.dtypes().keys().any(|dtype| ggml::is_quantised(dtype))
    }

    /// The files that hold the weights.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// SHA-256 of the weight files in order, in hex: what the results belong to. The first call reads all of
    /// them.
    ///
    /// # Errors
    /// [`Error::File`] when a file cannot be read.
    pub fn sha256(&self) -> Result<&str> {
        if let Some(known) = self.sha256.get() {
            return Ok(known);
        }
        let mut hash = Sha256::new();
        match self.embedded {
            Some(bytes) => hash.update(bytes),
            None => {
                for path in &self.files {
                    let file = WeightFile::open(path)?;
                    file.in_pieces(0, file.len() as usize, |piece| hash.update(piece))?;
                }
            }
        }
        Ok(self.sha256.get_or_init(|| hash::hex(hash.finalize())))
    }
}

/// Decides whether the head is the embedding: one that the files hold counts, whatever the configuration
/// says, and one that is nowhere must be tied.
fn settle_head(spec: &mut DecoderSpec, source: &dyn TensorSource) -> Result<()> {
    const HEAD: &str = "lm_head.weight";
    // The head of screening tiles is their embedding, with rows of unit length.
    if spec.screening.is_some() || spec.extras.black_box.is_some() {
        return Ok(());
    }
    match (source.contains(HEAD), spec.tie_word_embeddings) {
        (true, _) => spec.tie_word_embeddings = false,
        (false, true) => {}
        (false, false) => {
            return Err(Error::Tensor {
                path: source.file_of(HEAD),
                tensor: HEAD.to_string(),
                expected: "the head, which tie_word_embeddings says is not the embedding".to_string(),
                found: "no such tensor: download the weights again, or write \"tie_word_embeddings\": true \
                        into config.json if the embedding is the head"
                    .to_string(),
            });
        }
    }
    Ok(())
}

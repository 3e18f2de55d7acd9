//! Which files of a folder of the hub are its checkpoint.

use super::names::{HubId, is_gguf};

pub(super) const CONFIG: &str = "config.json";
pub(super) const WEIGHTS: &str = "model.safetensors";
pub(super) const INDEX: &str = "model.safetensors.index.json";
pub(super) const ADAPTER: &str = "adapter_config.json";

/// What a folder holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// A configuration and weights in safetensors.
    Safetensors,
    /// One GGUF file, or a split one of which this is the first part.
    Gguf(String),
    /// Several GGUF files.
    Several(Vec<String>),
    /// Nothing that can be read, for this reason.
    Nothing(String),
}

impl Choice {
    /// The choice among the files of the id's folder and of those below it.
    pub(super) fn of(id: &HubId, files: &[String]) -> Self {
        let has = |file: &str| files.contains(&id.in_folder(file));
        if has(ADAPTER) {
            // Even where weights lie beside it, transformers loads the model that it changes.
            return Self::Nothing(why_nothing(id, files));
        }
        if has(CONFIG) && (has(WEIGHTS) || has(INDEX)) {
            return Self::Safetensors;
        }
        let models: Vec<String> = files.iter().filter(|file| is_model(file)).cloned().collect();
        match models.as_slice() {
            [] => Self::Nothing(why_nothing(id, files)),
            [one] => Self::Gguf(one.clone()),
            _ => Self::Several(models),
        }
    }
}

/// Why a folder is no checkpoint, and the way out.
fn why_nothing(id: &HubId, files: &[String]) -> String {
    let has = |file: &str| files.contains(&id.in_folder(file));
    let ends = |ending: &str| files.iter().any(|file| file.ends_with(ending));
    if files.is_empty() && !id.folder.is_empty() {
        format!(
            "no such file or directory here, and as a hub id its repository has no folder {}; check the id",
            id.folder
        )
    } else if has(ADAPTER) {
        "holds a LoRA adapter (adapter_config.json), not a whole model: merge it into the model it was made \
         for with peft (merge_and_unload) and name the result"
            .to_string()
    } else if ends(".bin") || ends(".pt") || ends(".pth") {
        "holds PyTorch pickles only, which can run code when they are read; convert the model with \
         transformers: AutoModelForCausalLM.from_pretrained(ID).save_pretrained(NEW_DIR, \
         safe_serialization=True)"
            .to_string()
    } else {
        let beside = if has(CONFIG) { "weights are" } else { "config.json is" };
        format!(
            "its {beside} not on the hub: it holds neither {CONFIG} with {WEIGHTS} or {INDEX}, nor a GGUF \
             file; name the folder that does, if there is one"
        )
    }
}

/// Whether a GGUF file is a model, of a split one its first part: projectors of images and matrices of
/// importance are stored beside models.
pub(super) fn is_model(file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or_default().to_lowercase();
    is_gguf(file) && !name.starts_with("mmproj") && !name.contains("imatrix") && !is_later_part(&name)
}

/// Whether a name is that of a further part of a split file, such as `m-00002-of-00003.gguf`.
fn is_later_part(name: &str) -> bool {
    let parts = name.strip_suffix(".gguf").and_then(|name| name.rsplit_once("-of-"));
    let Some((before, _)) = parts.filter(|(_, count)| count.len() == 5) else { return false };
    let number = before.rsplit_once('-').map_or("", |(_, number)| number);
    number.len() == 5 && number != "00001" && number.chars().all(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(id: &str, files: &[&str]) -> Choice {
        let files: Vec<_> = files.iter().map(|file| (*file).to_string()).collect();
        Choice::of(&HubId::parse(id).unwrap(), &files)
    }

    #[test]
    fn safetensors_come_before_gguf_files_of_which_there_must_be_one() {
        assert_eq!(of("a/b", &["config.json", "m.gguf", "model.safetensors"]), Choice::Safetensors);
        assert_eq!(of("a/b/c", &["c/config.json", "c/model.safetensors.index.json"]), Choice::Safetensors);
        assert_eq!(of("a/b", &["config.json", "Q4/m.GGUF"]), Choice::Gguf("Q4/m.GGUF".to_string()));
        let split = ["x/m-00001-of-00002.gguf", "x/m-00002-of-00002.gguf", "mmproj-m.gguf", "m.imatrix.gguf"];
        assert_eq!(of("a/b", &split), Choice::Gguf(split[0].to_string()));
        let several = ["a-12345-of-x.gguf", "b.gguf"];
        assert_eq!(of("a/b", &several), Choice::Several(several.map(String::from).to_vec()));
        for nothing in
            [["config.json", "sub/model.safetensors", "x"], ["config.json", "model.safetensors", ADAPTER]]
        {
            assert!(matches!(of("a/b", &nothing), Choice::Nothing(_)), "{nothing:?}");
        }
    }
}

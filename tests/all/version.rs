//! `niah --version`: which source, with what.

use std::process::Command;

/// What a program prints, in the root of the repository; nothing where it fails.
fn printed(program: &str, arguments: &[&str]) -> Option<String> {
    let output =
        Command::new(program).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_string())
}

#[test]
fn the_version_names_commit_and_features() {
    let version = printed(env!("CARGO_BIN_EXE_niah"), &["--version"]).unwrap();
    let commit = printed("git", &["rev-parse", "--verify", "HEAD"]);
    let commit = commit.as_deref().and_then(|hash| hash.get(..12)).unwrap_or("unknown");
    let manifest: toml::Table = include_str!("../../Cargo.toml").parse().unwrap();
    let on = |name: &&str| match *name {
        "candle-engine" => cfg!(feature = "candle-engine"),
        "cuda" => cfg!(feature = "cuda"),
        "metal" => cfg!(feature = "metal"),
        "accelerate" => cfg!(feature = "accelerate"),
        "png" => cfg!(feature = "png"),
        // A list of others.
        "default" => false,
        other => panic!("niah --version does not know the feature {other}"),
    };
    let names: Vec<&str> =
        manifest["features"].as_table().unwrap().keys().map(String::as_str).filter(on).collect();
    let features = if names.is_empty() { "none".to_string() } else { names.join(", ") };
    assert_eq!(
        version,
        format!("niah {} (commit {commit}, features: {features})", env!("CARGO_PKG_VERSION"))
    );
}

//! A server in the place of a checkpoint.

use std::path::PathBuf;

use clap::Args;

use super::values::choice;
use crate::server::{APIS, Api, LOGPROBS, Logprobs};

/// A server that answers, and how it is asked.
#[derive(Debug, Clone, Args)]
pub struct EndpointArgs {
    /// Ask a server in the place of a checkpoint, by OpenAI's interface; --model names one of its models
    ///
    /// Such as http://localhost:8000/v1: vLLM, SGLang, llama-server, Ollama, transformers serve, hosted ones.
    /// On Azure the address of a deployment with its ?api-version=. The key is in NIAH_API_KEY or
    /// OPENAI_API_KEY. No attention is measured.
    #[arg(
        long,
        value_name = "URL",
        conflicts_with_all = [
            "variant", "dtype", "kv_dtype", "ssmax_scale", "rope_theta", "rope_theta_scale", "rope",
            "screening_window_expansion", "chunk_size", "tokens", "retrieval",
            "no_prefix_sharing",
            "interactive", "precision", "device", "threads", "weights", "engine",
        ],
        help_heading = "Server"
    )]
    pub endpoint: Option<String>,
    /// Which interface of the server is asked
    ///
    /// [default: that of the address, or completions with --tokenizer, chat without]
    #[arg(
        long,
        value_name = "NAME",
        value_parser = choice("interface", APIS),
        requires = "endpoint",
        help_heading = "Server"
    )]
    pub api: Option<Api>,
    /// The model's tokenizer: a directory, tokenizer.json, a GGUF file, a hub id, or shipped:NAME
    ///
    /// Prompts are then exact to the token. Without it lengths are approximate: the server is asked how many
    /// tokens it makes of a piece of the text.
    #[arg(long, value_name = "NAME", requires = "endpoint", help_heading = "Server")]
    pub tokenizer: Option<String>,
    /// File with the key, in the place of NIAH_API_KEY and OPENAI_API_KEY
    #[arg(long, value_name = "FILE", requires = "endpoint", help_heading = "Server")]
    pub api_key_file: Option<PathBuf>,
    /// Have answers come token by token
    #[arg(long, requires = "endpoint", help_heading = "Server")]
    pub stream: bool,
    /// Requests at a time
    #[arg(long, value_name = "N", default_value_t = 4, requires = "endpoint", help_heading = "Server")]
    pub concurrency: usize,
    /// Seconds that one request may take, its answer among them
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 600.0,
        requires = "endpoint",
        help_heading = "Server"
    )]
    pub timeout: f64,
    /// Further attempts after 429, 5xx or a connection that breaks, each after a longer wait
    #[arg(long, value_name = "N", default_value_t = 5, requires = "endpoint", help_heading = "Server")]
    pub retries: u32,
    /// Requests a minute, at most
    #[arg(long, value_name = "N", requires = "endpoint", help_heading = "Server")]
    pub rate_limit: Option<f64>,
    /// Of which tokens log-probabilities are asked for
    #[arg(
        long,
        value_name = "OF",
        value_parser = choice("choice", LOGPROBS),
        default_value = "written",
        requires = "endpoint",
        help_heading = "Server"
    )]
    pub logprobs: Logprobs,
    /// Do not ask first whether the server reads prompts of each length whole
    #[arg(long, requires = "endpoint", help_heading = "Server")]
    pub no_length_check: bool,
}

impl Default for EndpointArgs {
    /// No server.
    fn default() -> Self {
        Self {
            endpoint: None,
            api: None,
            tokenizer: None,
            api_key_file: None,
            stream: false,
            concurrency: 4,
            timeout: 600.0,
            retries: 5,
            rate_limit: None,
            logprobs: Logprobs::Written,
            no_length_check: false,
        }
    }
}

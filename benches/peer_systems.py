"""What runs in the child processes of peers.py: transformers and llama.cpp behind the same three methods.

    prefill(prompt)   reads a prompt from its first token; (seconds without tokenising, tokens)
    decode(prompt)    DECODED tokens one by one behind a prompt, which is read unless it was the one before; (seconds
                      of these tokens, tokens of the prompt)
    answer(prompt)    (greedy answer of at most NEW_TOKENS tokens, tokens of the prompt, tokens computed for it)

Libraries are imported by the child that needs them, so that the peak memory of a process is that of its system.
"""

import importlib.util
import os
import time
from itertools import takewhile
from pathlib import Path

NEW_TOKENS = 16
DECODED = 32


class Transformers:
    """PyTorch with SDPA."""

    package = "transformers"

    def __init__(self, model, threads, context, dtype):
        import torch
        import transformers

        torch.set_num_threads(threads)
        folder, file = os.path.split(model)
        self.torch = torch
        self.about = f"transformers {transformers.__version__}, torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}"
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder or ".", gguf_file=file)
        self.model = transformers.AutoModelForCausalLM.from_pretrained(
            folder or ".",
            gguf_file=file,
            quantization_config=transformers.GgufConfig(dequantize=True),  # dense weights of `dtype`, not GGUF's blocks
            dtype=getattr(torch, dtype),
            attn_implementation="sdpa",
        ).eval()
        self.read = []

    def tokens(self, text):
        return self.tokenizer(text, add_special_tokens=False).input_ids

    def forward(self, ids, cache=None, **options):
        with self.torch.inference_mode():
            return self.model(self.torch.tensor([ids]), past_key_values=cache, use_cache=True, logits_to_keep=1, **options)

    def prefill(self, prompt):
        ids = self.tokens(prompt)
        started = time.perf_counter()
        self.forward(ids)
        return time.perf_counter() - started, len(ids)

    def decode(self, prompt):
        ids = self.tokens(prompt)
        if ids != self.read:
            self.read, self.cache = ids, self.forward(ids).past_key_values
        token = ids[-1]
        started = time.perf_counter()
        for _ in range(DECODED):
            token = int(self.forward([token], self.cache).logits[0, -1].argmax())
        seconds = time.perf_counter() - started
        self.cache.crop(-DECODED)
        return seconds, len(ids)

    def answer(self, prompt):
        ids = self.tokens(prompt)
        cache = self.forward(ids[:-1]).past_key_values
        self.model.set_attn_implementation("eager")
        step = self.forward(ids[-1:], cache, output_attentions=True)
        self.model.set_attn_implementation("sdpa")
        assert step.attentions[0].shape[-1] == len(ids)
        answer = [int(step.logits[0, -1].argmax())]
        while answer[-1] != self.tokenizer.eos_token_id and len(answer) < NEW_TOKENS:
            step = self.forward(answer[-1:], cache)
            answer.append(int(step.logits[0, -1].argmax()))
        return self.tokenizer.decode(answer), len(ids), len(ids)


class LlamaNative:
    """llama.cpp through llama-cpp-python, compiled for the machine."""

    package = "llama_cpp"

    def __init__(self, model, threads, context, batch, flash):
        import llama_cpp

        self.about = f"llama-cpp-python {llama_cpp.__version__}, {llama_cpp.llama_print_system_info().decode()}"
        self.model = llama_cpp.Llama(
            model, n_ctx=context, n_batch=batch, n_ubatch=batch, flash_attn=flash, n_threads=threads, n_threads_batch=threads, verbose=False
        )
        self.read = []

    def tokens(self, text):
        return self.model.tokenize(text.encode(), add_bos=False, special=True)

    def prefill(self, prompt):
        ids = self.tokens(prompt)
        started = time.perf_counter()
        self.model.reset()
        self.model.eval(ids)
        return time.perf_counter() - started, len(ids)

    def decode(self, prompt):
        ids = self.tokens(prompt)
        if ids != self.read:
            self.model.reset()
            self.model.eval(ids)
            self.read = ids
        self.model.n_tokens, token = len(ids), ids[-1]
        started = time.perf_counter()
        for _ in range(DECODED):
            self.model.eval([token])
            token = self.greedy()
        return time.perf_counter() - started, len(ids)

    def answer(self, prompt):
        """The answer; what the prompt shares with the one before is kept."""
        ids = self.tokens(prompt)
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(ids[:-1], self.read)))
        self.model.n_tokens = shared
        self.model.eval(ids[shared:])
        answer = [self.greedy()]
        while answer[-1] != self.model.token_eos() and len(answer) < NEW_TOKENS:
            self.model.eval(answer[-1:])
            answer.append(self.greedy())
        self.read = ids
        return self.model.detokenize(answer).decode(errors="replace"), len(ids), len(ids) - shared

    def greedy(self):
        return self.model.sample(temp=0.0)


class LlamaWheel:
    """llama.cpp's server inside xllamacpp, a wheel for processors with AVX2."""

    package = "xllamacpp"

    def __init__(self, model, threads, context, batch, flash):
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = model
        params.n_ctx, params.n_batch, params.n_ubatch, params.n_parallel = context, batch, batch, 1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        kinds = xllamacpp.llama_flash_attn_type
        params.flash_attn_type = kinds.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash else kinds.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.cache_ram_mib = 0  # a second cache, of whole prompts, which orders that share beginnings do not need
        params.verbosity = 0
        self.about = f"xllamacpp {xllamacpp.__version__}, {xllamacpp.get_system_info().strip()}"
        self.model = xllamacpp.Server(params)

    def complete(self, prompt, **options):
        return self.model.handle_completions({"prompt": prompt, "temperature": 0, **options})

    def prefill(self, prompt):
        reply = self.complete(prompt, n_predict=1, cache_prompt=False)
        return reply["timings"]["prompt_ms"] / 1e3, reply["usage"]["prompt_tokens"]

    def decode(self, prompt):
        reply = self.complete(prompt, n_predict=DECODED, ignore_eos=True, cache_prompt=True)
        timings = reply["timings"]
        return timings["predicted_ms"] / timings["predicted_n"] * DECODED / 1e3, reply["usage"]["prompt_tokens"]

    def answer(self, prompt):
        reply = self.complete(prompt, n_predict=NEW_TOKENS, cache_prompt=True)
        read, kept = reply["usage"]["prompt_tokens"], reply["usage"]["prompt_tokens_details"]["cached_tokens"]
        return reply["choices"][0]["text"], read, read - kept


PEERS = {
    "transformers-bf16": (Transformers, {"dtype": "bfloat16"}),
    "transformers-f32": (Transformers, {"dtype": "float32"}),
    **{
        f"llama-{name}-{batch}{suffix}": (binding, {"batch": batch, "flash": suffix == "-fa"})
        for name, binding in [("native", LlamaNative), ("wheel", LlamaWheel)]
        for batch in (512, 2048)
        for suffix in ("-fa", "")
    },
}


def installed(system):
    return importlib.util.find_spec(PEERS[system][0].package) is not None


def serve(pipe, system, model, threads, context):
    """The child process: load, then answer calls of the peer's methods until None comes."""
    binding, options = PEERS[system]
    peer = binding(model, threads, context, **options)
    pipe.send(peer.about)
    while (call := pipe.recv()) is not None:
        method, argument = call
        result = getattr(peer, method)(argument)
        status = Path("/proc/self/status").read_text()
        pipe.send((result, int(status.split("VmHWM:")[1].split()[0]) / 1024))

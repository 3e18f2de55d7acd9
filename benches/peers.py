#!/usr/bin/env python3
"""Compare niah with llama.cpp and transformers: one GGUF file, the same prompts, one machine, one run.

    CMAKE_ARGS="-DGGML_NATIVE=ON" pip install --no-binary llama-cpp-python -r benches/requirements.txt
    python benches/peers.py --work prefill                          # all systems, 512, 4k and 8k tokens
    python benches/peers.py --work decode --lengths 512,8k          # tokens one by one behind a prompt
    python benches/peers.py --work grid --output grid.csv           # 8 lengths x 5 depths
    python benches/peers.py --systems niah-bf16,llama-native --lengths 4k --rounds 3

Systems (--systems takes names or beginnings of names; those that are not installed are left out):

    niah-DTYPE               prefill through `niah bench`; grid through `niah run`, attention captured
    transformers-DTYPE       SDPA, weights expanded at load
    llama-BUILD-BATCH[-fa]   llama.cpp with n_batch = n_ubatch = BATCH, with flash attention (fa) or without.
                             BUILD native: llama-cpp-python as compiled here; BUILD wheel: xllamacpp (AVX2).

Work:

    prefill  tokens per second of reading one prompt of N tokens, logits of the last one. Processes stay alive over
             the rounds and have read a prompt before the first one, so loading does not count. Of the settings of a
             build of llama.cpp, the first round keeps the fastest at each length. `niah bench` makes its own N
             tokens; the work does not depend on which they are.
    decode   tokens per second of 32 tokens, one by one, behind a prompt of N tokens. Peers read the prompt once and go back
             to its end in each round; `niah bench` reads it each time, which does not count.
    grid     the prompts of `niah prompts`, at most 16 new tokens each, greedy. A process of its own each time; the
             time is given from when the model is ready and from the start of the process. llama.cpp keeps what a
             prompt shares with the one before it and captures nothing; it goes through the prompts in two orders:
             niah's, and sorted by text, which computes every shared beginning once and so is the best for it.
             transformers takes each prompt on its own: SDPA for all but the last token, that one with eager
             attention to get its row, SDPA for the answer.

How it is kept fair: systems take turns in every round, each time another one first, and ratios are taken within a
round, so that a machine whose speed swings disturbs all alike. All have the same number of threads. A prompt must
have as many tokens in each as in niah, and answers are counted in the same way. Peak memory is the largest resident
set of a system's own process, with everything that its runtime maps.

With --output, raw numbers are appended to a CSV file, and the tables show all that is in it: a comparison can be made
in several portions, and --rounds 0 prints the tables alone.
"""

import argparse
import csv
import io
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from peer_systems import DECODED, NEW_TOKENS, PEERS, installed, serve

DEPTHS = "0,25,50,75,100"
ALL = {"prefill": "niah,transformers,llama", "decode": "niah,transformers,llama", "grid": "niah,transformers-bf16,llama-native-512-fa"}
COLUMNS = ["work", "round", "system", "context_length", "seconds", "seconds_with_load", "peak_mib", "prompt_tokens", "computed_tokens", "correct", "cells"]


class Peer:
    """A system that runs in a child process."""

    def __init__(self, system, args):
        spawn = multiprocessing.get_context("spawn")
        self.pipe, far = spawn.Pipe()
        self.process = spawn.Process(target=serve, args=(far, system, args.model, args.threads, args.context), daemon=True)
        self.process.start()
        far.close()  # so that a child that dies ends the wait for its reply

    def about(self):
        """Waits until the model is loaded."""
        return self.pipe.recv()

    def call(self, method, argument):
        self.pipe.send((method, argument))
        return self.pipe.recv()

    def close(self):
        self.pipe.send(None)
        self.process.join()


def niah(args, *command):
    """What niah writes to stdout, the seconds it took, and its peak memory in MiB."""
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as stdout:
        child = subprocess.Popen([args.niah, *command, "--model", args.model], stdout=stdout, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            sys.exit(f"{' '.join(map(str, child.args))}: exit code {child.returncode}")
        stdout.seek(0)
        return stdout.read(), seconds, usage.ru_maxrss / 1024


def niah_prompts(args, *options):
    text, _, _ = niah(args, "prompts", *options)
    return [json.loads(line) for line in text.splitlines()]


def niah_speed(work, system, args, length):
    dtype = system.removeprefix("niah-")
    command = ["bench", "--dtype", dtype, "--context-lengths", str(length), "--repeats", "1"]
    command += ["--max-new-tokens", str(DECODED if work == "decode" else 1), "--threads", str(args.threads)]
    table, _, peak = niah(args, *command, "--output-format", "csv")
    [row] = csv.DictReader(io.StringIO(table))
    seconds = DECODED / float(row["decode_tokens_per_second"]) if work == "decode" else length / float(row["prefill_tokens_per_second"])
    return {"seconds": seconds, "peak_mib": peak, "prompt_tokens": length}


def peer_speed(work, peer, prompt):
    (seconds, tokens), peak = peer.call(work, prompt["prompt"])
    assert tokens == prompt["prompt_tokens"], f"{tokens} tokens instead of niah's {prompt['prompt_tokens']}"
    return {"seconds": seconds, "peak_mib": peak, "prompt_tokens": tokens}


def grid_options(args):
    return ["--context-lengths", args.grid_lengths, "--depths", DEPTHS, "--trials", "1", "--max-new-tokens", str(NEW_TOKENS)]


def niah_grid(system, args):
    with tempfile.TemporaryDirectory() as folder:
        command = ["run", "--dtype", system.removeprefix("niah-"), "--threads", str(args.threads), "-o", folder]
        _, with_load, peak = niah(args, *command, *grid_options(args))
        with open(Path(folder, "results.csv"), newline="") as file:
            rows = list(csv.DictReader(file))
        plan = json.loads(Path(folder, "run.json").read_text())
    return {
        "seconds": sum(float(row["duration_seconds"]) for row in rows),
        "seconds_with_load": with_load,
        "peak_mib": peak,
        "prompt_tokens": sum(int(row["prompt_tokens"]) for row in rows),
        "computed_tokens": plan["tokens"]["computed"],
        "correct": sum(row["expected_answer"] in row["model_response"] for row in rows),
    }


def peer_grid(system, args, prompts):
    started = time.perf_counter()
    peer = Peer(system, args)
    peer.about()
    ready = time.perf_counter()
    correct = read = computed = 0
    for prompt in prompts:
        (answer, tokens, tokens_computed), peak = peer.call("answer", prompt["prompt"])
        assert tokens == prompt["prompt_tokens"], f"{system}: {tokens} tokens instead of niah's {prompt['prompt_tokens']}"
        correct += all(value in answer for value in prompt["expected"])
        read, computed = read + tokens, computed + tokens_computed
    ended = time.perf_counter()
    peer.close()
    seconds = {"seconds": ended - ready, "seconds_with_load": ended - started}
    return {**seconds, "peak_mib": peak, "prompt_tokens": read, "computed_tokens": computed, "correct": correct}


def rotated(systems, turn):
    """Each round begins with another system."""
    turn %= len(systems)
    return systems[turn:] + systems[:turn]


def build(system):
    """What the settings of one build of llama.cpp have in common; other systems stand for themselves."""
    return "-".join(system.split("-")[:2])


def fastest_settings(systems, seconds):
    best = {build(system): system for system in sorted(systems, key=seconds.get, reverse=True)}
    return [system for system in systems if system in best.values()]


def speed_rounds(args, rounds):
    """Yields a row for each prompt that a system read, or has decoded behind."""
    options = ["--depths", "50", "--snap", "none", "--max-new-tokens", str(NEW_TOKENS)]
    lengths = sorted(args.lengths)
    # An answer of NEW_TOKENS is part of a context length; the prompt alone has the length that is measured.
    prompts = niah_prompts(args, *options, "--context-lengths", ",".join(str(n + NEW_TOKENS) for n in [512, *lengths]))
    prompts = {prompt["prompt_tokens"]: prompt for prompt in prompts}
    peers = {system: Peer(system, args) for system in args.systems if system in PEERS}
    for system, peer in peers.items():
        print(f"{system}: {peer.about()}", flush=True)
        peer.call("prefill", prompts[512]["prompt"])
    for length in lengths:
        systems = args.systems
        for turn in rounds:
            seconds = {}
            for system in rotated(systems, turn):
                row = peer_speed(args.work, peers[system], prompts[length]) if system in peers else niah_speed(args.work, system, args, length)
                seconds[system] = row["seconds"]
                yield {"work": args.work, "round": turn, "system": system, "context_length": length, **row}
            systems = fastest_settings(systems, seconds)
    for peer in peers.values():
        peer.close()


def grid_rounds(args, rounds):
    """Yields a row for each time a system went through the grid."""
    prompts = niah_prompts(args, *grid_options(args))
    orders = {"as niah": prompts, "sorted": sorted(prompts, key=lambda prompt: prompt["prompt"])}
    wanted = ["as niah", "sorted"] if args.orders == "both" else [args.orders]
    systems = [(name, order) for name in args.systems for order in (wanted if name.startswith("llama") else ["as niah"])]
    for turn in rounds:
        for name, order in rotated(systems, turn):
            row = peer_grid(name, args, orders[order]) if name in PEERS else niah_grid(name, args)
            label = f"{name} ({order})" if name.startswith("llama") else name
            yield {"work": "grid", "round": turn, "system": label, "cells": len(prompts), **row}


def summary(rows):
    """Medians, spreads, and speed over the fastest peer's in the same round, of rows of the same work."""
    by_system = {}
    for row in rows:
        by_system.setdefault(row["system"], {})[int(row["round"])] = row
    seconds = {system: {turn: float(row["seconds"]) for turn, row in rounds.items()} for system, rounds in by_system.items()}
    median = {system: statistics.median(rounds.values()) for system, rounds in seconds.items()}
    peers = [system for system in seconds if not system.startswith("niah")]
    most = max((len(seconds[system]) for system in peers), default=0)
    best = min((system for system in peers if len(seconds[system]) == most), key=median.get, default=None)
    for system in sorted(median, key=median.get):
        shared = [seconds[best][turn] / value for turn, value in seconds[system].items() if turn in seconds[best]] if best else []
        ratio = f"{statistics.median(shared):.2f}" if shared else ""
        low, high = min(seconds[system].values()), max(seconds[system].values())
        yield system, list(by_system[system].values()), median[system], low, high, ratio


def print_speed(work, rows, length):
    made = DECODED if work == "decode" else length
    what = f"{work} {'behind' if work == 'decode' else 'of'} {length} tokens"
    print(f"\n{what:28} rounds   tokens/s   slowest..fastest   x fastest peer   peak MiB")
    for system, rounds, median, low, high, ratio in summary(rows):
        peak = max(float(row["peak_mib"]) for row in rounds)
        spread = f"{made / high:.0f}..{made / low:.0f}"
        print(f"{system:28} {len(rounds):6} {made / median:10.0f} {spread:>18} {ratio:>16} {peak:10.0f}")


def print_grid(rows):
    if len({int(row["prompt_tokens"]) for row in rows}) > 1:
        sys.exit("the file given with --output holds rows of another grid: name another file")
    print("\ngrid                                   rounds  seconds   fastest..slowest  with load  x fastest peer  peak MiB   computed   right")
    for system, rounds, median, low, high, ratio in summary(rows):
        with_load = statistics.median(float(row["seconds_with_load"]) for row in rounds)
        peak = max(float(row["peak_mib"]) for row in rounds)
        last = rounds[-1]
        print(
            f"{system:38} {len(rounds):6} {median:8.1f} {f'{low:.1f}..{high:.1f}':>18} {with_load:10.1f} {ratio:>15} {peak:9.0f}"
            f" {last['computed_tokens']:>10} {last['correct']:>4}/{last['cells']}"
        )
    seconds = {}
    for row in rows:
        seconds.setdefault(row["system"], {})[int(row["round"])] = float(row["seconds"])
    for own, ours in seconds.items():
        for peer, theirs in seconds.items():
            shares = [ours[turn] / theirs[turn] for turn in ours if turn in theirs]
            if own.startswith("niah") and not peer.startswith("niah") and shares:
                spread = f"{min(shares):.2f} to {max(shares):.2f}, {len(shares)} rounds"
                print(f"{own} takes {statistics.median(shares):.2f} of the time of {peer} ({spread})")


def tokens(text):
    return int(text[:-1]) * 1024 if text.endswith("k") else int(text)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", choices=["prefill", "decode", "grid"], default="prefill")
    parser.add_argument("--systems", help=f"names or beginnings of names, separated by commas [default: {ALL}]")
    parser.add_argument("--lengths", default="512,4k,8k", help="prompt lengths of prefill and decode [default: %(default)s]")
    parser.add_argument("--grid-lengths", default="512,1k,1536,2k,3k,4k,6k,8k", help="context lengths of the grid [default: %(default)s]")
    parser.add_argument("--orders", choices=["both", "as niah", "sorted"], default="both", help="orders in which llama.cpp takes the grid [default: %(default)s]")
    parser.add_argument("--rounds", type=int, default=5, help="times that every system is measured [default: %(default)s]")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="threads of every system [default: all cores]")
    parser.add_argument("--model", default="fixtures/models/SmolLM2-135M-Instruct.Q4_1.gguf", help="GGUF file [default: %(default)s]")
    parser.add_argument("--niah", default="target/release/niah", help="binary [default: %(default)s]")
    parser.add_argument("--output", type=Path, help="CSV file for raw numbers; rounds are added to it")
    args = parser.parse_args()
    wanted = (args.systems or ALL[args.work]).split(",")
    systems = ["niah-bf16", "niah-bf16x2", "niah-f32", *filter(installed, PEERS)]
    args.systems = [name for name in systems if name in wanted or any(name.startswith(w) for w in wanted if w not in systems)]
    args.lengths = [tokens(length) for length in args.lengths.split(",")]
    longest = max(map(tokens, args.grid_lengths.split(",")) if args.work == "grid" else args.lengths)
    args.context = longest + max(NEW_TOKENS, DECODED)
    return args


def stored(path):
    if not (path and path.exists()):
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def store(path, row):
    with open(path, "a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if file.tell() == 0:
            writer.writeheader()
        writer.writerow(row)


def main():
    args = arguments()
    os.environ |= {"OMP_NUM_THREADS": str(args.threads), "TQDM_DISABLE": "1"}
    rows = [row for row in stored(args.output) if row["work"] == args.work]
    first = 1 + max((int(row["round"]) for row in rows), default=-1)
    measure = grid_rounds if args.work == "grid" else speed_rounds
    for row in measure(args, range(first, first + args.rounds)) if args.rounds else []:
        rows.append(row)
        print(f"round {row['round']}: {row['system']} {row.get('context_length', '')} {row['seconds']:.2f} s", file=sys.stderr)
        if args.output:
            store(args.output, row)
    if args.work == "grid":
        print_grid(rows)
    else:
        for length in sorted({int(row["context_length"]) for row in rows}):
            print_speed(args.work, [row for row in rows if int(row["context_length"]) == length], length)


if __name__ == "__main__":
    main()

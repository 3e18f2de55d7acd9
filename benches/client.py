"""What asking a server takes of this machine: processor time and memory of niah beside 16 requests at a time.

    client.py NIAH [--tokenizer NAME] [--lengths 1k,4k,16k] [--seconds 1] [--concurrency 16] [--rounds 10]

A server on loopback answers every request after so many seconds. Each length is run twice, with one round of requests
and with several: what a request takes is the difference, so that the start of the program is no part of it. Processor
time (user and system) is that of niah and of the process that its tokenizer runs in; the largest memory of either is printed
apart, and that of both together as their shares of the pages that they have in common (Linux).
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seconds = 1.0

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        time.sleep(self.seconds if asked["max_tokens"] > 1 else 0)
        body = json.dumps({"model": "scripted", "choices": [{"index": 0, "text": " 1", "finish_reason": "stop"}]}).encode()
        # In one piece: a second one would wait for the receipt of the first.
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 1024


def kibibytes(pid, file, name):
    """A number out of a file that the kernel has on a process; 0 of one that has ended."""
    try:
        lines = pathlib.Path(f"/proc/{pid}/{file}").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)


def run(command):
    """Wall and processor time in seconds of a command that succeeds, and the largest memory in MB: of it, of its children,
    of all of them."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    own = below = together = ended = 0
    while not ended:
        try:
            children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        except OSError:
            children = []
        own = max(own, kibibytes(process.pid, "status", "VmHWM"))
        below = max([below] + [kibibytes(child, "status", "VmHWM") for child in children])
        together = max(together, sum(kibibytes(pid, "smaps_rollup", "Pss") for pid in [process.pid, *children]))
        time.sleep(0.05)
        ended, status, used = os.wait4(process.pid, os.WNOHANG)
    assert status == 0, command
    memory = [1024 * size / 1e6 for size in (own, below, together)]
    return time.monotonic() - started, used.ru_utime + used.ru_stime, memory


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("niah")
parser.add_argument("--tokenizer", default="fixtures/models/SmolLM2-135M-Instruct.Q4_1.gguf")
parser.add_argument("--lengths", default="1k,4k,16k")
parser.add_argument("--seconds", type=float, default=1.0)
parser.add_argument("--concurrency", type=int, default=16)
parser.add_argument("--rounds", type=int, default=10)
given = parser.parse_args()

Answers.seconds = given.seconds
server = Server(("127.0.0.1", 0), Answers)
threading.Thread(target=server.serve_forever, daemon=True).start()

print("length  requests  processor ms/request  share of a request  added wall ms/request  MB of niah  of its tokenizer  of both")
for length in given.lengths.split(","):
    runs = []
    for rounds in (1, 1 + given.rounds):
        with tempfile.TemporaryDirectory() as place:
            runs.append(run([
                given.niah, "run", "--endpoint", f"http://127.0.0.1:{server.server_port}/v1", "--model", "scripted",
                "--tokenizer", given.tokenizer, "--api", "completions", "--apply-chat-template=never",
                "--context-lengths", length, "--depths-num", "8", "--trials", str(rounds * given.concurrency // 8),
                "--concurrency", str(given.concurrency), "--no-length-check", "--retries", "0", "--quiet",
                "-o", str(pathlib.Path(place) / "run"),
            ]))
    (wall, cpu, _), (wall_of_more, cpu_of_more, memory) = runs
    requests = given.rounds * given.concurrency
    processor = (cpu_of_more - cpu) / requests
    added = (wall_of_more - wall) / given.rounds - given.seconds
    print(f"{length:>6}  {requests:8}  {1e3 * processor:20.1f}  {processor / given.seconds:18.2%}  {1e3 * added:21.1f}"
          f"  {memory[0]:10.1f}  {memory[1]:16.1f}  {memory[2]:7.1f}", flush=True)
sys.exit(0)

#!/usr/bin/env python3
"""A `vllm` that starts at once and behaves as VLM_STANDIN says, to test a launcher without an engine.

`scripted_engine.py serve MODEL --port N ...`, or linked into a folder of PATH under the name `vllm`; options it does
not know are accepted. Its answers are those of `quick_server` and prove nothing about a deployment. Standard library
only. VLM_STANDIN_DELAY is the time before `dies-loading` dies, in seconds (2); VLM_STANDIN_AFTER the number of chat
requests answered before `dies-in-request` and `hangs-in-request` do as they are called (2, as many as readiness asks);
VLM_STANDIN_CPU the only processor of `computes`, VLM_STANDIN_RUNS and VLM_STANDIN_SLEEPS for how many seconds it
computes and sleeps before it answers.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import start_log
from quick_server import Behaviour, QuickServer, Seen
from start_log import VERSION

CHILD_LIFE_S = 300
# with eight requests at once at most about 30 MB/s
SLOW_TOKEN_S = 0.1
# more tokens than any test asks for; and time to write half of them
LONG_ANSWER, FLUSHED_S = 4000, 0.5
# an engine lives this long before it finds its port taken, so that a launcher has seen it start
SEEN_ALIVE_S = 1.0
# the marker words stay in the command line, so that a test finds processes that were left
CHILD = [sys.executable, "-c", f"import time; time.sleep({CHILD_LIFE_S})", "standin-child"]
SPAWN = "import subprocess, sys; subprocess.Popen(sys.argv[1:], start_new_session=True)"


@dataclass(frozen=True, slots=True)
class Options:
    """The part of vLLM's command line that matters here."""

    model: str
    host: str
    port: int
    served: str
    eager: bool = True

    @property
    def behaviour(self) -> Behaviour:
        return Behaviour(model=self.served)


class Log:
    """Lines as vLLM writes them: its own on standard output, tracebacks on standard error."""

    @staticmethod
    def info(process: str, place: str, text: str) -> None:
        now = datetime.now().astimezone().strftime("%m-%d %H:%M:%S")
        print(f"({process} pid={os.getpid()}) INFO {now} [{place}] {text}", flush=True)

    @staticmethod
    def traceback(process: str, file: str, call: str, error: str) -> None:
        lines = ("Traceback (most recent call last):", f'  File "{file}", line 1, in {call}', f"    {call}()", error)
        for line in lines:
            print(f"({process} pid={os.getpid()}) {line}", file=sys.stderr, flush=True)


def loading(options: Options) -> None:
    """Log lines until the weights are read."""
    Log.info("APIServer", "utils.py:299", f"vLLM API server version {VERSION}")
    Log.info("APIServer", "model.py:533", "Resolved architecture: InternVLChatModel")
    Log.info("APIServer", "model.py:1582", "Using max model len 4096")
    Log.info("EngineCore", "core.py:103", start_log.config(options.model, options.eager))
    print(
        f"(EngineCore pid={os.getpid()}) Loading safetensors checkpoint shards: 100% | 1/1", file=sys.stderr, flush=True
    )


def loaded(options: Options) -> None:
    """Log lines after that."""
    Log.info("EngineCore", "default_loader.py:291", "Loading weights took 2.03 seconds")
    Log.info("EngineCore", "model_runner_v1.py:2589", "Loading model weights took 4.1153 GB")
    Log.info("EngineCore", "worker.py:358", "Available KV cache memory: 21.37 GiB")
    Log.info("EngineCore", "kv_cache_utils.py:1307", "GPU KV cache size: 233,344 tokens")
    for line in start_log.capture(options.eager):
        Log.info("EngineCore", "gpu_model_runner.py:5746", line)
    Log.info("EngineCore", "core.py:272", "init engine (profile, create kv cache, warmup model) took 12.96 seconds")


def listen_to_signals(ignored: bool = False) -> threading.Event:
    """An event that SIGTERM and SIGINT set, unless they are ignored."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN if ignored else lambda *_: stopped.set())
    return stopped


def wait_until(stopped: threading.Event) -> None:
    """Wait for the event, and log the shutdown."""
    stopped.wait()
    Log.info("APIServer", "launcher.py:110", "Shutting down FastAPI HTTP server.")


def serving(options: Options, server: QuickServer, ignores_signals: bool = False) -> int:
    """Load, bind and serve, with log lines; 1 when the port is taken."""
    stopped = listen_to_signals(ignores_signals)  # before the port is open
    loading(options)
    loaded(options)
    try:
        with server:
            Log.info("APIServer", "launcher.py:37", f"Starting vLLM API server 0 on {server.url}")
            print(f"INFO:     Started server process [{os.getpid()}]", flush=True)
            print("INFO:     Application startup complete.", flush=True)
            wait_until(stopped)
    except OSError as taken:
        Log.traceback("APIServer", "vllm/entrypoints/openai/api_server.py", "create_server_socket", f"OSError: {taken}")
        return 1
    return 0


def site(options: Options, behaviour: Behaviour | None = None) -> QuickServer:
    return QuickServer(behaviour or options.behaviour, host=options.host, port=options.port)


def ready(options: Options) -> int:
    return serving(options, site(options))


def two_processes(options: Options) -> int:
    """A child in the same session that an orderly stop ends and SIGKILL leaves, like vLLM's EngineCore."""
    with subprocess.Popen([*CHILD, str(options.port)]) as child:
        code = ready(options)
        child.terminate()
    return code


def leaves_children(options: Options) -> int:
    """A grandchild in a session of its own that outlives all others; its parent has ended."""
    subprocess.run([sys.executable, "-c", SPAWN, *CHILD, str(options.port)], check=True)
    return ready(options)


def dies_loading(options: Options) -> int:
    loading(options)
    time.sleep(float(os.environ.get("VLM_STANDIN_DELAY", "2")))
    where = "vllm/model_executor/models/internvl.py"
    Log.traceback(
        "EngineCore", where, "load_weights", "KeyError: 'language_model.model.layers.24.attention.wqkv.weight'"
    )
    return core_failed()


def oom_at_start(options: Options) -> int:
    loading(options)
    least = "(3.21/29.50 GiB) on startup is less than desired GPU memory utilization (0.9, 26.55 GiB)"
    advice = "Decrease GPU memory utilization or reduce GPU memory used by other processes."
    error = f"ValueError: Free memory on device {least}. {advice}"
    Log.traceback("EngineCore", "vllm_ascend/worker/worker.py", "init_device", error)
    return core_failed()


def core_failed() -> int:
    """The API server ends after the engine."""
    error = "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"
    Log.traceback("APIServer", "vllm/v1/engine/utils.py", "wait_for_engine_startup", error)
    return 1


def reads_logo(options: Options) -> int:
    """Answers everything with the words of the guide's logo."""
    return serving(options, site(options, replace(options.behaviour, says="TONGYI Qwen")))


def exclaims(options: Options) -> int:
    """Answers everything with exclamation marks."""
    return serving(options, site(options, replace(options.behaviour, says="!" * 64)))


def newer(options: Options) -> int:
    """A version without the known issues of 0.18 that gives two choices when a million are requested."""
    return serving(options, site(options, replace(options.behaviour, version="0.32.0", most_choices=2)))


def logs_key(options: Options) -> int:
    Log.info("APIServer", "utils.py:302", f"the key is {os.environ.get('VLLM_API_KEY')}")
    return ready(options)


def dies_of_key(options: Options) -> int:
    loading(options)
    error = f"ValueError: the key {os.environ.get('VLLM_API_KEY')!r} is not valid"
    Log.traceback("APIServer", "vllm/entrypoints/openai/api_server.py", "run_server", error)
    return 1


def exits_zero(options: Options) -> int:
    loading(options)
    return 0


def hangs_loading(options: Options) -> int:
    stopped = listen_to_signals()
    loading(options)
    wait_until(stopped)
    return 0


def listens_nothing(options: Options) -> int:
    """Logs that it is ready, and listens on no port."""
    stopped = listen_to_signals()
    loading(options)
    loaded(options)
    Log.info("APIServer", "launcher.py:37", f"Starting vLLM API server 0 on http://{options.host}:{options.port}")
    wait_until(stopped)
    return 0


def health_too_early(options: Options) -> int:
    return serving(options, site(options, replace(options.behaviour, chat_status=503)))


def ignores_sigterm(options: Options) -> int:
    return serving(options, site(options), ignores_signals=True)


def wrong_model_id(options: Options) -> int:
    return serving(options, site(options, Behaviour(model="somebody-elses-model")))


def binds_late(options: Options) -> int:
    """Wait until another process has taken the port, then try to bind it."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with socket.socket() as asked:
            if asked.connect_ex((options.host, options.port)) == 0:
                break
        time.sleep(0.05)
    time.sleep(SEEN_ALIVE_S)
    return ready(options)


def floods_log(options: Options) -> int:
    """Logs 80 MB at once, then about 17 MB/s while it serves."""

    line = (
        f"(EngineCore pid={os.getpid()}) WARNING 01-01 00:00:00 [utils.py:1] Please DO NOT tune args ['num_warps']!\n"
    )
    print(line * (80_000_000 // len(line)), end="", flush=True)

    def flood() -> None:
        while True:
            os.write(1, line.encode() * 8500)  # not print: a lock held at exit would abort the interpreter
            time.sleep(0.05)

    threading.Thread(target=flood, daemon=True).start()
    return ready(options)


def answers_slowly(options: Options) -> int:
    """Answers as slow as those of a small model, to limit the number of requests of a soak."""
    return serving(options, site(options, replace(options.behaviour, token_delay_s=SLOW_TOKEN_S)))


def talks_long(options: Options) -> int:
    """Streams for minutes, if so many tokens are asked for; its end cuts every connection."""
    return serving(options, site(options, talkative(options)))


def talkative(options: Options) -> Behaviour:
    return replace(options.behaviour, says="word " * LONG_ANSWER, token_delay_s=SLOW_TOKEN_S)


class Halving(QuickServer):
    """Makes long answers half as long, and writes the rest of each at once when it ends."""

    def answer(self, seen: Seen) -> tuple[int, str, list[bytes]] | None:
        body = seen.json() if b'"ignore_eos"' in seen.body else {}
        if body.get("max_tokens", 0) > 1:
            seen = replace(seen, body=json.dumps({**body, "max_tokens": body["max_tokens"] // 2}).encode())
        return super().answer(seen)

    def __exit__(self, *exc: object) -> None:
        self.hurry()
        time.sleep(FLUSHED_S)
        super().__exit__(*exc)


def halves_at_the_end(options: Options) -> int:
    """Its end closes half of each answer in flight as if it were whole."""
    return serving(options, Halving(talkative(options), host=options.host, port=options.port))


def leaks(options: Options) -> int:
    """Answers as slowly, and leaks a megabyte for every chat request."""
    kept: list[bytes] = []
    unhurried = replace(options.behaviour, token_delay_s=SLOW_TOKEN_S, on_chat=lambda _: kept.append(b"x" * (1 << 20)))
    return serving(options, site(options, unhurried))


def computes(options: Options) -> int:
    """Computes and sleeps before every answer, on one processor alone: those that run there too make it wait."""
    os.sched_setaffinity(0, {int(os.environ["VLM_STANDIN_CPU"])})
    runs_s, sleeps_s = (float(os.environ.get(f"VLM_STANDIN_{name}", "0")) for name in ("RUNS", "SLEEPS"))

    def on_chat(_: int) -> None:
        time.sleep(sleeps_s)
        until = time.thread_time() + runs_s
        while time.thread_time() < until:
            pass

    return serving(options, site(options, replace(options.behaviour, on_chat=on_chat)))


def dies_in_request(options: Options) -> int:
    def on_chat(number: int) -> None:
        if number < answered_first():
            return
        error = "RuntimeError: ACL stream synchronize failed, error code:507015"
        Log.traceback("EngineCore", "vllm_ascend/worker/model_runner_v1.py", "execute_model", error)
        dead = "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue."
        Log.traceback("APIServer", "vllm/v1/engine/async_llm.py", "output_handler", dead)
        os._exit(1)

    return serving(options, site(options, replace(options.behaviour, on_chat=on_chat)))


def hangs_in_request(options: Options) -> int:
    """Later chat requests are never answered, while `/health` stays 200."""

    def on_chat(number: int) -> None:
        if number >= answered_first():
            server.behaviour = replace(options.behaviour, chat_status=0)

    server = site(options, replace(options.behaviour, on_chat=on_chat))
    return serving(options, server)


def answered_first() -> int:
    return int(os.environ.get("VLM_STANDIN_AFTER", "2"))


BEHAVIOURS: dict[str, Callable[[Options], int]] = {
    "ready": ready,
    "two-processes": two_processes,
    "leaves-children": leaves_children,
    "dies-loading": dies_loading,
    "oom-at-start": oom_at_start,
    "exits-zero": exits_zero,
    "hangs-loading": hangs_loading,
    "listens-nothing": listens_nothing,
    "health-too-early": health_too_early,
    "ignores-sigterm": ignores_sigterm,
    "wrong-model-id": wrong_model_id,
    "floods-log": floods_log,
    "binds-late": binds_late,
    "reads-logo": reads_logo,
    "exclaims": exclaims,
    "newer": newer,
    "logs-key": logs_key,
    "dies-of-key": dies_of_key,
    "answers-slowly": answers_slowly,
    "talks-long": talks_long,
    "halves-at-the-end": halves_at_the_end,
    "computes": computes,
    "leaks": leaks,
    "dies-in-request": dies_in_request,
    "hangs-in-request": hangs_in_request,
}


def main() -> int:
    """The exit code of the behaviour named by VLM_STANDIN, which is `ready` when it is not set."""
    parser = argparse.ArgumentParser(prog="vllm")
    parser.add_argument("--version", "-v", action="version", version=VERSION)
    commands = parser.add_subparsers(required=True)
    serve = commands.add_parser("serve")
    serve.add_argument("model")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, default=8000)
    serve.add_argument("--served-model-name")
    serve.add_argument("--enforce-eager", action="store_true")
    given, _ = parser.parse_known_args()
    name = os.environ.get("VLM_STANDIN", "ready")
    if name not in BEHAVIOURS:
        sys.exit(f"vllm: VLM_STANDIN is {name!r}; known: {', '.join(BEHAVIOURS)}")
    served = given.served_model_name or given.model
    return BEHAVIOURS[name](Options(given.model, given.host, given.port, served, given.enforce_eager))


if __name__ == "__main__":
    sys.exit(main())

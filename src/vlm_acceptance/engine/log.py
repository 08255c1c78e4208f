"""Reads an engine log: figures of the start, error lines of a death, their cause and remedy. Pure functions."""

from __future__ import annotations

import re
from ast import literal_eval
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

from vlm_acceptance.core.engine_figures import EngineFigures

# vLLM writes the process, and for its own records level, time and place, before every line of a message; torch writes
# the rank before every line of an exception that ends a process of a group.
_PREFIX = re.compile(
    r"^(?:\([\w .=-]*pid=\d+\)\s?)*(?:\[rank\d+\]: ?)?"
    r"(?:(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL)\s+\d\d-\d\d \d\d:\d\d:\d\d\s+(?:\[[^\]]+\]|\S+\.py:\d+\])\s?)?"
)
_COLOURS = re.compile(r"\x1b\[[\d;]*m")
_EXCEPTION = re.compile(r"^[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit|Failure)\b(?::|$)")
_COMPLAINT = re.compile(r"ERROR:|\[error\]", re.IGNORECASE)
_SIGNS = re.compile(
    r"out of memory|address already in use|cannot open shared object file|soc_?ver(?:sion|ison)|Bus error|"
    r"Segmentation fault|No space left on device|error: (?:unrecognized|argument)|The device is unavailable|"
    r"ASCEND_RT_VISIBLE_DEVICES:\S+ error|Too many open files|Failed to infer device type|^Killed\b",
    re.IGNORECASE,
)
# Every failed start prints these, so they count only when the log has no other error line.
_CONSEQUENCES = re.compile(
    r"Engine core initialization failed|EngineDeadError|EngineCore failed to start|EngineCore encountered an issue|"
    r"WorkerProc (?:failed to start|initialization failed)|AsyncLLM output_handler failed|"
    r"Process \w+ failed|ERR99999|See stack trace|leaked semaphore"
)
HARMLESS = (
    "Bind cpus failed in rank",
    "npu-smi tool not found",
    "Failed to import from vllm._C",
    "Triton not installed or not compatible",
    "is already registered, and will be overwritten",
    "ImportWarning",
    "Please DO NOT tune args",
    "max_tokens is deprecated in favor of",
    "No cudagraph will be used",
    "FutureWarning",
    "Found ulimit of",
    "For further information visit",
    # each compiler process of CANN writes it when the engine has ended, whatever ended it
    "TBE Subprocess[task_distribute]",
)
_FIGURES: tuple[tuple[str, str, Callable[[str], Any]], ...] = (
    ("version", r"Initializing a V1 LLM engine \(v([^)]+)\)", str),
    ("weights_load_s", r"Loading weights took ([\d.]+) seconds", float),
    ("model_memory_gib", r"(?:Loading model weights|Model loading) took ([\d.]+) Gi?B", float),
    ("kv_cache_tokens", r"KV cache size: ([\d,]+) tokens", lambda text: int(text.replace(",", ""))),
    ("kv_cache_gib", r"Available KV cache memory: (-?[\d.]+) GiB", float),
    ("kv_cache_gib", r"(?:Explicitly|Auto) set \(([\d.]+)/[\d.]+\) GiB for KV cache", float),
    ("max_concurrency", r"Maximum concurrency for [\d,]+ tokens per request: ([\d.]+)x", float),
    ("graph_capture_s", r"Graph capturing finished in ([\d.]+) secs", float),
    ("engine_init_s", r"init engine \(profile, create kv cache, warmup model\) took ([\d.]+) s", float),
    ("alloc_conf", r"Set PYTORCH_NPU_ALLOC_CONF=(\S+)", str),
    ("eager", r"enforce_eager=(True|False)", lambda text: text == "True"),
    ("cudagraph_mode", r"cudagraph_mode['\"]: ?<CUDAGraphMode\.(\w+)", str),
    ("cudagraph_mode", r"Skipping CUDA graph capture\.()", lambda _: "NONE"),
    ("graphs_captured", r"Capturing CUDA graphs \(mixed[^|]*100%\|[^|]*\| (\d+)/\d+", int),
    ("graph_sizes", r"cudagraph_capture_sizes['\"]: ?(\[[\d, ]*\])", lambda text: tuple(sorted(literal_eval(text)))),
)


def figures(lines: Iterable[str]) -> EngineFigures:
    """The figures in a log; of a repeated line the last one counts."""
    found: dict[str, Any] = {}
    for line in lines:
        for name, pattern, value in _FIGURES:
            if match := re.search(pattern, line):
                found[name] = value(match.group(1))
    return EngineFigures(**found)


def message_of(line: str) -> str:
    """A line of the log without colours and without the process, level, time and place before its message."""
    return _PREFIX.sub("", _COLOURS.sub("", line), count=1).strip()


def error_lines(text: str, harmless: Sequence[str] = (), limit: int = 12) -> list[str]:
    """At most `limit` lines about a death, oldest first, without prefixes, repetitions, `harmless`, HARMLESS."""
    noise = (*HARMLESS, *harmless)
    found = [line for line in _candidates(text) if not any(word in line for word in noise)]
    causes = [line for line in found if not _CONSEQUENCES.search(line)]
    unique = list(dict.fromkeys(causes or found))
    # The cause comes first and its consequences later, but a long list of errors ends with the fatal one.
    return unique if len(unique) <= limit else unique[: limit // 2] + unique[-(limit - limit // 2) :]


def _candidates(text: str) -> list[str]:
    found: list[str] = []
    in_traceback = False
    more = 0  # lines of an exception's message that may still follow; later lines are advice
    for raw in re.split(r"[\r\n]+", text):
        match = _PREFIX.match(raw)
        assert match is not None  # every part of the pattern is optional
        level, body = match.group("level"), raw[match.end() :]
        if level not in (None, "ERROR", "CRITICAL"):
            more = 0  # another record, perhaps of another process and inside a traceback
        elif body.startswith("Traceback (most recent call last)"):
            in_traceback, more = True, 0
        elif in_traceback and (not body.strip() or body[0].isspace()):
            continue
        elif in_traceback or _EXCEPTION.match(body):
            found.append(body.strip())
            in_traceback, more = False, 2
        elif more and body[:1].isspace() and body.strip(" ^~"):
            found.append(body.strip())
            more -= 1
        elif (level or _SIGNS.search(body) or _COMPLAINT.match(body)) and body.strip(" ^~"):
            found.append(body.strip())
            more = 0
    return found


class _Cause(NamedTuple):
    is_environment: bool
    pattern: str
    remedy: str


_machine, _deployment = partial(_Cause, True), partial(_Cause, False)
_SET_ENV = "source /usr/local/Ascend/ascend-toolkit/set_env.sh; source /usr/local/Ascend/nnal/atb/set_env.sh"
# Most specific first: the first cause that matches any line explains the death.
_CAUSES = (
    _machine(
        r"libascend_hal\.so.*cannot open",
        "the driver's libraries are not found: mount /usr/local/Ascend/driver from the host and put its lib64, "
        f"lib64/common and lib64/driver on LD_LIBRARY_PATH, then `{_SET_ENV}`",
    ),
    _machine(
        r"lib(hccl|atb|ascendcl|msprofiler|opapi|ge_runner|graph|runtime|platform)\w*\.so.*cannot open",
        f"CANN's libraries are not found: `{_SET_ENV}` before the engine starts, or name both files as the profile's "
        "engine.source",
    ),
    _machine(
        r"No module named 'torch_npu'",
        "torch-npu is not installed in the engine's interpreter: name the one that holds vllm-ascend",
    ),
    _machine(
        r"does not match the installed version's device type|Can ?not support soc_version|"
        r"socversion \S+ of bin package does not match",
        "the image is built for another chip: take the tag without suffix for 910B (A2), -a3 for A3, -310p for 310P",
    ),
    _machine(
        r"ASCEND_RT_VISIBLE_DEVICES:\S* error",
        "ASCEND_RT_VISIBLE_DEVICES counts what is mounted in this container, in ascending order: leave it unset",
    ),
    _machine(
        r"The device is unavailable|SetDevice.*error code is 507033|aclrtGetDeviceCount.*error code is|"
        r"number of visible devices \(0\)",
        "the NPU cannot be opened: free it from other containers and mount its /dev/davinci*, davinci_manager, "
        "devmm_svm and hisi_hdc",
    ),
    _machine(
        r"Failed to infer device type",
        f"vLLM found no platform: vllm-ascend is not installed beside it, or CANN was not sourced (`{_SET_ENV}`)",
    ),
    _deployment(
        r"(Free|Available) memory on (NPU )?(device|node).*less than",
        "less memory is free than the engine requests: stop the other processes that hold it, or lower "
        "--gpu-memory-utilization",
    ),
    _deployment(
        r"No available memory for the cache blocks|larger than the available KV cache memory",
        "nothing is left for the KV cache after the weights: raise --gpu-memory-utilization or lower --max-model-len",
    ),
    _machine(
        r"address already in use|error while attempting to bind on address",
        "another process already listens on the engine's port: stop it or choose another port",
    ),
    _machine(
        r"SafetensorError|incomplete metadata|HeaderTooLarge|InvalidHeaderDeserialization",
        "a weight file is damaged or incomplete: download it again",
    ),
    _deployment(
        r"Error retrieving file list: 'Type'",
        "this vLLM cannot read the file list of the installed ModelScope client: take that of its image, or serve "
        "the folder (engine.serve: folder)",
    ),
    _machine(
        r"Invalid repository ID or local directory|HFValidationError|does not appear to have a file named config",
        "the model folder is missing or holds no config.json: give the folder that does",
    ),
    _machine(
        r"Bus error|No space left on device",
        "shared memory or the disk is full: start the container with --shm-size=1g or more, or free the disk",
    ),
    _machine(r"Too many open files", "too few file descriptors are allowed: `ulimit -n 65536`"),
    _deployment(
        r"trust_remote_code=True|contains custom code which must be executed",
        "the model brings its own code: add --trust-remote-code",
    ),
    _deployment(
        r"Tokenizer class \w+ does not exist",
        "the tokenizer's code is not loaded: add --trust-remote-code, and keep auto_map in tokenizer_config.json",
    ),
    _deployment(
        r"max_model_len \(\d+\) is greater than the derived max_model_len",
        "--max-model-len exceeds what config.json allows: lower it, or set VLLM_ALLOW_LONG_MAX_MODEL_LEN=1 knowingly",
    ),
    _deployment(
        r"does not recognize this architecture|architectures .* (are|is) not supported",
        "this vLLM and transformers do not know the model's architecture: check their versions",
    ),
    _deployment(
        r"error: unrecognized arguments", "this vLLM does not know that option: check its version or the arguments"
    ),
    _deployment(
        r"ASCEND_LAUNCH_BLOCKING",
        "ASCEND_LAUNCH_BLOCKING=1 cannot be combined with graph mode: unset it or use --enforce-eager",
    ),
    _deployment(
        r"out of memory|^Killed\b",
        "memory ran out while the engine started: lower --gpu-memory-utilization, --max-model-len or "
        "--max-num-batched-tokens",
    ),
)
_FREE_OF_TOTAL = re.compile(
    r"(?:Free|Available) memory on .*?\(([\d.]+)/([\d.]+) GiB\)(?:.*?\((?:[\d.]+, )?([\d.]+) GiB\))?"
)


def remedy_for(lines: Sequence[str]) -> str | None:
    """The remedy for the cause in error lines, one sentence; None when the cause is not known."""
    cause = _known_cause(lines)
    return cause.remedy if cause else None


def death_message(what: str, lines: Sequence[str], where: str = "") -> str:
    """The message about a death: `what`, the remedy for a known cause, `where`, then the error lines."""
    remedy = remedy_for(lines)
    return f"{what}{'; ' + remedy if remedy else ''}{where}" + "".join(f"\n    {line}" for line in lines)


def is_environment(lines: Sequence[str]) -> bool:
    """Whether error lines show that the machine, not the deployment, is the cause; an unknown cause is not."""
    cause = _known_cause(lines)
    return cause is not None and (cause.is_environment or _is_memory_in_use(lines))


def _known_cause(lines: Sequence[str]) -> _Cause | None:
    return next((c for c in _CAUSES for line in lines if re.search(c.pattern, line, re.IGNORECASE)), None)


def _is_memory_in_use(lines: Sequence[str]) -> bool:
    # A free device has more than 95 % of its memory free. To request more than that, or more than the device has, is
    # a mistake of the deployment.
    found = [(float(m[1]), float(m[2]), float(m[3] or 0)) for line in lines if (m := _FREE_OF_TOTAL.search(line))]
    return any(free < 0.85 * total and requested <= total for free, total, requested in found)

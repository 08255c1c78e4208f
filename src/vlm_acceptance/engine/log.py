"""What an engine's log says: figures of its start, and the lines that say why it died. Pure: text in, values out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from vlm_acceptance.core.engine_figures import EngineFigures

# vLLM puts the process, and for its own records level, time and place, before every line of a message; torch the rank
# before every line of an exception that ends a process of a group.
_PREFIX = re.compile(
    r"^(?:\([\w .=-]*pid=\d+\)\s?)*(?:\[rank\d+\]: ?)?"
    r"(?:(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL)\s+\d\d-\d\d \d\d:\d\d:\d\d\s+(?:\[[^\]]+\]|\S+\.py:\d+\])\s?)?"
)
_EXCEPTION = re.compile(r"^[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit|Failure)\b(?::|$)")
_COMPLAINT = re.compile(r"ERROR:|\[error\]", re.IGNORECASE)
_SIGNS = re.compile(
    r"out of memory|address already in use|cannot open shared object file|soc_?ver(?:sion|ison)|Bus error|"
    r"Segmentation fault|No space left on device|error: (?:unrecognized|argument)|The device is unavailable|"
    r"ASCEND_RT_VISIBLE_DEVICES:\S+ error|Too many open files|Failed to infer device type|^Killed\b",
    re.IGNORECASE,
)
# True of every failed start, so they say nothing once anything else is said.
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
)


def _count(text: str) -> int:
    return int(text.replace(",", ""))


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(sorted(int(word) for word in text.split(",") if word.strip()))


_FIGURES: tuple[tuple[str, re.Pattern[str], Callable[[str], Any]], ...] = (
    ("version", re.compile(r"Initializing a V1 LLM engine \(v([^)]+)\)"), str),
    ("weights_load_s", re.compile(r"Loading weights took ([\d.]+) seconds"), float),
    ("model_memory_gib", re.compile(r"(?:Loading model weights|Model loading) took ([\d.]+) Gi?B"), float),
    ("kv_cache_tokens", re.compile(r"KV cache size: ([\d,]+) tokens"), _count),
    ("kv_cache_gib", re.compile(r"Available KV cache memory: (-?[\d.]+) GiB"), float),
    ("kv_cache_gib", re.compile(r"(?:Explicitly|Auto) set \(([\d.]+)/[\d.]+\) GiB for KV cache"), float),
    ("max_concurrency", re.compile(r"Maximum concurrency for [\d,]+ tokens per request: ([\d.]+)x"), float),
    ("graph_capture_s", re.compile(r"Graph capturing finished in ([\d.]+) secs"), float),
    ("engine_init_s", re.compile(r"init engine \(profile, create kv cache, warmup model\) took ([\d.]+) s"), float),
    ("alloc_conf", re.compile(r"Set PYTORCH_NPU_ALLOC_CONF=(\S+)"), str),
    ("eager", re.compile(r"enforce_eager=(True|False)"), lambda text: text == "True"),
    ("graph_sizes", re.compile(r"cudagraph_capture_sizes['\"]: ?\[([\d, ]*)\]"), _sizes),
)


def facts(lines: Iterable[str]) -> EngineFigures:
    """The figures in a log; where a line comes more than once, the last one counts."""
    found: dict[str, Any] = {}
    for line in lines:
        for name, pattern, value in _FIGURES:
            match = pattern.search(line)
            if match:
                found[name] = value(match.group(1))
    return EngineFigures(**found)


def error_lines(text: str, harmless: Sequence[str] = (), limit: int = 12) -> list[str]:
    """The lines that say why an engine died, oldest first, without prefixes and repetitions, at most `limit`.

    Lines containing one of `harmless` or HARMLESS are left out. Empty when the log tells nothing (a SIGKILL).
    """
    noise = (*HARMLESS, *harmless)
    told = [line for line in _candidates(text) if not any(word in line for word in noise)]
    causes = [line for line in told if not _CONSEQUENCES.search(line)]
    unique = list(dict.fromkeys(causes or told))
    # The cause is reported first and its consequences later, but a long run of complaints ends with the fatal one.
    return unique if len(unique) <= limit else unique[: limit // 2] + unique[-(limit - limit // 2) :]


def _candidates(text: str) -> list[str]:
    found: list[str] = []
    in_traceback = False
    more = 0  # lines of a message that may still follow its exception; what comes later is advice
    for raw in re.split(r"[\r\n]+", text):
        match = _PREFIX.match(raw)
        assert match is not None  # every part of the pattern is optional
        level, body = match.group("level"), raw[match.end() :]
        if level not in (None, "ERROR", "CRITICAL"):
            more = 0  # another record, maybe of another process in the middle of a traceback
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


@dataclass(frozen=True, slots=True)
class _Cause:
    pattern: re.Pattern[str]
    remedy: str
    environment: bool = False


def _cause(pattern: str, remedy: str, environment: bool = False) -> _Cause:
    return _Cause(re.compile(pattern, re.IGNORECASE), remedy, environment)


_SET_ENV = "source /usr/local/Ascend/ascend-toolkit/set_env.sh; source /usr/local/Ascend/nnal/atb/set_env.sh"
# Most specific first: the first cause that any line matches explains the death.
_CAUSES = (
    _cause(
        r"libascend_hal\.so.*cannot open",
        "the driver's libraries are not found: mount /usr/local/Ascend/driver from the host and put its lib64, "
        f"lib64/common and lib64/driver on LD_LIBRARY_PATH, then `{_SET_ENV}`",
        environment=True,
    ),
    _cause(
        r"lib(hccl|atb|ascendcl|msprofiler|opapi|ge_runner|graph|runtime|platform)\w*\.so.*cannot open",
        f"CANN's libraries are not found: `{_SET_ENV}` before the engine starts, or name both files as the profile's "
        "engine.source",
        environment=True,
    ),
    _cause(
        r"No module named 'torch_npu'",
        "torch-npu is not installed in the engine's interpreter: name the one that holds vllm-ascend",
        environment=True,
    ),
    _cause(
        r"does not match the installed version's device type|Can ?not support soc_version|"
        r"socversion \S+ of bin package does not match",
        "the image is built for another chip: take the tag without suffix for 910B (A2), -a3 for A3, -310p for 310P",
        environment=True,
    ),
    _cause(
        r"ASCEND_RT_VISIBLE_DEVICES:\S* error",
        "ASCEND_RT_VISIBLE_DEVICES counts what is mounted in this container, in ascending order: leave it unset",
        environment=True,
    ),
    _cause(
        r"The device is unavailable|SetDevice.*error code is 507033|aclrtGetDeviceCount.*error code is|"
        r"number of visible devices \(0\)",
        "the NPU cannot be opened: free it from other containers and mount its /dev/davinci*, davinci_manager, "
        "devmm_svm and hisi_hdc",
        environment=True,
    ),
    _cause(
        r"Failed to infer device type",
        f"vLLM found no platform: vllm-ascend is not installed beside it, or CANN was not sourced (`{_SET_ENV}`)",
        environment=True,
    ),
    _cause(
        r"(Free|Available) memory on (NPU )?(device|node).*less than",
        "less memory is free than the engine was told to take: stop what else holds it, or lower "
        "--gpu-memory-utilization",
    ),
    _cause(
        r"No available memory for the cache blocks|larger than the available KV cache memory",
        "nothing is left for the KV cache after the weights: raise --gpu-memory-utilization or lower --max-model-len",
    ),
    _cause(
        r"address already in use|error while attempting to bind on address",
        "another process already listens on the engine's port: stop it or choose another port",
        environment=True,
    ),
    _cause(
        r"SafetensorError|incomplete metadata|HeaderTooLarge|InvalidHeaderDeserialization",
        "a weight file is damaged or incomplete: download it again",
        environment=True,
    ),
    _cause(
        r"Invalid repository ID or local directory|HFValidationError|does not appear to have a file named config",
        "the model folder is missing or holds no config.json: give the folder that does",
        environment=True,
    ),
    _cause(
        r"Bus error|No space left on device",
        "shared memory or the disk is full: start the container with --shm-size=1g or more, or free the disk",
        environment=True,
    ),
    _cause(r"Too many open files", "too few file descriptors are allowed: `ulimit -n 65536`", environment=True),
    _cause(
        r"trust_remote_code=True|contains custom code which must be executed",
        "the model brings its own code: add --trust-remote-code",
    ),
    _cause(
        r"Tokenizer class \w+ does not exist",
        "the tokenizer's code is not loaded: add --trust-remote-code, and keep auto_map in tokenizer_config.json",
    ),
    _cause(
        r"max_model_len \(\d+\) is greater than the derived max_model_len",
        "--max-model-len exceeds what config.json allows: lower it, or set VLLM_ALLOW_LONG_MAX_MODEL_LEN=1 knowingly",
    ),
    _cause(
        r"does not recognize this architecture|architectures .* (are|is) not supported",
        "this vLLM and transformers do not know the model's architecture: check their versions",
    ),
    _cause(r"error: unrecognized arguments", "this vLLM does not know that option: check its version or the arguments"),
    _cause(
        r"ASCEND_LAUNCH_BLOCKING",
        "ASCEND_LAUNCH_BLOCKING=1 cannot be combined with graph mode: unset it or use --enforce-eager",
    ),
    _cause(
        r"out of memory|^Killed\b",
        "memory ran out while the engine started: lower --gpu-memory-utilization, --max-model-len or "
        "--max-num-batched-tokens",
    ),
)
_FREE_OF_TOTAL = re.compile(
    r"(?:Free|Available) memory on .*?\(([\d.]+)/([\d.]+) GiB\)(?:.*?\((?:[\d.]+, )?([\d.]+) GiB\))?"
)


def explain(lines: Iterable[str]) -> str | None:
    """The remedy for a known cause of death in telling lines, one sentence; None when the cause is not known."""
    cause = _known_cause(list(lines))
    return cause.remedy if cause else None


def explained(what: str, lines: Sequence[str], where: str = "") -> str:
    """A message about a death: `what`, the remedy for a known cause, `where`, then the error lines."""
    remedy = explain(lines)
    return f"{what}{'; ' + remedy if remedy else ''}{where}" + "".join(f"\n    {line}" for line in lines)


def is_environment(lines: Iterable[str]) -> bool:
    """Whether telling lines show that the machine, not the deployment, is at fault. Unknown causes are not."""
    held = list(lines)
    cause = _known_cause(held)
    return cause is not None and (cause.environment or _held_by_others(held))


def _known_cause(lines: Sequence[str]) -> _Cause | None:
    return next((c for c in _CAUSES for line in lines if c.pattern.search(line)), None)


def _held_by_others(lines: Sequence[str]) -> bool:
    # A free device has more than 95 % of its memory free; asking for more than that, or for more than there is at all,
    # is the deployment's mistake.
    said = [(float(m[1]), float(m[2]), float(m[3] or 0)) for line in lines if (m := _FREE_OF_TOTAL.search(line))]
    return any(free < 0.85 * total and asked <= total for free, total, asked in said)

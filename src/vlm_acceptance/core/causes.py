"""What can be wrong with a deployment, or around it: the causes that a verdict names. Data; no rules."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cause:
    """A cause: `title` says what is wrong, `advice` what to look at or to do. `id` is its stable name in files."""

    id: str
    title: str
    advice: str


# the machine, and what the run was given: no word about the deployment
DEVICE = Cause(
    "environment.device",
    "The NPU cannot be used",
    "Look at npu-smi info: another process on the card, health, driver, /dev/davinci* in the container.",
)
INSTALLATION = Cause(
    "environment.installation",
    "The software of this container is not what the deployment needs",
    "Compare the versions and the image named below with the profile (versions, SOC_VERSION); use the image of "
    "this chip, and source set_env.sh.",
)
WEIGHTS = Cause(
    "environment.weights",
    "The files of the model are missing, damaged, or not those that the profile describes",
    "Check the folder of the model (config.json, *.safetensors, sizes), download it again, or correct the "
    "profile's model section.",
)
PORT = Cause(
    "environment.port",
    "The port is held by another process",
    "End the process named below, choose another --vlm-port, or test what runs there with --vlm-base-url.",
)
UNREACHABLE = Cause(
    "environment.unreachable",
    "The endpoint cannot be reached, or connections to it are lost",
    "Check the URL, that the server runs, and proxies, gateways and firewalls on the way.",
)
DATA = Cause(
    "environment.data",
    "The data of the accuracy run are missing or not whole",
    "Prepare them again with python -m vlm_acceptance.accuracy.mmmu prepare, and name the folder with --vlm-mmmu-data.",
)
MACHINE = Cause(
    "environment.machine",
    "The machine is too busy, or its limits are too low, to judge the deployment",
    "Free the processors and the disk, raise ulimit -n, and run again.",
)
ENVIRONMENT = Cause(
    "environment.other",
    "Something outside the deployment prevents a judgement",
    "Read the message; put right what it names, and run again.",
)
SUITE = Cause(
    "suite",
    "A test of the suite broke before it came to a judgement",
    "Run that test alone. If it breaks again, report it with the traceback and the folder of the run.",
)
OTHER = Cause(
    "other",
    "Something else is wrong that no rule explains",
    "Read what the test expected and observed, and repeat its request.",
)
# the engine's life
STARTUP = Cause(
    "engine.start",
    "The engine does not get ready",
    "Read the last lines of server.log: memory (--gpu-memory-utilization, --max-model-len), a config.json that "
    "does not fit the weights, an option unknown to this version.",
)
DIED = Cause(
    "engine.died",
    "The engine ended while it was in use",
    "Read the end of server.log and dmesg (out of memory, device error); repeat the last request that is named.",
)
HANG = Cause(
    "engine.hang",
    "The engine hangs: it takes requests and gives no answer",
    "Look at server.log and npu-smi while it hangs (py-spy dump of EngineCore); it has to be started again.",
)
RELEASE = Cause(
    "engine.release",
    "The engine does not end as it must: processes, memory or the port stay, or answers are cut",
    "Look for processes that are left and for device memory before the next start; end the whole process group.",
)
LEAK = Cause(
    "engine.leak",
    "Memory grows with the requests",
    "Look at the caches (--mm-processor-cache-gb, --enable-prefix-caching) and at the allocator "
    "(PYTORCH_NPU_ALLOC_CONF); restart before it is full.",
)
ABANDONED = Cause(
    "engine.abandoned",
    "Requests of clients that left keep their slots",
    "Check that the gateway passes a closed connection on, and that the server aborts requests then.",
)
POISON = Cause(
    "engine.poison",
    "One bad request spoils requests that come after or beside it",
    "Check the cache of processed pictures (--mm-processor-cache-gb 0 to compare) and the version's known issues.",
)
OTHER_MODEL = Cause(
    "model.other",
    "Another model, or another configuration of it, is served than the profile names",
    "Compare /v1/models (id, max_model_len) and --served-model-name with the profile.",
)
MODE = Cause(
    "engine.mode",
    "The engine runs in another mode, or with other figures, than the profile promises",
    "Compare server.log with the profile: graph or eager mode (--enforce-eager, cudagraph_mode), memory of the model.",
)
ERRORS = Cause(
    "errors",
    "Valid requests get errors or lost connections in place of answers",
    "Read server.log, and the log of the gateway, at the time of the first error; repeat its request.",
)
# pictures
UNSEEN = Cause(
    "picture.unseen",
    "The picture was not seen",
    "Check that the pictures reach the vision encoder: its weights (mlp1, patch embedding), the attention "
    "operator of the vision model on this device, --limit-mm-per-prompt, a gateway that drops image parts.",
)
MIXED_UP = Cause(
    "picture.mixed_up",
    "Answers belong to another picture or another request",
    "Repeat with --no-enable-prefix-caching and --mm-processor-cache-gb 0; check uuids of pictures and the gateway.",
)
STORED = Cause(
    "answers.stored",
    "Answers are cached, stored or replayed, not computed",
    "Look for a cache of answers before the engine (gateway, proxy), and at the cache keys of pictures; switch it off.",
)
TILES = Cause(
    "picture.tiles",
    "Pictures arrive in another size or are cut into other tiles",
    "Compare config.json (max_dynamic_patch, use_thumbnail, force_image_size) and --mm-processor-kwargs with the "
    "profile; look for a gateway that shrinks pictures.",
)
SEEN_WRONGLY = Cause(
    "picture.seen_wrongly",
    "Pictures are seen, but not rightly: colours, order of tiles, or fine detail",
    "Check the picture processing: RGB or BGR, mean and standard deviation, order and interpolation of tiles, "
    "pictures that are compressed on their way.",
)
SEVERAL = Cause(
    "picture.several",
    "Several pictures of one request are lost, or change their order",
    "Check --limit-mm-per-prompt and the order of the image parts in the chat template and in the gateway.",
)
FILES = Cause(
    "picture.files",
    "Some kinds or sizes of picture or video files are refused or read wrongly",
    "Check Pillow and the picture decoder of the image, and the size limit of a body at the gateway "
    "(client_max_body_size).",
)
# prompts
PROMPT = Cause(
    "prompt.template",
    "The prompt is not what the model expects: chat template, special tokens, system message or tokenizer",
    "Compare --chat-template, tokenizer_config.json and the tokenizer's files with the published ones; look for a "
    "gateway that adds a system message.",
)
CONVERSATION = Cause(
    "prompt.conversation",
    "Parts of a conversation are lost, repeated or moved before they reach the model",
    "Send the conversation to /tokenize, once by the gateway and once directly, and compare the counts.",
)
CONTEXT = Cause(
    "prompt.context",
    "What stands early in a conversation, or in a long prompt, is not used",
    "Check rope_scaling, sliding window and --max-model-len, and the attention operator for long prompts "
    "(--no-enable-chunked-prefill to compare).",
)
# answers
DEGENERATE = Cause(
    "answers.degenerate",
    "Answers are broken text: empty, repeated, in a wrong encoding, or with special tokens",
    "Check precision (--dtype), the operators of this device (--enforce-eager to compare), the tokenizer's files "
    "and the stop tokens.",
)
LANGUAGE = Cause(
    "answers.language",
    "Chinese text goes wrong, or answers come in another language",
    "Check the tokenizer's files, the system message, and the encoding (UTF-8) on the way.",
)
CUT = Cause(
    "answers.cut",
    "Answers or prompts are cut short",
    "Look for a limit of max_tokens or of body size at the gateway, for preemptions in server.log, and at "
    "--max-model-len.",
)
ENDLESS = Cause(
    "answers.endless",
    "Answers do not stop by themselves",
    "Check eos_token_id in generation_config.json and config.json, and the chat template's end of turn.",
)
WRONG = Cause(
    "answers.wrong",
    "Answers are wrong in some categories, though pictures reach the model",
    "Compare precision, quantization and sampling parameters with the deployment that was recorded; repeat the "
    "questions.",
)
NUMBERS = Cause(
    "answers.numbers",
    "The model computes other numbers than the stored ones",
    "Compare weights (hashes), --dtype, --quantization, config.json (rope_theta, rms_norm_eps, layers) and the "
    "operators of this version with those of the reference or of the recorded run.",
)
OFFLINE = Cause(
    "answers.offline",
    "The offline engine and the server answer differently",
    "Compare the options of both (offline.llm and engine.args of the profile), above all dtype, overrides and "
    "graph mode.",
)
ACCURACY = Cause(
    "accuracy",
    "The score of the accuracy run is too low, or its answers are not those of a working model",
    "Read the accuracy report (subjects, unresolved answers), and compare the prompt and the limits with the "
    "reference.",
)
# protocol, by part
BODY = Cause(
    "protocol.body",
    "Bodies of answers do not keep the OpenAI format",
    "Compare the body with the schema in fixtures/schemas, once directly and once by the gateway.",
)
USAGE = Cause(
    "protocol.usage",
    "Token counts in usage are missing or wrong",
    "Send the request directly to the engine and compare usage with /tokenize; look for a gateway that counts itself.",
)
STREAM = Cause(
    "protocol.stream",
    "Streams are not as clients must be able to read them",
    "Compare the raw events of the evidence, once directly and once by the gateway (proxy_buffering, rewriting).",
)
BUFFERED = Cause(
    "protocol.buffered",
    "Streams do not flow: something holds the tokens back",
    "Switch off buffering at the gateway (nginx: proxy_buffering off; X-Accel-Buffering: no).",
)
PARAMETERS = Cause(
    "protocol.parameters",
    "Parameters of requests are not obeyed",
    "Look for a gateway that drops or replaces them, for hidden defaults (--generation-config vllm), and at this "
    "version's known issues.",
)
LOGPROBS = Cause(
    "protocol.logprobs",
    "Log probabilities are missing, not numbers, or not as requested",
    "Check logprobs and top_logprobs on the way to the engine, --max-logprobs, and NaN in the model's output "
    "(--dtype).",
)
STRUCTURED = Cause(
    "protocol.structured",
    "Structured output (JSON schema, choice, regex, grammar) is not obeyed",
    "Check --structured-outputs-config and its backend, and a gateway that drops response_format; if it is not "
    "needed, declare it so in the profile.",
)
TOOLS = Cause(
    "protocol.tools",
    "Calls of tools, or their answers, are wrong",
    "Check --enable-auto-tool-choice, --tool-call-parser and the chat template's part for tools.",
)
REASONING = Cause(
    "protocol.reasoning",
    "Reasoning is not kept apart from the answer",
    "Check --reasoning-parser, and the marks of thinking in the chat template.",
)
ROUTES = Cause(
    "protocol.routes",
    "A route beside chat (/v1/completions, /v1/responses, /tokenize) is missing or wrong",
    "Check which routes the gateway passes on, and the server's version; if clients do not need it, declare it so.",
)
REFUSALS = Cause(
    "protocol.refusals",
    "Wrong or unusual requests are not answered as they must be",
    "Repeat the request: it must get a 4xx with a JSON body that names the error; look for a gateway that "
    "rewrites errors.",
)
ACCESS = Cause(
    "protocol.access",
    "Wrong keys or forbidden addresses are accepted",
    "Check --api-key and who adds the key on the way, and --allowed-media-domains.",
)
SERVER = Cause(
    "protocol.server",
    "/health, /metrics, /version or /v1/models are missing or wrong",
    "Ask them directly at the engine; check which routes the gateway passes on (endpoint.only_v1 if it is meant).",
)
METRICS = Cause(
    "protocol.metrics",
    "Counters of /metrics do not show what a test needs, so that it cannot judge",
    "Check that caches and their counters are on (--enable-prefix-caching), and that /metrics is that of this engine.",
)
# time
SLOW_FIRST = Cause(
    "slow.first_token",
    "The first token comes too late",
    "Look at the queue and the prefill: --max-num-batched-tokens, picture processing on the CPU, graph mode, "
    "other load.",
)
SLOW_TOKENS = Cause(
    "slow.per_token",
    "Tokens come too slowly after the first one",
    "Look at the decoding: graph mode (no --enforce-eager), batch size, other processes on the device.",
)
SLOW_ANSWER = Cause(
    "slow.answer",
    "Whole answers take too long",
    "Compare first token and time per token with the record to see which phase is slow.",
)
SLOW_LOAD = Cause(
    "slow.load",
    "Under load the deployment is too slow, or some requests wait far too long",
    "Look at --max-num-seqs, --max-num-batched-tokens, preemptions in server.log, and at queues of the gateway.",
)
SLOWS_DOWN = Cause(
    "slow.grows",
    "Times grow while the deployment is in use",
    "Look for memory that fills, caches that grow, temperature and clock of the device (npu-smi), logging to a "
    "slow disk.",
)

CAUSES = {found.id: found for found in list(globals().values()) if isinstance(found, Cause)}

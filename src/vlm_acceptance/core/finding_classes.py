"""Every class of finding: its id in reports, a title, and its severity. Data; the checks decide when one occurs.

Import it as `kinds`: `Finding(kinds.ANSWER_WRONG, expected, observed)`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Severity(enum.Enum):
    """ABILITY: what a model may be unable to do, so calibration may accept it. FAILURE: the test fails.

    FATAL: the test fails however many answers are right; calibration cannot accept it.
    """

    ABILITY = "ability"
    FAILURE = "failure"
    FATAL = "fatal"


ABILITY, FAILURE, FATAL = Severity


@dataclass(frozen=True, slots=True)
class FindingClass:
    """A class of finding; `id` is its stable name in stored files."""

    id: str
    title: str
    severity: Severity


# answers to capability questions
ANSWER_COUNT = FindingClass("answer.count", "too few right answers", ABILITY)
ANSWER_WRONG = FindingClass("answer.wrong", "wrong answer", ABILITY)
ANSWER_EMPTY = FindingClass("answer.empty", "empty answer", ABILITY)
ANSWER_LENGTH = FindingClass("answer.length", "answer of unusual length", ABILITY)
ANSWER_FINISH = FindingClass("answer.finish", "answer does not end by itself", ABILITY)
ANSWER_LANGUAGE = FindingClass("answer.language", "answer in the wrong language", ABILITY)
ANSWER_LARGE = FindingClass("answer.large", "pictures are not read in their large form", FAILURE)
ANSWER_MISSING = FindingClass("answer.missing", "no answer", FATAL)
ANSWER_UNSEEN = FindingClass("answer.unseen", "answers without the words of their pictures", FATAL)
ANSWER_FOREIGN = FindingClass("answer.foreign", "words of another picture in the answer", FATAL)
ANSWER_BLIND = FindingClass("answer.blind", "planted answer without its picture", FATAL)
GOLDEN_COUNT = FindingClass("golden_answer.count", "answers differ from the stored ones", FATAL)
GOLDEN_MISSING = FindingClass("golden_answer.missing", "no answer", FATAL)
GOLDEN_TEXT = FindingClass("golden_answer.text", "text differs from the stored answer", FAILURE)
GOLDEN_TOKENS = FindingClass("golden_answer.prompt_tokens", "prompt tokens differ from the stored count", FAILURE)
NO_ANSWER = FindingClass("liveness.answer", "no answer with text", FATAL)
PROTOCOL_ANSWER = FindingClass("protocol.answer", "no readable answer", FATAL)
# degenerate text
SPECIAL_TOKEN = FindingClass("degeneracy.special_token", "special token in the text", FATAL)
ENCODING = FindingClass("degeneracy.encoding", "text in a wrong encoding", FATAL)
CONTROL_CHARACTERS = FindingClass("degeneracy.control", "control characters in the text", FATAL)
UNPRINTABLE = FindingClass("degeneracy.printable", "unprintable text", FATAL)
REPEATED_CHARACTER = FindingClass("degeneracy.run", "one character repeated again and again", FATAL)
REPEATED_PHRASE = FindingClass("degeneracy.loop", "one phrase repeated again and again", FATAL)
FEW_WORDS = FindingClass("degeneracy.variety", "too few different words", FATAL)
MANY_SCRIPTS = FindingClass("degeneracy.salad", "too many scripts in one text", FATAL)
# pictures
CONTAMINATED = FindingClass("pictures.contaminated", "answer that belongs to another picture", FATAL)
PICTURE_UNANSWERED = FindingClass("pictures.missing", "no answer about a picture", FATAL)
PROMPT_IGNORED = FindingClass("pictures.prompt", "same answer to two different prompts", FATAL)
MULTI_MISSING = FindingClass("multi_picture.missing", "no answer about several pictures", FATAL)
MULTI_ORDER = FindingClass("multi_picture.order", "pictures in the wrong order", ABILITY)
MULTI_REVERSED = FindingClass("multi_picture.reversed", "pictures in reverse order", FAILURE)
MULTI_TOKENS = FindingClass("multi_picture.tokens", "prompt tokens do not grow with the pictures", FATAL)
FORMAT_ANSWER = FindingClass("picture_format.answer", "no answer about a picture file", FATAL)
FORMAT_REFUSED = FindingClass("picture_format.refused", "common picture format refused", FATAL)
FORMAT_TOKENS = FindingClass("picture_format.tokens", "prompt tokens of a picture file differ", FATAL)
FORMAT_UNREAD = FindingClass("picture_format.unread", "picture file read differently", FAILURE)
TILE_COUNT = FindingClass("tiles.count", "picture tokens differ from the tile formula", FATAL)
TILE_TOKENIZE = FindingClass("tiles.tokenize", "/tokenize and usage disagree", FAILURE)
# what no earlier run can have asked
NEW_UNREAD = FindingClass(
    "challenge.unread", "new pictures are not read: blind, or answers are replayed from a record", FATAL
)
NEW_COUNT = FindingClass("challenge.count", "too few new pictures are read", ABILITY)
NEW_MIXED_UP = FindingClass("challenge.mixed_up", "answer to another new picture", FATAL)
CACHED_BY_TEXT = FindingClass("challenge.cached_text", "cached by text: one answer for different pictures", FATAL)
CACHED_BY_BODY = FindingClass("challenge.cached_body", "cached by body: a repeated request is not computed", FATAL)
STORED_ANSWERS = FindingClass("challenge.stored", "stored answers: prompt tokens do not follow new texts", FATAL)
# the prompt that is served
PROMPT_TOKENS = FindingClass("prompt.tokens", "the served prompt cannot be read", FAILURE)
PROMPT_START = FindingClass("prompt.start", "the served prompt begins wrongly", FAILURE)
# protocol: bodies, usage, parameters
USAGE_ANSWER = FindingClass("usage.answer", "no answer to read usage from", FAILURE)
USAGE_MISSING = FindingClass("usage.missing", "no usage block", FAILURE)
USAGE_SUM = FindingClass("usage.sum", "token counts do not add up", FAILURE)
USAGE_PROMPT = FindingClass("usage.prompt", "no prompt tokens", FAILURE)
USAGE_COMPLETION = FindingClass("usage.completion", "text without completion tokens", FAILURE)
USAGE_LIMIT = FindingClass("usage.limit", "max_tokens exceeded, or not reached", FAILURE)
SCHEMA_MODEL = FindingClass("schema.model", "another model's name in the body", FAILURE)
ID_MISSING = FindingClass("ids.missing", "answer without id", FAILURE)
ID_REPEATED = FindingClass("ids.unique", "id used twice", FAILURE)
MAX_TOKENS_REASON = FindingClass("max_tokens.reason", "wrong finish_reason at max_tokens", FAILURE)
MAX_TOKENS_COUNT = FindingClass("max_tokens.count", "wrong number of tokens at max_tokens", FAILURE)
STOP_REASON = FindingClass("stop.reason", "wrong finish_reason at a stop string", FAILURE)
STOP_TEXT = FindingClass("stop.text", "text does not end before the stop string", FAILURE)
STOP_NEVER = FindingClass("stop.never", "answer does not stop by itself", FATAL)
STOP_LONG = FindingClass("stop.long", "short answer too long", FAILURE)
CHOICES = FindingClass("n.choices", "wrong number of choices", FAILURE)
CHOICES_USAGE = FindingClass("n.usage", "usage does not count all choices", FAILURE)
LOGPROBS_CONTENT = FindingClass("logprobs.content", "no log probabilities", FAILURE)
LOGPROBS_COUNT = FindingClass("logprobs.count", "not one log probability per token", FAILURE)
LOGPROBS_RANGE = FindingClass("logprobs.range", "positive log probability", FAILURE)
LOGPROBS_TOP = FindingClass("logprobs.top", "wrong number of alternatives", FAILURE)
LOGPROBS_SAMPLED = FindingClass("logprobs.drawn", "token sampled at temperature 0", FAILURE)
SPELLING = FindingClass("logprobs.spelling", "text is not what its own tokens spell", FAILURE)
OPENAI_ERROR = FindingClass("openai.error", "the official client fails", FATAL)
OPENAI_TEXT = FindingClass("openai.text", "the official client gets no text", FAILURE)
OPENAI_STREAM = FindingClass("openai.stream", "the official client's stream differs", FAILURE)
# conversations: history, roles, system message, template
CONVERSATION_ANSWER = FindingClass("conversation.answer", "no answer in a conversation", FATAL)
CONVERSATION_LOST = FindingClass("conversation.lost", "a part of the conversation does not reach the model", FATAL)
CONVERSATION_TWICE = FindingClass("conversation.twice", "a part of the conversation reaches the model twice", FATAL)
CONVERSATION_ORDER = FindingClass("conversation.order", "parts of the conversation in another order", FATAL)
CONVERSATION_PICTURE = FindingClass("conversation.picture", "a turn's picture does not reach the model whole", FATAL)
CONVERSATION_TEMPLATE = FindingClass("conversation.template", "prompt is not what the chat template gives", FATAL)
# what only a whole conversation answers
DIALOGUE_COUNT = FindingClass("dialogue.count", "too few questions about a whole conversation answered right", ABILITY)
DIALOGUE_LOST = FindingClass("dialogue.lost", "no question of one kind about a conversation answered right", ABILITY)
LONG_COUNT = FindingClass("long_prompt.count", "too little is found in long prompts", ABILITY)
LONG_PLACE = FindingClass("long_prompt.place", "a part of long prompts is not attended to", ABILITY)
# parameters of requests
PARAMETER_ANSWER = FindingClass("parameters.answer", "no answer to a request with a parameter", FATAL)
PARAMETER_LENGTH = FindingClass("parameters.length", "parameter of the length is not obeyed", FAILURE)
PARAMETER_STOP = FindingClass("parameters.stop", "stop string or stop token is not obeyed", FAILURE)
PARAMETER_SAMPLING = FindingClass("parameters.sampling", "parameter of the sampling is not obeyed", FAILURE)
PARAMETER_SEED = FindingClass("parameters.seed", "seed is not obeyed", FAILURE)
PARAMETER_CHOICES = FindingClass("parameters.choices", "choices of one request are wrong", FAILURE)
PARAMETER_TOKENS = FindingClass("parameters.tokens", "parameter that changes the tokens is not obeyed", FAILURE)
PARAMETER_LOGPROBS = FindingClass("parameters.logprobs", "log probabilities are not as requested", FAILURE)
PARAMETER_IDS = FindingClass("parameters.ids", "token ids are not as requested", FAILURE)
PARAMETER_SPECIAL = FindingClass("parameters.special", "skip_special_tokens is not obeyed", FAILURE)
PARAMETER_USAGE = FindingClass("parameters.usage", "usage is not as requested", FAILURE)
PARAMETER_PROMPT = FindingClass("parameters.prompt", "parameter of the prompt is not obeyed", FAILURE)
PARAMETER_DEFAULTS = FindingClass("parameters.defaults", "hidden default of a parameter", FAILURE)
# structured output
SCHEDULING_SALT = FindingClass("scheduling.salt", "cache_salt is not obeyed", FAILURE)
SCHEDULING_PRIORITY = FindingClass("scheduling.priority", "priority is not obeyed", FAILURE)

STRUCTURED_ANSWER = FindingClass("structured.answer", "no answer to a request with a constraint", FAILURE)
STRUCTURED_JSON = FindingClass("structured.json", "structured output is not JSON", FAILURE)
STRUCTURED_SCHEMA = FindingClass("structured.schema", "structured output breaks its schema", FAILURE)
STRUCTURED_PATTERN = FindingClass("structured.pattern", "structured output breaks its constraint", FAILURE)
STRUCTURED_FINISH = FindingClass("structured.finish", "structured output does not end", FAILURE)
STRUCTURED_CONTENT = FindingClass("structured.content", "structured output does not show the picture", FAILURE)
STRUCTURED_BESIDE = FindingClass("structured.beside", "free answer changes beside structured output", FAILURE)
# tools and reasoning
TOOLS_ANSWER = FindingClass("tools.answer", "no answer to a request with tools", FAILURE)
TOOLS_CALL = FindingClass("tools.call", "the tool is not called as was asked", FAILURE)
TOOLS_NAME = FindingClass("tools.name", "another tool is called than was asked", FAILURE)
TOOLS_ARGUMENTS = FindingClass("tools.arguments", "arguments of a call are not JSON", FAILURE)
TOOLS_SCHEMA = FindingClass("tools.schema", "arguments of a call break the tool's schema", FAILURE)
TOOLS_FORM = FindingClass("tools.form", "call of a tool is not well formed", FAILURE)
TOOLS_FINISH = FindingClass("tools.finish", "answer with tools ends with another finish_reason", FAILURE)
TOOLS_MARKUP = FindingClass("tools.markup", "marks of a call or of reasoning are left in the text", FAILURE)
REASONING_ANSWER = FindingClass("reasoning.answer", "no answer to a request with reasoning", FAILURE)
REASONING_MISSING = FindingClass("reasoning.missing", "reasoning is not in its own field", FAILURE)
REASONING_CONTENT = FindingClass("reasoning.content", "reasoning is in the text of the answer", FAILURE)
REASONING_ORDER = FindingClass("reasoning.order", "reasoning arrives after the text began", FAILURE)
# routes
ROUTE_MISSING = FindingClass("routes.missing", "route is not offered, though the profile wants it", FAILURE)
ROUTE_ANSWER = FindingClass("routes.answer", "no readable answer of a route", FAILURE)
ROUTE_TEXT = FindingClass("routes.text", "route gives another text than chat", FAILURE)
ROUTE_USAGE = FindingClass("routes.usage", "route counts other tokens than chat", FAILURE)
ROUTE_STREAM = FindingClass("routes.stream", "stream of a route is wrong", FAILURE)
ROUTE_PARAMETER = FindingClass("routes.parameter", "route does not obey a parameter", FAILURE)
ROUTE_TOKENS = FindingClass("routes.tokens", "tokens do not give the text back", FAILURE)
ROUTE_MODEL = FindingClass("routes.model", "model card names another model", FAILURE)
# streams
STREAM_STATUS = FindingClass("stream.status", "stream refused", FAILURE)
STREAM_EMPTY = FindingClass("stream.empty", "stream without text", FAILURE)
STREAM_SAME_TEXT = FindingClass("stream.same_text", "streamed text differs from the plain one", FAILURE)
STREAM_BROKEN = FindingClass("stream.broken", "stream ended early", FAILURE)
STREAM_CONTENT_TYPE = FindingClass("stream.content_type", "wrong content type of a stream", FAILURE)
STREAM_DONE = FindingClass("stream.done", "stream without [DONE]", FAILURE)
STREAM_AFTER_DONE = FindingClass("stream.after_done", "events after [DONE]", FAILURE)
STREAM_JSON = FindingClass("stream.json", "event is not JSON", FAILURE)
STREAM_ERROR = FindingClass("stream.error", "error event in a stream", FAILURE)
STREAM_IDENTITY = FindingClass("stream.identity", "id, model or time changes in a stream", FAILURE)
STREAM_CHOICES = FindingClass("stream.choices", "wrong choices in a chunk", FAILURE)
STREAM_ROLE = FindingClass("stream.role", "role not sent exactly once, first", FAILURE)
STREAM_FINISH = FindingClass("stream.finish", "finish_reason not sent exactly once, last", FAILURE)
STREAM_USAGE = FindingClass("stream.usage", "usage of a stream is wrong", FAILURE)
# uploads: kinds and sizes of picture files
UPLOAD_MIXED_UP = FindingClass("upload.mixed_up", "picture file answered as another picture", FATAL)
UPLOAD_SIZE = FindingClass("upload.size", "large upload not answered", FAILURE)
UPLOAD_PARTS = FindingClass("upload.parts", "prompt tokens of pictures between texts differ", FATAL)
# refusals and edge inputs
REFUSAL_DEADLINE = FindingClass("refusal.deadline", "refusal too late", FAILURE)
REFUSAL_TRANSPORT = FindingClass("refusal.transport", "connection lost in place of a refusal", FAILURE)
REFUSAL_SERVER_ERROR = FindingClass("refusal.server_error", "server error in place of a refusal", FAILURE)
REFUSAL_ACCEPTED = FindingClass("refusal.accepted", "invalid request accepted", FAILURE)
REFUSAL_STATUS = FindingClass("refusal.status", "wrong status of a refusal", FAILURE)
REFUSAL_BODY = FindingClass("refusal.body", "refusal without a JSON body", FAILURE)
REFUSAL_MESSAGE = FindingClass("refusal.message", "refusal does not name the cause", FAILURE)
EDGE_ANSWER = FindingClass("edge_input.answer", "no answer to an edge input", FATAL)
EDGE_WRONG = FindingClass("edge_input.wrong", "wrong answer after an edge input", FAILURE)
EDGE_DEADLINE = FindingClass("edge_input.deadline", "edge input takes too long", FAILURE)
EDGE_MEMORY = FindingClass("edge_input.memory", "edge input takes too much memory", FAILURE)
EDGE_DIED = FindingClass("edge_input.died", "an edge input ended the engine", FATAL)
EDGE_FETCHED = FindingClass("edge_input.fetched", "picture fetched from a forbidden address", FAILURE)
# server and its log
HEALTH_STATUS = FindingClass("health.status", "status of /health is not 200", FAILURE)
MODELS_STATUS = FindingClass("models.status", "status is not 200", FAILURE)
MODELS_JSON = FindingClass("models.json", "body is not JSON", FAILURE)
MODELS_ID = FindingClass("models.id", "model not listed", FAILURE)
MODELS_MAX_MODEL_LEN = FindingClass("models.max_model_len", "wrong context length", FAILURE)
MODELS_VERSION = FindingClass("models.version", "wrong version reported, or none", FAILURE)
MODELS_METRICS = FindingClass("models.metrics", "metrics missing", FAILURE)
METRICS_TEXT = FindingClass("metrics.text", "metrics cannot be read", FAILURE)
METRICS_MOVED = FindingClass("metrics.moved", "counter does not grow", FAILURE)
LOG_FIGURE = FindingClass("log.figure", "figure of the engine log outside its tolerance", FAILURE)
LOG_MODE = FindingClass("log.mode", "engine runs in the wrong mode", FAILURE)
LOG_GRAPHS = FindingClass("log.graphs", "wrong number of captured graphs", FAILURE)
VERSIONS = FindingClass("environment.versions", "wrong version installed", FAILURE)
# time, load, memory
LATENCY_NO_ANSWER = FindingClass("latency.no_answer", "no streamed answer to measure", FATAL)
LATENCY_NO_DATA = FindingClass("latency.no_data", "no data for a latency budget", FAILURE)
LATENCY_NO_STREAM = FindingClass("latency.no_stream", "text is not streamed as it is generated", FAILURE)
LATENCY_TTFT = FindingClass("latency.ttft", "first token too late", FAILURE)
LATENCY_TPOT = FindingClass("latency.tpot", "tokens too slow", FAILURE)
LATENCY_E2E = FindingClass("latency.e2e", "answer too slow", FAILURE)
LOAD_NO_ANSWER = FindingClass("load.no_answer", "no answer under load", FATAL)
LOAD_MIXED_UP = FindingClass("load.mixed_up", "another request's answer under load", FATAL)
LOAD_ANSWER = FindingClass("load.answer", "wrong answer under load", FAILURE)
LOAD_COUNT = FindingClass("load.count", "too few right answers under load", FAILURE)
LOAD_ERRORS = FindingClass("load.errors", "too many requests without an answer", FATAL)
LOAD_GIVEN_UP = FindingClass("load.given_up", "load stopped because nothing was answered", FATAL)
LOAD_STARVED = FindingClass("load.starved", "request starved", FAILURE)
LOAD_NO_DATA = FindingClass("load.no_data", "no samples under load", FAILURE)
LOAD_NO_STREAM = FindingClass("load.no_stream", "no stream to disconnect from", FAILURE)
LOAD_SLOT_KEPT = FindingClass("load.slot_kept", "slot of a disconnected client not freed", FAILURE)
LOAD_SLOT_UNCOUNTED = FindingClass("load.slot_uncounted", "running requests not counted", FAILURE)
LOAD_TTFT = FindingClass("load.ttft", "first token too late under load", FAILURE)
LOAD_TPOT = FindingClass("load.tpot", "tokens too slow under load", FAILURE)
LOAD_E2E = FindingClass("load.e2e", "answer too slow under load", FAILURE)
LOAD_ITL = FindingClass("load.itl", "pauses between tokens too long under load", FAILURE)
LOAD_GOODPUT = FindingClass("load.goodput", "too few answers within the budgets under load", FAILURE)
LOAD_REQUESTS = FindingClass("load.requests_per_s", "too few answers a second", FAILURE)
LOAD_TOKENS = FindingClass("load.output_tokens_per_s", "too few output tokens a second", FAILURE)
HANG = FindingClass("hang.flat", "engine hangs", FATAL)
DRIFT = FindingClass("trend.drift", "times grow during the load", FAILURE)
LEAK = FindingClass("trend.leak", "memory grows with the requests", FAILURE)
# clients that leave, capacity, preemption
CAPACITY_NO_ANSWER = FindingClass("capacity.no_answer", "request fails under rising load", FATAL)
CAPACITY_CUT = FindingClass("capacity.cut", "answer is shorter than under low load", FAILURE)
CAPACITY_PROMPT = FindingClass("capacity.prompt", "prompt is cut under rising load", FATAL)
CAPACITY_NONE = FindingClass("capacity.none", "budgets hold at no concurrency", FAILURE)
CAPACITY_SHRUNK = FindingClass("capacity.shrunk", "fewer requests at once than recorded", FAILURE)
CAPACITY_SLOWER = FindingClass("capacity.slower", "slower than recorded at the same load", FAILURE)
PREEMPTION_CUT = FindingClass("preemption.cut", "answer cut when the cache is full", FATAL)
LEAVING_ANSWER = FindingClass("leaving.answer", "no answer after clients left", FATAL)
LEAVING_UNANSWERED = FindingClass("leaving.unanswered", "no answer before clients left", FATAL)
LEAVING_POISON = FindingClass("leaving.poison", "picture of a client that left is not answered any more", FATAL)
LEAVING_MIXED_UP = FindingClass("leaving.mixed_up", "answer of a client that left", FATAL)
LEAVING_WRONG = FindingClass("leaving.wrong", "wrong answer after clients left", FAILURE)
IDLE_ANSWER = FindingClass("idle.answer", "first request after an idle spell is not answered", FATAL)
IDLE_WRONG = FindingClass("idle.wrong", "first request after an idle spell is answered differently", FAILURE)
# log probabilities against a baseline, and their repeatability
LOGPROBS_MISSING = FindingClass("logprobs.missing", "no log probabilities to compare", FATAL)
LOGPROBS_SHIFT = FindingClass("logprobs.shift", "log probabilities shifted", FAILURE)
LOGPROBS_TOP5 = FindingClass("logprobs.top5", "top tokens differ from the baseline", FAILURE)
LOGPROBS_FILES = FindingClass("logprobs.files", "served files are not those of the reference", FAILURE)
LOGPROBS_PROMPT = FindingClass("logprobs.prompt", "one prompt far from the baseline", FAILURE)
LOGPROBS_TEXT = FindingClass("logprobs.text", "greedy texts differ", FAILURE)
LOGPROBS_TOKEN = FindingClass("logprobs.token", "greedy tokens differ", FAILURE)
LOGPROBS_UNSTEADY = FindingClass("logprobs.unsteady", "same request, different log probabilities", FAILURE)
OFFLINE_TEXT = FindingClass("offline.same_text", "offline and served texts differ", FAILURE)
OFFLINE_OTHER = FindingClass("offline.other_texts", "hardly an offline text agrees with the served one", FAILURE)
# how an engine ends
RELEASE_NO_EXIT = FindingClass("release.ending", "engine was not stopped", FATAL)
RELEASE_HALF = FindingClass("release.half", "half an answer that looks whole while the engine ends", FATAL)
RELEASE_OPEN = FindingClass("release.open", "request left open when the engine ends", FAILURE)
RELEASE_CUT = FindingClass("release.cut", "requests in flight cut before the promised time", FAILURE)
RELEASE_LEFT = FindingClass("release.left", "process left behind", FATAL)
RELEASE_CHILDREN = FindingClass("release.children", "child processes had to be killed", FAILURE)
RELEASE_SIGTERM = FindingClass("release.sigterm", "engine does not end on request", FAILURE)
RELEASE_MEMORY = FindingClass("release.memory", "device memory not returned", FAILURE)
RELEASE_PORT = FindingClass("release.port", "port not freed", FAILURE)
# accuracy run
ACCURACY_REFUSED = FindingClass("accuracy.refused", "question refused", FATAL)
ACCURACY_SCORE = FindingClass("accuracy.score", "score too low", FAILURE)
ACCURACY_HOPELESS = FindingClass("accuracy.hopeless", "score can no longer reach its limit", FATAL)
ACCURACY_UNRESOLVED = FindingClass("accuracy.unresolved", "too many answers name no option", FAILURE)
ACCURACY_EMPTY = FindingClass("accuracy.empty", "too many empty answers", FAILURE)
ACCURACY_TRUNCATED = FindingClass("accuracy.truncated", "too many answers cut by max_tokens", FAILURE)
ACCURACY_DECLINED = FindingClass("accuracy.declined", "too many answers decline", FAILURE)
ACCURACY_OPEN_A = FindingClass("accuracy.open_a", "open questions answered with a letter", FAILURE)
ACCURACY_ONE_LETTER = FindingClass("accuracy.letters", "one letter for most questions", FATAL)
ACCURACY_FEW_LETTERS = FindingClass("accuracy.few_letters", "too few different letters", FAILURE)
ACCURACY_TOKENS = FindingClass("accuracy.tokens", "pictures do not cost the intended tokens", FATAL)
ACCURACY_ABLATION = FindingClass("accuracy.ablation", "blank pictures score as high", FATAL)
ACCURACY_PAIRED = FindingClass("accuracy.paired", "worse than the stored run", FAILURE)
ACCURACY_MARGIN = FindingClass("accuracy.margin", "a loss against the stored run cannot be ruled out", FAILURE)
ACCURACY_GOLDEN = FindingClass("accuracy.golden", "answer differs from the stored one", FAILURE)
ACCURACY_GOLDEN_SCORE = FindingClass("accuracy.golden_score", "score differs from the stored count", FAILURE)
BROKEN_TEST = FindingClass("test.broken", "the test itself failed", FAILURE)

BY_ID = {found.id: found for found in list(globals().values()) if isinstance(found, FindingClass)}


def schema_class(name: str) -> FindingClass:
    """The class of bodies that do not conform to the schema `name` of fixtures/schemas."""
    return FindingClass(f"schema.{name}", f"body does not conform to schema {name}", FAILURE)

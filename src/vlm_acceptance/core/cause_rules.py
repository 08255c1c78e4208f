"""The rules that lead from findings to causes. Data: what shows which cause, and what follows from another one."""

from __future__ import annotations

from dataclasses import dataclass

from vlm_acceptance.core import causes as c
from vlm_acceptance.core.causes import Cause

FAILED, ERROR = "failed", "error"


@dataclass(frozen=True, slots=True)
class Sign:
    """What shows a cause: findings of these classes, at least this share of a test's, one of which says one of `says`.

    Without `checks` a test is enough, or what its message says where it has no findings. What is empty is not asked
    for. `follows`: where a run shows one of these causes, that one explains the test.
    """

    cause: Cause
    checks: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    outcome: str = ""
    share: float = 0.0
    follows: tuple[Cause, ...] = ()

    def is_of(self, test: str, outcome: str) -> bool:
        """Whether a test of this short id and outcome may show it."""
        return self.outcome in ("", outcome) and (not self.tests or any(fits(test, one) for one in self.tests))

    def is_class(self, check: str) -> bool:
        """Whether a finding of this class may show it."""
        return any(fits(check, one) for one in self.checks)

    def is_said(self, text: str) -> bool:
        """Whether a text holds the words of this sign."""
        return not self.says or any(words in text for words in self.says)


def fits(name: str, pattern: str) -> bool:
    """Whether a pattern means a class or a short test id: itself, with parameters; with `*` a beginning or an end."""
    if pattern.startswith("*"):
        return name.endswith(pattern[1:])
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern or name.startswith(f"{pattern}[")


# put behind a text that is the beginning of what was expected
CUT_SHORT = "(the beginning of what was expected)"

# an engine that is gone or hangs answers nothing
_GONE = (c.STARTUP, c.DIED, c.HANG)
# what spoils the text of answers, whatever they are about
_TEXT = (c.ENDLESS, c.PROMPT, c.DEGENERATE, c.CUT)
_PICTURE = (c.STORED, c.UNSEEN, c.MIXED_UP, c.TILES)
# from which wrong answers follow
_ANSWERS = (*_GONE, *_TEXT, *_PICTURE)
# a picture is wrongly seen, if the model does not compute otherwise without pictures, too
_WRONGLY = (*_ANSWERS, c.NUMBERS, c.SEEN_WRONGLY)
# prompts of the baseline that have no picture
_WITHOUT_PICTURE = ("-absent: ", "text/", "other/")
_NO_SERVICE = ("HTTP 500", "HTTP 502", "HTTP 503", "HTTP 504", "HTTP 429")

_ENVIRONMENT = (
    Sign(c.PORT, says=("was taken by", "is held by"), outcome=ERROR),
    Sign(c.UNREACHABLE, says=("nothing answers at", "cannot be reached", "onnection"), outcome=ERROR),
    Sign(c.MACHINE, says=("machine busy", "files may be open", "disk"), outcome=ERROR),
    Sign(c.DATA, tests=("accuracy_data::*",), outcome=ERROR),
    Sign(c.METRICS, tests=("pictures::test_long_similar*", "capacity::test_preempted*"), outcome=ERROR),
    Sign(c.INSTALLATION, says=("SOC_VERSION",), outcome=ERROR),
    # the log of an engine that ended before it was ready shows that the machine is at fault
    Sign(c.DEVICE, tests=("health::test_readiness",), says=("the engine ended",), outcome=ERROR),
    Sign(c.DEVICE, says=("npu-smi", "NPU", "already holds", "reports health", "910A"), outcome=ERROR),
    Sign(c.WEIGHTS, tests=("environment::test_tiles*", "environment::test_weights*"), outcome=ERROR),
    Sign(c.WEIGHTS, says=("safetensors", "config.json", "weights", "has no model", "arrived damaged"), outcome=ERROR),
    Sign(c.INSTALLATION, says=("executable", "interpreter", "torch_npu", "vllm"), outcome=ERROR),
)
_LIFE = (
    Sign(c.STARTUP, tests=("health::test_readiness[process]", "health::test_readiness[port]"), outcome=FAILED),
    Sign(c.STARTUP, says=("not ready: process:", "not ready: port:"), outcome=FAILED),
    Sign(c.DIED, ("edge_input.died",)),
    Sign(c.DIED, says=("the engine ended",)),
    Sign(c.DIED, ("load.given_up", "load.errors", "*.no_answer"), says=("the engine ended",)),
    Sign(c.HANG, ("hang.flat",)),
    Sign(c.HANG, says=("answers no request in time",)),
    Sign(c.INSTALLATION, ("environment.versions",)),
    Sign(c.WEIGHTS, ("logprobs.files",)),
    Sign(c.OTHER_MODEL, ("models.id", "models.max_model_len", "routes.model", "schema.model")),
    # the first test that needs the deployment says which stage of readiness broke
    Sign(c.HANG, says=("not ready: model: timeout", "not ready: text: timeout", "not ready: picture: timeout")),
    Sign(c.HANG, tests=("health::test_readiness",), says=("last seen: timeout", "kind='timeout'")),
    Sign(c.OTHER_MODEL, says=("not ready: model:",)),
    Sign(c.SERVER, says=("not ready: health:",)),
    Sign(
        c.BODY,
        tests=("health::test_readiness",),
        says=("message.content", "unreadable answer", "choices", "HTTP 200", "no event", "not an object"),
    ),
    Sign(c.ERRORS, says=("not ready: text:", "not ready: picture:")),
    Sign(c.MODE, ("log.*",)),
    Sign(c.RELEASE, ("release.*",)),
    Sign(c.RELEASE, tests=("offline::test_offline_engine_is_gone",)),
    Sign(c.LEAK, ("trend.leak",)),
    Sign(c.SLOWS_DOWN, ("trend.drift",), follows=_GONE),
    Sign(c.ABANDONED, ("load.slot_kept", "load.slot_uncounted"), follows=_GONE),
)
_ACCESS = (
    Sign(c.ACCESS, tests=("schema::test_wrong_key_is_refused", "edge_inputs::test_private_address*")),
    Sign(c.ACCESS, ("edge_input.fetched",)),
)
# each part of the protocol that has tests of its own
_AREAS = (
    (c.STRUCTURED, "structured_output::*"),
    (c.TOOLS, "tools::*"),
    (c.REASONING, "reasoning::*"),
    (c.ROUTES, "routes::*"),
    (c.CONVERSATION, "conversation::*"),
    (c.CONTEXT, "long_prompts::*"),
    (c.PARAMETERS, "parameters::*"),
    (c.PARAMETERS, "scheduling::*"),
)
_PARTS = (
    *(Sign(cause, ("*",), (area,), _NO_SERVICE, follows=(*_GONE, c.ERRORS)) for cause, area in _AREAS),
    Sign(c.STRUCTURED, ("structured.content",), follows=_ANSWERS),
    Sign(c.STRUCTURED, tests=("structured_output::*",), follows=(*_GONE, *_TEXT)),
    Sign(c.TOOLS, tests=("tools::test_picture_of*",), follows=_ANSWERS),
    Sign(c.TOOLS, tests=("tools::*",), follows=(*_GONE, *_TEXT)),
    Sign(c.REASONING, tests=("reasoning::*",), follows=_GONE),
    Sign(c.ROUTES, tests=("routes::test_responses_see_a_picture",), follows=_ANSWERS),
    Sign(c.ROUTES, tests=("routes::*",), follows=(*_GONE, *_TEXT, c.USAGE, c.STREAM)),
    Sign(c.PROMPT, ("prompt.*",), follows=(c.STORED,)),
    Sign(c.CONVERSATION, ("conversation.*",), follows=(*_GONE, c.PROMPT, c.UNSEEN)),
    Sign(c.DEGENERATE, ("degeneracy.*",), tests=("long_prompts::*", "conversation::*"), follows=(c.ENDLESS,)),
    Sign(c.CONTEXT, tests=("long_prompts::*", "conversation::test_whole*"), follows=_WRONGLY),
    Sign(c.REFUSALS, tests=("parameters::test_wrong_value*",), follows=_GONE),
    Sign(c.USAGE, ("parameters.usage",), follows=_GONE),
    Sign(c.PARAMETERS, tests=("parameters::*", "scheduling::*"), follows=(*_GONE, *_TEXT, c.STORED, c.USAGE, c.BODY)),
)
_OFFLINE = (
    # what is wrong offline alone
    Sign(
        c.OFFLINE,
        tests=(
            "offline::*",
            "large_pictures::test_offline*",
            "challenge::test_offline*",
            "logprobs::test_server_gives*",
            "logprobs::test_offline_logprobs*",
        ),
        follows=(*_WRONGLY, c.LANGUAGE, c.WRONG),
    ),
)
_SPEED = (
    Sign(c.BUFFERED, ("latency.no_stream",), follows=_GONE),
    Sign(c.SLOW_LOAD, ("load.starved", "capacity.shrunk", "capacity.slower", "capacity.none"), follows=_GONE),
    Sign(c.SLOW_TOKENS, ("latency.tpot", "load.tpot", "load.itl"), follows=_GONE),
    Sign(c.SLOW_FIRST, ("latency.ttft", "load.ttft"), follows=(*_GONE, c.SLOW_TOKENS)),
    Sign(c.SLOW_ANSWER, ("latency.e2e", "load.e2e"), follows=(*_GONE, c.SLOW_FIRST, c.SLOW_TOKENS)),
    Sign(
        c.SLOW_LOAD,
        ("load.goodput", "load.requests_per_s", "load.output_tokens_per_s"),
        follows=(*_GONE, c.SLOW_FIRST, c.SLOW_TOKENS),
    ),
)
_REQUESTS = (
    Sign(c.FILES, tests=("schema::test_video_is_answered",)),
    Sign(c.POISON, ("leaving.poison",), follows=_GONE),
    Sign(c.SEVERAL, ("multi_picture.*", "upload.parts"), follows=(c.UNSEEN, c.TILES)),
    Sign(c.REFUSALS, ("refusal.*",), follows=_GONE),
    Sign(c.POISON, tests=("refused_pictures::*", "load::test_bad_request_stays_alone"), follows=_WRONGLY),
    Sign(c.MIXED_UP, ("upload.mixed_up",), follows=_ANSWERS),
    Sign(c.FILES, tests=("uploads::*", "pictures::test_extreme*", "pictures::test_picture_near*"), follows=_WRONGLY),
    Sign(c.FILES, ("picture_format.*", "upload.size"), follows=(c.UNSEEN, c.TILES)),
    Sign(c.STORED, tests=("pictures::test_uuid*",), follows=(c.UNSEEN,)),
    Sign(c.ERRORS, ("idle.*", "accuracy.refused"), follows=_GONE),
    Sign(c.REFUSALS, ("*",), ("edge_inputs::test_edge_input", "edge_inputs::test_rare_edge_input"), _NO_SERVICE),
    Sign(c.ERRORS, ("*",), says=_NO_SERVICE, follows=(*_GONE, c.POISON)),
)
_TEXTS = (
    Sign(c.ENDLESS, ("stop.never",)),
    # some texts of a model that sees or computes wrongly are broken, too
    Sign(c.DEGENERATE, ("degeneracy.*", "answer.empty"), share=0.4, follows=(c.ENDLESS,)),
    Sign(c.DEGENERATE, ("liveness.answer", "openai.text"), follows=(c.ENDLESS,)),
    Sign(c.CUT, ("capacity.cut", "capacity.prompt", "preemption.cut"), follows=_GONE),
    Sign(c.CUT, ("golden_answer.text", "offline.*", "load.answer"), says=(CUT_SHORT,)),
    Sign(c.STORED, ("challenge.cached_body", "challenge.stored", "answer.blind", "pictures.prompt")),
    Sign(c.STORED, ("challenge.cached_text",), tests=("challenge::test_same_text*",)),
    Sign(c.TILES, ("tiles.count", "accuracy.tokens"), follows=(c.STORED, c.UNSEEN, c.PROMPT, c.USAGE)),
    Sign(c.LANGUAGE, ("answer.language",), share=0.3, follows=(c.ENDLESS, c.PROMPT, c.DEGENERATE, c.UNSEEN)),
    # two or three may be wrong in the same way
    Sign(
        c.SEEN_WRONGLY,
        ("answer.count", "challenge.count"),
        says=("the same answer for 2 different", "the same answer for 3 different"),
        follows=(*_ANSWERS, c.NUMBERS),
    ),
    Sign(c.UNSEEN, ("*",), says=("the picture was not seen",), follows=(c.STORED,)),
    Sign(
        c.MIXED_UP,
        ("load.mixed_up", "leaving.mixed_up", "challenge.mixed_up", "pictures.contaminated"),
        follows=(c.STORED, c.UNSEEN),
    ),
    # a few may be misread as others
    Sign(c.MIXED_UP, ("answer.foreign",), share=0.35, follows=(c.STORED, c.UNSEEN)),
    Sign(c.UNSEEN, ("challenge.unread", "accuracy.ablation"), follows=(c.STORED,)),
    Sign(c.REFUSALS, tests=("edge_inputs::*",), follows=_WRONGLY),
)
_PROTOCOL = (
    Sign(c.PARAMETERS, ("max_tokens.*", "stop.*", "n.*", "logprobs.drawn"), follows=(*_ANSWERS, c.USAGE)),
    Sign(c.STREAM, ("stream.usage",), follows=(c.USAGE,)),
    Sign(c.STREAM, ("stream.same_text",), follows=(*_ANSWERS, c.USAGE, c.ERRORS)),
    Sign(c.STREAM, ("stream.*", "openai.stream"), follows=(*_ANSWERS, c.BODY)),
    # the text was changed behind the engine
    Sign(c.STREAM, ("logprobs.spelling",), follows=(*_ANSWERS, c.LANGUAGE, c.USAGE)),
    Sign(c.LOGPROBS, ("logprobs.content", "logprobs.range", "logprobs.top", "logprobs.missing")),
    Sign(c.USAGE, ("usage.*", "schema.usage", "logprobs.count"), follows=(*_GONE, c.ENDLESS, c.STORED)),
    Sign(c.SERVER, ("schema.models",), follows=_GONE),
    Sign(c.BODY, ("schema.*", "ids.*"), follows=(*_GONE, c.ENDLESS, c.USAGE)),
    Sign(c.ROUTES, ("tiles.tokenize",), follows=(c.STORED, c.UNSEEN, c.PROMPT, c.TILES, c.USAGE)),
    Sign(c.METRICS, ("models.metrics", "metrics.*")),
    Sign(c.SERVER, ("health.*", "models.*"), follows=_GONE),
    Sign(c.ACCURACY, ("accuracy.*",), follows=_ANSWERS),
    Sign(
        c.NUMBERS,
        ("logprobs.token", "logprobs.prompt"),
        says=_WITHOUT_PICTURE,
        follows=(*_GONE, *_TEXT, c.LOGPROBS, c.PARAMETERS),
    ),
    Sign(
        c.USAGE,
        ("golden_answer.count",),
        says=("; 0 texts differ",),
        follows=(c.UNSEEN, c.TILES, c.STORED, c.CONVERSATION, c.PROMPT),
    ),
    Sign(c.PROMPT, ("golden_answer.prompt_tokens",), follows=(c.UNSEEN, c.TILES, c.USAGE, c.STORED, c.CONVERSATION)),
)
# what a cause that shows more would show, too
_WEAK = (
    Sign(c.SEEN_WRONGLY, ("answer.large",), follows=_ANSWERS),
    Sign(
        c.LANGUAGE,
        tests=("capability::test_category[chinese*", "capability::test_translated*"),
        follows=(*_ANSWERS, c.NUMBERS, c.SEEN_WRONGLY, c.WRONG),
    ),
    Sign(
        c.SEEN_WRONGLY,
        ("*",),
        says=("the picture was not rightly seen", "the pictures were mixed up", "the pictures were not seen"),
        follows=(*_ANSWERS, c.NUMBERS),
    ),
    Sign(c.STREAM, ("logprobs.text", "openai.error"), follows=(*_WRONGLY, c.ERRORS)),
    Sign(c.NUMBERS, ("logprobs.*",), follows=(*_WRONGLY, c.LOGPROBS)),
    Sign(c.NUMBERS, ("golden_answer.text", "golden_answer.count"), follows=(*_WRONGLY, c.LANGUAGE, c.STREAM)),
    Sign(
        c.ERRORS,
        (
            "*.missing",
            "*.no_answer",
            "load.errors",
            "load.given_up",
            "usage.answer",
            "protocol.answer",
            "leaving.answer",
            "leaving.unanswered",
        ),
        follows=_GONE,
    ),
    Sign(c.DEGENERATE, ("degeneracy.*",), follows=(*_WRONGLY, c.LANGUAGE)),
    Sign(c.WRONG, ("*.count", "answer.*", "*.wrong"), follows=_WRONGLY),
)
_REST = (
    Sign(c.SUITE, ("test.broken",), follows=_WRONGLY),
    Sign(c.SUITE, says=(".py:",), outcome=ERROR),
    Sign(c.ENVIRONMENT, outcome=ERROR),
)
# the last one is shown by every test
SIGNS: tuple[Sign, ...] = (
    *(*_ENVIRONMENT, *_LIFE, *_ACCESS, *_PARTS, *_OFFLINE, *_SPEED, *_REQUESTS, *_TEXTS, *_PROTOCOL, *_WEAK, *_REST),
    Sign(c.OTHER),
)
# of two causes that show the same signs, the one with more tests explains those of the other; with as many the second
RIVALS: tuple[tuple[Cause, Cause], ...] = (
    (c.UNSEEN, c.MIXED_UP),
    (c.UNSEEN, c.DEGENERATE),
    (c.SEEN_WRONGLY, c.MIXED_UP),
    (c.NUMBERS, c.SEEN_WRONGLY),
)
# what prevents the others comes first, however few tests show it
FIRST: tuple[Cause, ...] = (c.DEVICE, c.PORT, *_GONE)

"""The faults that a proxy can put between a client and a sound engine, one row each.

`magnitude` is the default; its unit is in the sentence. A fault acts on chat requests only, unless the sentence names
another route; faults of pictures act on `/tokenize` too. Faults of the text leave usage, log probabilities and finish
reason unchanged. Swapped texts arrive with the last chunk of their streams.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

import faults_answers as answers
import faults_capacity as capacity
import faults_conversation as conversation
import faults_dialogues as dialogues
import faults_inputs as inputs
import faults_leaving as leaving
import faults_load as load
import faults_parameters as parameters
import faults_pictures as pictures
import faults_request as request
import faults_response as response
import faults_routes as routes
import faults_scores as scores
import faults_server as server
import faults_stored as stored
import faults_stream as stream
import faults_structured as structured
import faults_tools as tools
import faults_uploads as uploads
from fault_stages import Dose, Stages


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: `apply` makes the stages of a proxy for a dose."""

    name: str
    family: str
    what: str
    magnitude: float
    apply: Callable[[Dose], Stages]


_RESPONSE = (
    ("status-500", "the share of chat requests that is answered with status 500", 1.0, response.status_500),
    ("status-500-some", "the share of chat requests that is answered with status 500", 0.02, response.status_some(500)),
    ("status-503-some", "the share of chat requests that is answered with status 503", 0.02, response.status_some(503)),
    ("missing-id", "the answer has no id", 1, response.missing("id")),
    ("missing-usage", "the answer has no usage", 1, response.missing("usage")),
    ("missing-model", "the answer has no model", 1, response.missing("model")),
    ("wrong-type-created", "created is a string", 1, response.wrong_type_created),
    ("float-usage", "the counts in usage are floats", 1, response.float_usage),
    ("usage-off-by-one", "so many prompt tokens too many, in the total too", 1, response.prompt_tokens_off),
    ("completion-off-by-one", "so many answer tokens too many, in the total too", 1, response.completion_tokens_off),
    ("usage-sum-wrong", "the total of usage is so many too high", 1, response.total_tokens_off),
    ("finish-reason-wrong", "finish_reason is 'done'", 1, response.finish_reason_wrong),
    ("finish-reason-null", "finish_reason is null", 1, response.finish_reason_null),
    ("ids-repeated", "every answer has the id of the first", 1, response.ids_repeated),
    ("content-null", "content is null", 1, response.content_null),
    ("content-type-wrong", "the content type of the answer is text/plain", 1, response.content_type_wrong),
    ("truncated-body", "this share of the body, or of a stream's first text, is all", 0.5, response.truncated_body),
    ("connection-reset", "the connection is reset after so many bytes of the body", 40, response.connection_reset),
    ("other-model-name", "another model's name in answers and in /v1/models", 1, response.other_model_name),
    ("text-cut", "only so many characters of the text arrive", 8, response.text_cut),
    (
        "word-swapped",
        "in this share of the texts the second and the third word change places",
        1.0,
        response.word_swapped,
    ),
    ("text-looped", "the text is repeated so many more times", 8, response.text_looped),
    ("text-exclaimed", "every character is an exclamation mark", 1, response.text_exclaimed),
    ("text-empty", "the text is empty", 1, response.text_empty),
    ("mojibake", "UTF-8 read as Latin-1: ASCII text stays right", 1, response.mojibake),
    ("replacement-characters", "this share of the characters is U+FFFD", 0.1, response.replacement_characters),
    ("special-token-leaked", "the text ends with <|im_end|>", 1, response.special_token_leaked),
    ("language-switched", "Chinese is answered in English, everything else in Chinese", 1, response.language_switched),
    ("chinese-garbled", "a Chinese prompt is answered with other Chinese characters", 1, response.chinese_garbled),
    ("answer-of-previous", "the text is that of the answer before; the first is right", 1, response.answer_of_previous),
    ("answers-swapped", "two that end within so many seconds swap texts", 0.5, response.answers_swapped),
    ("error-as-200", "every answer is an error object with status 200", 1, response.error_as_200),
    ("logprobs-missing", "logprobs is null", 1, response.logprobs_missing),
    ("logprobs-unsteady", "each answer's log probabilities are up to this much lower", 0.5, response.logprobs_unsteady),
    ("logprobs-not-numbers", "each log probability is NaN", 1, response.logprobs_not_numbers),
    ("usage-not-numbers", "the counts in usage are NaN", 1, response.usage_not_numbers),
    ("logprobs-positive", "each log probability is its absolute value and this more", 0.1, response.logprobs_positive),
)

_STREAM = (
    ("role-missing", "no chunk has a role", 1, stream.role_missing),
    ("role-twice", "the first chunk with text has a role too", 1, stream.role_twice),
    ("finish-twice", "the chunk with the finish reason is followed by another one", 1, stream.finish_twice),
    ("finish-missing", "no chunk has a finish reason", 1, stream.finish_missing),
    ("chunk-lost", "the text chunk of this number does not arrive", 1, stream.chunk_lost),
    ("chunk-duplicated", "the text chunk of this number arrives twice", 1, stream.chunk_duplicated),
    ("done-missing", "there is no [DONE]", 1, stream.done_missing),
    ("usage-chunk-missing", "there is no chunk with usage alone", 1, stream.usage_chunk_missing),
    ("error-event-in-200", "after so many text chunks an error event and [DONE] end the stream", 1, stream.error_event),
    ("not-streamed", "all events arrive together at the end", 1, stream.not_streamed),
    ("buffered", "so many events of a stream arrive at once, again and again", 20, stream.buffered),
    ("ttft-added", "the answer, streamed or not, starts so many seconds later", 1.0, stream.ttft_added),
    ("jitter", "one token of 50 of a stream, by chance, comes so many seconds later", 1.0, stream.jitter),
    ("tpot-added", "each token after the first, streamed or not, takes so many seconds more", 0.1, stream.tpot_added),
)

_REQUEST = (
    ("picture-dropped", "the engine gets no picture", 1, request.picture_dropped),
    ("picture-replaced", "the engine gets grey pictures of the same size", 1, request.picture_replaced),
    ("picture-downscaled", "pictures are shrunk to so many pixels and enlarged again", 28, request.picture_downscaled),
    ("picture-recompressed", "pictures are JPEGs of this quality on their way", 5, request.picture_recompressed),
    ("image-bgr", "the engine gets pictures with red and blue swapped", 1, request.image_bgr),
    ("system-added", "the engine gets another system message first, in /tokenize too", 1, request.system_added),
    ("max-tokens-ignored", "the engine does not see max_tokens", 1, request.max_tokens_ignored),
    ("stop-ignored", "the engine does not see stop", 1, request.stop_ignored),
    ("n-ignored", "the engine does not see n", 1, request.n_ignored),
    ("temperature-forced", "the engine gets this temperature", 0.7, request.temperature_forced),
    ("key-not-checked", "every request gets the API key of the first", 1, request.key_not_checked),
    ("wrong-model-accepted", "the model served answers to any name", 1, request.wrong_model_accepted),
)

_SERVER = (
    ("health-only", "/health is 200, anything else hangs for so many seconds and is cut", 3600, server.health_only),
    ("health-503", "/health is 503", 1, server.health_503),
    ("health-lost", "/health is 503 after so many requests for it", 1, server.health_lost),
    ("metrics-gone", "/metrics is 404", 1, server.gone("/metrics")),
    ("metrics-not-numbers", "each figure of vLLM's in /metrics is NaN", 1, server.metrics_not_numbers),
    ("version-gone", "/version is 404", 1, server.gone("/version")),
    ("errors-as-html", "any 4xx has an HTML body", 1, server.errors_as_html),
    ("errors-as-500", "any 4xx becomes status 500", 1, server.errors_as_500),
    ("malformed-accepted", "what the engine refuses with 400 or 422 is answered 200", 1, server.malformed_accepted),
    ("tokenize-wrong", "/tokenize counts so many tokens too many", 1, server.tokenize_wrong),
    ("picture-start-lost", "a prompt with a picture lacks so many of its first tokens", 1, server.picture_start_lost),
    ("models-empty", "/v1/models lists nothing", 1, server.models_empty),
    ("models-untyped", "/v1/models does not say that it is a list of models", 1, server.models_untyped),
    ("any-route-answered", "what the engine does not know is answered 200", 1, server.any_route_answered),
    ("max-model-len-wrong", "/v1/models says so many times the max_model_len", 2, server.max_model_len_wrong),
)

_ANSWERS = (
    ("answers-constant", "every question of the accuracy run is answered with A", 1, answers.constant_letter),
    ("answers-mute", "every question of the accuracy run is answered with nothing", 1, answers.mute),
    ("answers-random", "every accuracy question is answered with a random letter", 1, answers.random_letters),
    ("answers-of-another", "the share of accuracy questions that another model answers", 0.3, answers.other_model),
    ("answers-a-few-wrong", "the share of accuracy questions that another model answers", 0.06, answers.other_model),
    (
        "answers-worse-than-stored",
        "the share of accuracy questions that another model answers",
        0.3,
        answers.other_model,
    ),
    ("signs-unread", "so many of the eight signs are not read, always the same ones", 3, answers.signs_unread),
    ("tile-lost-once", "one question lacks one tile, after so many others that lack none", 60, answers.tile_lost_once),
    ("blank-remembered", "blank pictures are answered as the question was before", 1, answers.blank_remembered),
    ("questions-dropped", "the share of accuracy questions whose connection is closed", 0.05, answers.dropped),
    ("questions-refused", "the share of accuracy questions answered with status 500", 0.05, answers.refused),
)

_PICTURES = (
    ("prefix-by-text", "a text is answered as it was with the first picture", 1, pictures.by_text),
    ("prompt-forgotten", "a picture is answered as it was under the first text", 1, pictures.by_picture),
    ("picture-of-previous", "the engine gets the pictures of the request before", 1, pictures.of_previous),
    ("large-signs-unread", "so many of the eight signs are not read in large form", 5, pictures.large_signs_unread),
    ("pictures-reversed", "the engine gets the pictures of a request in reverse", 1, pictures.reversed_order),
    ("pictures-beyond-first-dropped", "the engine gets so many pictures of a request", 1, pictures.beyond_dropped),
    ("limit-ignored", "the engine gets so many pictures of a request", 10, pictures.beyond_dropped),
    ("uuid-stale", "a uuid stands for its first picture, in a version not known for it", 1, pictures.uuid_stale),
    ("picture-shrunk", "the engine gets no side of more than so many pixels", 100, pictures.shrunk),
    ("shrunk-to-one-tile", "the same: one tile of the control, before the engine cuts tiles", 112, pictures.shrunk),
    ("rgba-refused", "a picture with an alpha channel is answered with status 500", 1, pictures.breaks_on_rgba),
    ("thin-refused", "a side below so many pixels is answered with status 500", 2, pictures.breaks_on_thin),
    ("large-refused", "more than so many million pixels are answered with status 500", 100, pictures.breaks_on_large),
    ("caches-idle", "no cache in /metrics has a hit", 1, pictures.caches_idle),
    ("answers-swapped-rarely", "this share of the texts is swapped with the next one", 0.005, pictures.swapped_rarely),
)

_LOAD = (
    ("one-slow", "one chat request of 50 waits so many seconds", 20, load.one_slow),
    ("starved", "one chat request of 16 waits until no other has come for so many seconds", 15, load.starved),
    ("failure-spreads", "requests in flight when another is refused fail with 500", 1, load.failure_spreads),
    ("slot-kept", "/metrics counts abandoned streams as running", 1, load.slot_kept),
    ("tpot-grows", "each token takes so many seconds more for each minute passed", 0.1, load.tpot_grows),
)

_INPUTS = (
    (
        "refused-poisons",
        "a picture of a refused request is answered with status 500 from then on",
        1,
        inputs.refused_poisons,
    ),
    (
        "refused-fails-once",
        "a picture of a refused request is answered once with status 500 and a message of no known issue",
        1,
        inputs.refused_fails_once,
    ),
    (
        "refused-poisons-others",
        "after a refused request with a picture, every other picture is answered with status 500",
        1,
        inputs.refused_poisons_others,
    ),
    (
        "counted-poisons",
        "a picture that /tokenize saw is answered with status 500 from then on",
        1,
        inputs.counted_poisons,
    ),
    (
        "hangs-on-broken",
        "a picture that cannot be read hangs for so many seconds and is cut",
        3600,
        inputs.hangs_on_broken,
    ),
    ("resets-on-broken", "a picture that cannot be read has the connection reset", 1, inputs.resets_on_broken),
    ("never-stops", "the engine ignores its stop token and generates max_tokens", 1, inputs.never_stops),
    ("odd-accepted", "edge inputs are answered 200 with a text", 1, inputs.odd_accepted),
    ("odd-500", "edge inputs are answered with status 500", 1, inputs.odd_500),
    ("pictures-refused", "every request with a picture is answered with status 500", 1, inputs.pictures_refused),
)

_STORED = (
    ("cached-by-body", "a body that was answered once gets that answer again, with a new id", 1, stored.cached_by_body),
    ("cached-by-text", "a text gets its first answer about any picture, with a new id", 1, stored.cached_by_text),
    ("nearest-answer", "a text as similar as this to an earlier one gets its answer", 0.8, stored.nearest_answer),
)

# families of faults of what clients send, with selftests of their own
OF_CLIENTS = frozenset(
    [
        "conversation",
        "dialogues",
        "parameters",
        "structured",
        "tools",
        "routes",
        "uploads",
        "leaving",
        "capacity",
        "scores",
    ]
)
_FAMILIES = {
    "answers": _ANSWERS,
    "inputs": _INPUTS,
    "load": _LOAD,
    "pictures": _PICTURES,
    "response": _RESPONSE,
    "stream": _STREAM,
    "request": _REQUEST,
    "server": _SERVER,
    "stored": _STORED,
    "conversation": conversation.ROWS,
    "dialogues": dialogues.ROWS,
    "parameters": parameters.ROWS,
    "structured": structured.ROWS,
    "tools": tools.ROWS,
    "routes": routes.ROWS,
    "uploads": uploads.ROWS,
    "leaving": leaving.ROWS,
    "capacity": capacity.ROWS,
    "scores": scores.ROWS,
}
FAULTS: dict[str, Fault] = {
    name: Fault(name, family, what, magnitude, apply)
    for family, rows in _FAMILIES.items()
    for name, what, magnitude, apply in rows
}


def fault_named(name: str) -> Fault:
    """The row of FAULTS; ValueError names the nearest and all known faults in one line."""
    if name in FAULTS:
        return FAULTS[name]
    close = difflib.get_close_matches(name, FAULTS, n=1)
    meant = f" Did you mean {close[0]!r}?" if close else ""
    raise ValueError(f"unknown fault {name!r}.{meant} Known: {', '.join(FAULTS)}")

"""Routes beside chat: each is offered, and answers like chat."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from vlm_acceptance.checks.agreement import agreement
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import Exchange, NoReply, Usage, token_count
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.logprobs import ZERO
from vlm_acceptance.core.numbers import is_at_most, largest
from vlm_acceptance.core.route_answers import COMPLETIONS, RouteAnswer, completion_answer, response_answer
from vlm_acceptance.core.spelling import Spelled, spelled_of
from vlm_acceptance.core.text import trimmed

NOT_OFFERED = (404, 405)
SHOWN = 160


def offered(exchange: Exchange, name: str) -> list[Finding]:
    """The route answers with another status than 404 and 405; `name` is its name in `api.routes`."""
    if exchange.error is not None or exchange.status not in NOT_OFFERED:
        return []
    path = unquote(exchange.request.path)
    body = trimmed(exchange.body[:SHOWN].decode("utf-8", "replace"))
    expected = f"{path} is offered: the profile wants it (api.routes: {name})"
    return [Finding(kinds.ROUTE_MISSING, expected, f"HTTP {exchange.status} at {path}: {body}")]


def read(exchange: Exchange, name: str) -> RouteAnswer | Finding:
    """The answer of a wanted route, or a finding: it is not offered, not readable, or its stream is not in order."""
    missing = offered(exchange, name)
    if missing:
        return missing[0]
    path = exchange.request.path
    answer = completion_answer(exchange) if path == COMPLETIONS else response_answer(exchange)
    if isinstance(answer, NoReply):
        return Finding(kinds.ROUTE_ANSWER, f"an answer of {path}", f"{path} gives none: {answer}")
    if answer.flaws:
        return Finding(kinds.ROUTE_STREAM, f"an answer of {path} in order", f"{path}: {'; '.join(answer.flaws)}")
    return answer


def like_chat(answer: RouteAnswer, chat: Exchange, tie: float | None) -> list[Finding]:
    """The greedy text, the end and the tokens are those of chat for the same prompt; with `tie` up to a near-tie."""
    reply, spelled, path = chat.reply, spelled_of(chat), _path(answer)
    if isinstance(reply, NoReply) or isinstance(spelled, NoReply):
        return [Finding(kinds.PROTOCOL_ANSWER, "an answer of chat to compare with", str(spelled), exchange=chat)]
    found, same = [], agreement(spelled, answer.spelled, tie)
    if not same.is_accepted:
        expected = f"the text of chat for the same prompt, {trimmed(reply.text, SHOWN)}"
        found.append(Finding(kinds.ROUTE_TEXT, expected, f"{path} answers {trimmed(answer.text, SHOWN)}; {same}"))
    elif same.is_equal and answer.reason != reply.finish_reason:
        expected = f"it ends as chat does, with {reply.finish_reason!r}"
        found.append(Finding(kinds.ROUTE_TEXT, expected, f"{path} ends with {answer.reason!r}"))
    return found + _same_usage(answer.usage, reply.usage, same.is_equal, path)


def starts_twice(answer: RouteAnswer, chat: Exchange) -> bool:
    """Whether the prompt has one token more than that of chat: a second start, which some tokenizers add."""
    reply, own = chat.reply, answer.usage
    wanted = None if isinstance(reply, NoReply) else reply.usage
    return own is not None and wanted is not None and own.prompt == wanted.prompt + 1


def _same_usage(own: Usage | None, wanted: Usage | None, is_same_text: bool, path: str) -> list[Finding]:
    if own is None or own.prompt + own.completion != own.total:
        return [Finding(kinds.ROUTE_USAGE, "counts of tokens that add up", f"{path}: {own or 'no usage'}")]
    if wanted is None or (own == wanted if is_same_text else own.prompt == wanted.prompt):
        return []
    return [Finding(kinds.ROUTE_USAGE, f"the tokens of chat for the same prompt, {wanted}", f"{path}: {own}")]


def cut_at(answer: RouteAnswer, tokens: int) -> list[Finding]:
    """The answer ends after `tokens` tokens, and says so."""
    found, path = [], _path(answer)
    if answer.reason != "length":
        expected = f"an answer that is cut after {tokens} tokens says `length` or `incomplete`"
        found.append(Finding(kinds.ROUTE_PARAMETER, expected, f"{path}: it ends with {answer.reason!r}"))
    if answer.usage is None or answer.usage.completion != tokens:
        observed = f"{path}: {answer.usage or 'no usage'}"
        found.append(Finding(kinds.ROUTE_PARAMETER, f"{tokens} tokens, as the request says", observed))
    return found


def stopped_before(answer: RouteAnswer, whole: RouteAnswer, word: str, tie: float | None) -> list[Finding]:
    """The text is that of the whole answer up to the stop string."""
    if word not in whole.text or (answer.text == whole.text.partition(word)[0] and answer.reason == "stop"):
        return []
    same = agreement(whole.spelled, Spelled(answer.text + word), tie)
    if same.is_accepted and not same.is_equal and word not in answer.text:
        return []
    expected = f"stop {word!r} ends the answer: {trimmed(whole.text.partition(word)[0], SHOWN)}"
    observed = f"{_path(answer)} answers {trimmed(answer.text, SHOWN)} and ends with {answer.reason!r}"
    return [Finding(kinds.ROUTE_PARAMETER, expected, observed)]


def echoed(answer: RouteAnswer, plain: RouteAnswer, prompt: str, tie: float | None) -> list[Finding]:
    """With `echo` the text is the prompt, then the answer that comes without it."""
    if not answer.text.startswith(prompt):
        expected = f"echo: the text begins with the prompt {prompt!r}"
        return [Finding(kinds.ROUTE_PARAMETER, expected, f"{_path(answer)} answers {trimmed(answer.text, SHOWN)}")]
    same = agreement(plain.spelled, Spelled(answer.text[len(prompt) :]), tie)
    if same.is_accepted:
        return []
    expected = f"echo: after the prompt the answer that comes without echo, {trimmed(plain.text, SHOWN)}"
    return [Finding(kinds.ROUTE_PARAMETER, expected, f"{trimmed(answer.text[len(prompt) :], SHOWN)}; {same}")]


def has_choices(answer: RouteAnswer, n: int) -> list[Finding]:
    """There are the choices 0 to n-1."""
    if answer.indexes == tuple(range(n)):
        return []
    return [Finding(kinds.ROUTE_PARAMETER, f"n: choices {list(range(n))}", f"{_path(answer)}: {list(answer.indexes)}")]


def lists_logprobs(answer: RouteAnswer, top: int) -> list[Finding]:
    """There is one log probability for each token, none above zero, beside the `top` tokens of its place."""
    spelled, path = answer.spelled, _path(answer)
    counted = answer.usage.completion if answer.usage else 0
    if spelled.is_broken or len(spelled.tokens) != counted or not counted:
        observed = f"{path}: {spelled.why or len(spelled.tokens)}"
        return [Finding(kinds.ROUTE_PARAMETER, f"logprobs: {counted} entries, one a token", observed)]
    highest = largest([*spelled.chosen, *(value for near in spelled.others for _, value in near)])
    if not is_at_most(highest, ZERO):
        return [Finding(kinds.ROUTE_PARAMETER, "logprobs: none above 0", f"{path}: {highest}")]
    # two tokens of one text are one entry, so not every place shows all of them
    most = max(len(near) for near in spelled.others)
    if most >= top - 1:  # the chosen token is one of them
        return []
    return [Finding(kinds.ROUTE_PARAMETER, f"logprobs: {top} tokens in each place", f"{path}: {most + 1}")]


def round_trip(tokenized: Exchange, detokenized: Exchange | None, text: str) -> list[Finding]:
    """The tokens of a text are counted, and give the text back; blanks around it may get lost."""
    listed = token_ids(tokenized)
    if listed is None:
        observed = f"/tokenize gives none: {_shown(tokenized)}"
        return [Finding(kinds.ROUTE_TOKENS, "a list of token ids and their count", observed, exchange=tokenized)]
    if detokenized is None:
        return []
    try:
        back = detokenized.json()["prompt"]
    except (ValueError, KeyError, TypeError):
        back = None
    if isinstance(back, str) and back.strip() == text.strip():
        return []
    observed = f"/detokenize of the {len(listed)} tokens of /tokenize gives {trimmed(back or _shown(detokenized))}"
    return [Finding(kinds.ROUTE_TOKENS, f"the text that was sent, {text!r}", observed, exchange=detokenized)]


def token_ids(exchange: Exchange) -> list[int] | None:
    """The ids in an answer of `/tokenize` whose count is theirs; None without them."""
    try:
        body = exchange.json()
        ids = body["tokens"]
        is_list = isinstance(ids, list) and ids and all(token_count(one) is not None for one in ids)
        return ids if exchange.status == 200 and is_list and body["count"] == len(ids) else None
    except (ValueError, KeyError, TypeError):
        return None


def counts_as_chat(tokenized: Exchange, chat: Exchange) -> list[Finding]:
    """The tokens of a conversation are as many as chat counts for it."""
    reply, listed = chat.reply, token_ids(tokenized)
    if isinstance(reply, NoReply) or reply.usage is None or listed is None or reply.usage.prompt == len(listed):
        return []
    expected = f"prompt_tokens of chat for the same messages, {reply.usage.prompt}"
    return [Finding(kinds.ROUTE_TOKENS, expected, f"/tokenize counts {len(listed)}", exchange=tokenized)]


def names_the_model(exchange: Exchange, model: str) -> list[Finding]:
    """The card of a model has the id that was asked for."""
    try:
        body: Any = exchange.json()
        named = body["id"] if exchange.status == 200 else None
    except (ValueError, KeyError, TypeError):
        named = None
    if named == model:
        return []
    observed = f"{unquote(exchange.request.path)}: {_shown(exchange)}"
    return [Finding(kinds.ROUTE_MODEL, f"a model card with the id {model!r}", observed)]


def client_reads(texts: tuple[str, str] | NoReply, own: RouteAnswer, tie: float | None) -> list[Finding]:
    """The official client reads what we read, plain and streamed."""
    path = _path(own)
    if isinstance(texts, NoReply):
        return [_unread(texts, path)]
    found = []
    for form, text in zip(("plain", "streamed"), texts, strict=True):
        same = agreement(own.spelled, Spelled(text), tie)
        if not same.is_accepted:
            expected = f"the text that the suite's own client reads, {trimmed(own.text, SHOWN)}"
            observed = f"the official openai client reads {trimmed(text, SHOWN)} from {path}; {same}"
            found.append(Finding(kinds.OPENAI_TEXT, expected, observed, form))
    return found


def client_reads_a_text(texts: tuple[str, str] | NoReply, path: str) -> list[Finding]:
    """The official client reads a text, plain and streamed."""
    if isinstance(texts, NoReply):
        return [_unread(texts, path)]
    expected, seen = "an answer with text", f"the official openai client reads no text from {path}"
    forms = zip(("plain", "streamed"), texts, strict=True)
    return [Finding(kinds.OPENAI_TEXT, expected, seen, form) for form, text in forms if not text.strip()]


def _unread(why: NoReply, path: str) -> Finding:
    observed = f"the official openai client cannot read {path}: {why}"
    return Finding(kinds.OPENAI_ERROR, "an answer that the official client reads", observed)


def _path(answer: RouteAnswer) -> str:
    request = answer.exchange.request if answer.exchange else None
    return f"{request.path}, streamed" if request and request.stream else request.path if request else "the route"


def _shown(exchange: Exchange) -> str:
    body = exchange.body[:SHOWN].decode("utf-8", "replace")
    return str(exchange.error or f"HTTP {exchange.status}: {trimmed(body)}")

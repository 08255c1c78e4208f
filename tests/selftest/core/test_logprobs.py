"""Log probabilities as served and as stored: read, written again, recognized, and refused when they are broken."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.runs import clean_env

from vlm_acceptance.checks.logprobs import difference
from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.exchange import Exchange, NoReply, Request
from vlm_acceptance.core.logprobs import (
    LogProbPrompt,
    LogProbs,
    StoredLogProbs,
    cut,
    is_baseline,
    line_of,
    listed,
    logprobs_of,
    read_baseline,
    read_prompts,
)
from vlm_acceptance.stats.spread import spread
from vlm_acceptance.workloads import logprobs as requests

BASELINES = ROOT / "fixtures" / "baselines"
ROW = {
    "id": "a",
    "prompt": "What?",
    "pictures": ["ocr/sign-1.png"],
    "system": "",
    "max_tokens": 9,
    "text": "ok",
    "tokens": [5, 4],
    "top": [{"5": -0.05, "7": -8.0}, {"4": -0.01}],
}


def entry(token: str, p: float, **others: float) -> dict[str, Any]:
    top = [{"token": token, "logprob": p}, *({"token": f"token_id:{n[1:]}", "logprob": q} for n, q in others.items())]
    return {"token": token, "logprob": p, "bytes": None, "top_logprobs": top}


def answered(logprobs: object, status: int = 200) -> Exchange:
    choice = {"message": {"content": "ok"}, "finish_reason": "stop", "logprobs": logprobs}
    body = json.dumps({"choices": [choice], "model": "m"}).encode()
    return Exchange("x", Request("POST", "/"), "", 0, 1, status=status, body=body)


def stored(tmp_path: Path, *rows: object) -> Path:
    path = tmp_path / "stored.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def test_an_answer_is_read_by_token_id() -> None:
    content = [entry("token_id:5", -0.05, t7=-8.0), entry("token_id:4", -0.01)]
    served = logprobs_of(answered({"content": content}))
    assert isinstance(served, LogProbs)
    assert (served.text, served.tokens) == ("ok", (5, 4))
    assert [dict(listed) for listed in served.top] == [{5: -0.05, 7: -8.0}, {4: -0.01}]


@pytest.mark.parametrize(
    "logprobs", [None, {}, {"content": None}, {"content": []}, {"content": [entry("The", -0.1)]}], ids=str
)
def test_an_answer_without_log_probabilities_is_not_a_reply(logprobs: object) -> None:
    missing = logprobs_of(answered(logprobs))
    assert isinstance(missing, NoReply)
    assert "no log probabilities" in missing.reason


def test_a_refused_request_has_no_log_probabilities() -> None:
    refused = logprobs_of(answered(None, status=500))
    assert isinstance(refused, NoReply)
    assert refused.reason.startswith("HTTP 500")


def test_a_row_is_read_and_written_alike(tmp_path: Path) -> None:
    known = read_baseline(stored(tmp_path, ROW))
    assert json.loads(line_of(known[0])) == ROW
    assert known[0].prompt == LogProbPrompt("a", "What?", ("ocr/sign-1.png",), "", 9)


@pytest.mark.parametrize(
    "change",
    [{"tokens": []}, {"tokens": [5]}, {"top": [{"7": -8.0}, {"4": -0.01}]}, {"tokens": ["x", 4]}, {"top": None}],
    ids=str,
)
def test_a_broken_row_is_refused_in_one_line(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(UsageProblem, match="line 2 is not a valid row of log probabilities: ") as refused:
        read_baseline(stored(tmp_path, ROW, {**ROW, "id": "b", **change}))
    assert "\n" not in str(refused.value)


def test_an_id_twice_an_empty_file_and_no_file_are_refused(tmp_path: Path) -> None:
    for path, why in (
        (stored(tmp_path, ROW, ROW), "occurs twice"),
        (tmp_path / "none.jsonl", "cannot be read"),
    ):
        with pytest.raises(UsageProblem, match=why):
            read_baseline(path)
    with pytest.raises(UsageProblem, match="holds no row"):
        read_baseline(stored(tmp_path))


def test_a_baseline_is_recognized_by_its_content(tmp_path: Path) -> None:
    assert is_baseline(stored(tmp_path, ROW))
    assert not is_baseline(BASELINES / "prompts.jsonl")
    assert not is_baseline(ROOT / "fixtures" / "control" / "expected.jsonl")
    assert not is_baseline(stored(tmp_path, [1]))
    assert not is_baseline(tmp_path / "none")
    (tmp_path / "other").write_bytes(b"\xff\xfe\n")
    assert not is_baseline(tmp_path / "other")


def test_blank_lines_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "spaced.jsonl"
    path.write_text(f"\n  \n{json.dumps(ROW)}\n\n", "utf-8")
    assert is_baseline(path)
    assert len(read_baseline(path)) == 1


def test_the_controls_baseline_holds_every_prompt_and_the_trained_answers() -> None:
    known = read_baseline(BASELINES / "control.jsonl")
    assert tuple(row.prompt for row in known) == read_prompts(BASELINES / "prompts.jsonl")
    lines = (ROOT / "fixtures" / "control" / "expected.jsonl").read_text("utf-8").splitlines()
    taught = {row["id"]: row["answer"] for row in map(json.loads, lines)}
    small = [row for row in known if not row.prompt.id.startswith("large/")]  # no answer to the large ones was taught
    assert [row.logprobs.text for row in small] == [taught[row.prompt.id] for row in small]
    assert (len(small), len(known)) == (129, 155)
    assert all(len(listed) == 20 for row in known for listed in row.logprobs.top)
    assert all((ROOT / "fixtures" / "images" / name).is_file() for row in known for name in row.prompt.pictures)


def test_the_controls_baseline_is_that_of_its_recipe() -> None:
    pytest.importorskip("torch")
    recipe = ROOT / "fixtures" / "control" / "recipe"
    code = "import json, baseline, greedy; from pathlib import Path; network, words = greedy.loaded(Path(sys.argv[1]))"
    code = f"import sys; {code}; print(json.dumps([greedy.answer(network, words, s) for s in baseline.asked()[::40]]))"
    argv = [sys.executable, "-c", code, str(recipe.parent / "model")]
    env = clean_env({"PYTHONPATH": str(ROOT / "src")})
    done = subprocess.run(argv, cwd=recipe, env=env, capture_output=True, text=True, check=True)
    known = read_baseline(BASELINES / "control.jsonl")[::40]
    for row, (tokens, top) in zip(known, json.loads(done.stdout), strict=True):
        made = LogProbs(row.logprobs.text, tuple(tokens), tuple({int(t): p for t, p in one.items()} for one in top))
        one = difference(row.logprobs, made)
        # the network's own list holds the first five of twenty
        assert (one.diverged, len(one.listed)) == (None, 5 * len(tokens))
        assert max(one.listed) < 0.001  # processors round differently


def test_smokes_sample_asks_about_large_pictures() -> None:
    sample = spread(read_prompts(BASELINES / "prompts.jsonl"), 12)
    assert sum(prompt.id.startswith("large/") for prompt in sample) == 2


def test_a_sample_is_spread_over_all_prompts() -> None:
    assert spread(range(129), 12) == [0, 10, 21, 32, 43, 53, 64, 75, 86, 96, 107, 118]
    assert spread(range(3), 12) == [0, 1, 2]
    assert all(len(set(spread(range(129), count))) == count for count in range(1, 130))


def test_a_prompt_is_asked_with_its_pictures_and_system_message() -> None:
    asked = LogProbPrompt("a", "What?", ("ocr/sign-1.png",), "Be brief.", 9)
    body = requests.logprob_body("m", asked, ROOT / "fixtures" / "images")
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert (body["max_tokens"], body["top_logprobs"], body["temperature"]) == (9, 5, 0.0)
    offline = requests.offline_requests([asked], ROOT / "fixtures" / "images")[0]
    assert offline["messages"] == body["messages"]
    assert offline["sampling"] == {"max_tokens": 9, "logprobs": 5}


def test_stored_rows_are_values() -> None:
    one, two = (read_baseline(BASELINES / "control.jsonl")[0] for _ in range(2))
    assert isinstance(one, StoredLogProbs)
    assert one == two


def lists(*counts: int) -> LogProbs:
    """An answer whose places list so many tokens, its own first."""
    tops = tuple({token: -0.1 - token for token in range(count)} for count in counts)
    return LogProbs("x", (0,) * len(counts), tops)


@pytest.mark.parametrize(
    ("counts", "asked"),
    [
        ((20, 20, 20), 20),
        ((20, 5, 20), 20),  # one damaged place
        ((21, 20, 21, 21), 20),  # the own token is one more
        ((5, 5, 6, 20), 5),
        ((5, 20), 20),  # of two that are as usual, the one that asks for more
        ((40, 40), 20),
        ((), 5),
    ],
)
def test_a_short_list_does_not_shorten_what_is_asked_for(counts: tuple[int, ...], asked: int) -> None:
    rows = [StoredLogProbs(LogProbPrompt(str(n), "Hi"), lists(count)) for n, count in enumerate(counts)]
    assert listed(rows) == asked


def test_lists_are_cut_to_what_was_asked_for() -> None:
    long = lists(3, 7, 5)
    assert cut(long, 7) is long
    short = cut(long, 5)
    assert [list(one) for one in short.top] == [[0, 1, 2], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]
    assert (short.text, short.tokens) == (long.text, long.tokens)
    known, seen = lists(20, 20), lists(5, 5)
    assert difference(known, seen).possible == 40
    change = difference(cut(known, 5), seen)
    assert (change.possible, len(change.listed)) == (10, 10)


def test_a_cut_list_keeps_its_own_token() -> None:
    one = LogProbs("x", (9,), ({1: -0.5, 2: -0.7, 3: -3.0, 9: -4.0},))
    assert dict(cut(one, 2).top[0]) == {1: -0.5, 2: -0.7, 9: -4.0}
    tie = LogProbs("x", (9,), ({1: -0.5, 2: -0.7, 9: -0.7},))
    assert dict(cut(tie, 2).top[0]) == {1: -0.5, 9: -0.7}


def test_a_baseline_with_a_byte_order_mark_is_one(tmp_path: Path) -> None:
    path = tmp_path / "marked.jsonl"
    path.write_text("\ufeff" + json.dumps(ROW) + "\n", "utf-8")
    assert is_baseline(path)
    assert len(read_baseline(path)) == 1


def test_what_a_broken_row_names_controls_no_terminal(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match=r"top.0.a.x1b\[2J.n") as refused:
        read_baseline(stored(tmp_path, {**ROW, "top": [{"5": -0.1, "a\x1b[2J\n": -1.0}, {"4": -0.01}]}))
    assert str(refused.value).isprintable()


NO_NUMBERS = ("NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 400, '"NaN"', '"-0.5"', "true", "null", "[]", "{}")


@pytest.mark.parametrize("written", [*NO_NUMBERS, "0.5"], ids=lambda written: written[:10])
def test_a_log_probability_that_is_none_is_refused_when_a_baseline_is_read(tmp_path: Path, written: str) -> None:
    path = tmp_path / "stored.jsonl"
    path.write_text(json.dumps(ROW).replace("-8.0", written) + "\n", "utf-8")
    assert is_baseline(path)
    with pytest.raises(UsageProblem, match=r"line 1 is not (valid JSON|a valid row of log probabilities): ") as seen:
        read_baseline(path)
    assert "\n" not in str(seen.value)


@pytest.mark.parametrize("written", [*NO_NUMBERS, "-1", "4.0"], ids=lambda written: written[:10])
@pytest.mark.parametrize("place", ["tokens", "max_tokens"])
def test_a_count_or_token_id_that_is_none_is_refused_when_a_baseline_is_read(
    tmp_path: Path, place: str, written: str
) -> None:
    path = tmp_path / "stored.jsonl"
    good = {"tokens": '"tokens": [5, 4]', "max_tokens": '"max_tokens": 9'}[place]
    bad = good.replace("4", written) if place == "tokens" else good.replace("9", written)
    path.write_text(json.dumps(ROW).replace(good, bad) + "\n", "utf-8")
    with pytest.raises(UsageProblem, match="line 1 is not "):
        read_baseline(path)


@pytest.mark.parametrize("written", NO_NUMBERS, ids=lambda written: written[:10])
@pytest.mark.parametrize("good", ["-8.0", "-0.01"])
def test_a_log_probability_that_is_none_makes_no_answer(good: str, written: str) -> None:
    content = [entry("token_id:5", -0.05, t7=-8.0), entry("token_id:4", -0.01)]
    sound = answered({"content": content})
    assert isinstance(logprobs_of(sound), LogProbs)
    missing = logprobs_of(replace(sound, body=sound.body.replace(good.encode(), written.encode())))
    assert isinstance(missing, NoReply)
    if written in ("NaN", "Infinity", "-Infinity"):
        assert f"BadNumber: {written} at $.choices[0].logprobs.content[" in missing.reason

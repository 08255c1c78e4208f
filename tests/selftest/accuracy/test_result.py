"""A finished run: whole, stopped or lost; its picture ablation, its comparisons, and its sentences."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support import made_accuracy as made
from tests.support.made_run import answered, failed

from vlm_acceptance.accuracy import criteria, report
from vlm_acceptance.accuracy.answers_file import AnswerFile
from vlm_acceptance.accuracy.baseline import Comparison
from vlm_acceptance.accuracy.criteria import TokenCount
from vlm_acceptance.accuracy.early_stop import Stop
from vlm_acceptance.accuracy.item import Answer, PictureFile, PreparedRequest
from vlm_acceptance.accuracy.plan import AccuracyPlan
from vlm_acceptance.accuracy.result import golden_answers
from vlm_acceptance.config.profile import Paired
from vlm_acceptance.core.errors import EnvironmentProblem, NotRun, UsageProblem
from vlm_acceptance.core.finding import Finding

REFERENCE = {"references": {"half": {"score": 50, "correct": 450, "total": 900, "source": "a card"}}}


def right(plan: AccuracyPlan) -> dict[str, Answer]:
    return made.answers_with(plan, made.right_texts(plan))


def stored(path: Path, answers: dict[str, Answer]) -> Path:
    with AnswerFile.create(path, {"benchmark": "made"}) as file:
        for answer in answers.values():
            file.add(answer)
    return path


def test_a_whole_run_is_complete_and_scored_by_every_scorer(tmp_path: Path) -> None:
    plan = made.plan(tmp_path)
    run = made.accuracy(plan, right(plan) | made.answers_with(plan, {plan.order[0]: "D"}))
    assert (run.total, run.answered, run.right) == (12, 12, 11)
    assert run.right_by_scorer == {made.RECORD: 11, made.OTHER: 12}
    assert run.incomplete == ""
    run.require_whole()
    assert report.score_properties(run)["right"] == "11/12"
    assert report.score_properties(run)[f"scorer.{made.OTHER}"] == "12/12"
    assert {"subject.Art", "subject.Music", "subject.Math"} <= report.score_properties(run).keys()
    assert report.run_properties(run)["answered"] == "12/12"
    assert report.run_properties(run)["questions_per_s"] == 6.0


def test_the_deciding_scorer_is_that_of_the_profile(tmp_path: Path) -> None:
    plan = made.plan(tmp_path, scorer=made.OTHER)
    assert made.accuracy(plan, made.answers_with(plan, dict.fromkeys(plan.order, "D"))).right == 12


@pytest.mark.parametrize("status", ["lost", "refused"])
def test_only_a_lost_question_makes_a_run_incomplete(tmp_path: Path, status) -> None:
    plan = made.plan(tmp_path)
    last = plan.order[-1]
    run = made.accuracy(plan, {**right(plan), last: failed(last, status, "reset: by peer")})
    assert (run.incomplete != "") == (status == "lost")
    with pytest.raises(NotRun, match="1 of 12 questions have no answer"):
        run.require_whole()
    assert (criteria.refusals(run.total, run.answers) != []) == (status == "refused")


def test_a_question_that_was_not_asked_makes_a_run_incomplete(tmp_path: Path) -> None:
    plan = made.plan(tmp_path)
    answers = right(plan)
    del answers[plan.order[3]]
    run = made.accuracy(plan, answers)
    assert run.incomplete == "1 of 12 questions were not asked"
    with pytest.raises(NotRun):
        run.require_whole()


@pytest.mark.parametrize("cause", ["score", "letters", "refused"])
def test_a_run_stopped_by_its_own_answers_is_judged_and_not_incomplete(tmp_path: Path, cause: str) -> None:
    plan = made.plan(tmp_path)
    answers = {ident: answer for ident, answer in right(plan).items() if ident in plan.order[:5]}
    run = made.accuracy(plan, answers, stop=Stop(cause, "so it is", 5))
    assert run.incomplete == ""
    with pytest.raises(NotRun, match="stopped after 5 of 12 questions"):
        run.require_whole()


def test_a_run_stopped_for_its_endpoint_is_incomplete(tmp_path: Path) -> None:
    run = made.accuracy(made.plan(tmp_path), {}, stop=Stop("endpoint", "4 requests in a row", 4))
    assert run.incomplete == "stopped after 4 of 12 questions: 4 requests in a row"


def test_a_run_without_answers_has_metrics(tmp_path: Path) -> None:
    plan = made.plan(tmp_path)
    run = made.accuracy(plan, {ident: failed(ident, "refused", "500") for ident in plan.order})
    assert (run.right, run.answered, criteria.most_answers(run.shape)) == (0, 0, "")
    assert report.run_properties(run)["answered"] == "0/12"
    assert report.shape_properties(run)["letters"] == ""


@pytest.mark.parametrize(
    ("text", "look"),
    [
        ("", "; 12 of 12 answers are empty"),
        ("what?", "; 9 of 9 answers name no option"),
        ("Z", "; 12 of 12 answers decline"),
        ("B", "; 9 of 9 answers are B"),
    ],
)
def test_poor_answers_are_described(tmp_path: Path, text: str, look: str) -> None:
    plan = made.plan(tmp_path)
    assert (
        criteria.most_answers(made.accuracy(plan, made.answers_with(plan, dict.fromkeys(plan.order, text))).shape)
        == look
    )


def test_cut_answers_are_described_and_right_ones_are_not(tmp_path: Path) -> None:
    plan = made.plan(tmp_path)
    assert criteria.most_answers(made.accuracy(plan, right(plan)).shape) == ""
    cut = {ident: replace(answer, finish_reason="length") for ident, answer in right(plan).items()}
    assert criteria.most_answers(made.accuracy(plan, cut).shape) == "; 12 of 12 answers are cut by max_tokens"


def test_findings_about_a_question_have_file_and_repeat_command(tmp_path: Path) -> None:
    plan = made.plan(tmp_path)
    run = made.accuracy(plan, right(plan))
    ident = plan.order[0]
    about, whole = run.with_repeat([Finding("x", "a", "b", ident), Finding("y", "a", "b", "somewhere else")])
    assert about.evidence == f"{run.file} ({ident})"
    assert about.repeat == f"ask {ident}"
    assert (whole.evidence, whole.repeat) == (str(run.file), "")


def test_tokens_follow_text_and_tiles_of_every_question(tmp_path: Path) -> None:
    plan = made.plan(tmp_path)
    assert criteria.wrong_tokens(made.accuracy(plan, right(plan)).token_counts(), made.TILE_TOKENS) == []
    ident = plan.order[5]
    wrong = right(plan) | {ident: answered(ident, "A", prompt_tokens=made.TEXT_TOKENS + 2 * made.TILE_TOKENS)}
    found = criteria.wrong_tokens(made.accuracy(plan, wrong).token_counts(), made.TILE_TOKENS)
    assert [(one.where, one.expected) for one in found] == [(ident, "16 tokens of pictures beside those of the text")]


def with_size(request: PreparedRequest, width: int, height: int) -> PreparedRequest:
    """The request with its first picture in another size."""
    return replace(request, pictures=(replace(request.pictures[0], width=width, height=height),))


def test_tokens_are_compared_for_answered_questions_only(tmp_path: Path) -> None:
    picture, small = PictureFile("p.png", "p", 300, 200), PictureFile("s.png", "s", 8, 8)
    asked = [
        PreparedRequest("both", "", "x", (picture, small), {}, max_tiles=6),
        PreparedRequest("one", "", "y", (small,), {}),
        PreparedRequest("lost", "", "z", (small,), {}),
        PreparedRequest("never", "", "v", (small,), {}),
    ]
    answers = {
        "both": answered("both", "A", prompt_tokens=75),
        "one": answered("one", "B", prompt_tokens=None),
        "lost": failed("lost", "lost", "x"),
    }

    plan: Any = replace(made.plan(tmp_path), prompts=None)
    requests = SimpleNamespace(
        requests=lambda: asked, picture_cost=plan.picture_cost, counting_requests=plan.counting_requests
    )
    counted_small, counted_text = plan.counting_requests(asked[0])
    counted = {counted_small.sha256: 48, counted_text.sha256: 15}
    run: Any = replace(made.accuracy(made.plan(tmp_path), answers), plan=requests, counted=counted)
    tiles = (7 + 1) * made.TILE_TOKENS
    assert list(run.token_counts()) == [
        TokenCount("both", 75, tiles, 48, 2 * made.TILE_TOKENS, 15),
        TokenCount("one", None, made.TILE_TOKENS, None, made.TILE_TOKENS, None),
    ]


def test_pictures_cost_tiles_and_a_thumbnail_under_the_limit_of_the_request(tmp_path: Path) -> None:
    plan = made.plan(tmp_path)
    request = with_size(plan.request(plan.order[0]), 32, 16)
    assert plan.picture_cost(request) == 9 * made.TILE_TOKENS
    assert plan.picture_cost(replace(request, max_tiles=2)) == 3 * made.TILE_TOKENS
    assert plan.picture_cost(replace(request, max_tiles=1)) == made.TILE_TOKENS
    assert plan.picture_cost(replace(request, pictures=request.pictures * 2)) == 18 * made.TILE_TOKENS


def test_tokens_beside_the_tiles_are_counted_with_white_pictures_of_one_tile_and_without_any(tmp_path: Path) -> None:
    plan = made.plan(tmp_path)
    request = with_size(plan.request(plan.order[0]), 32, 16)
    request = replace(request, pictures=request.pictures * 2, max_tiles=4)
    small, text = plan.counting_requests(request)
    assert (small.system, small.text, small.max_tiles) == (request.system, request.text, 4)
    assert [(one.width, one.height) for one in small.pictures] == 2 * [(plan.rule.tile_px, plan.rule.tile_px)]
    assert plan.picture_cost(small) == 2 * made.TILE_TOKENS
    assert (text.system, text.text, text.pictures) == (request.system, plan.dataset.text_only_prompt(request), ())
    assert {one.params["max_tokens"] for one in (small, text)} == {1}


def test_tiles_of_the_served_model_take_precedence_over_the_profile(tmp_path: Path) -> None:
    plan = made.plan(tmp_path)
    served = replace(plan, served_rule=replace(plan.rule, tokens_per_tile=7, max_tiles=2))
    assert served.picture_cost(with_size(plan.request(plan.order[0]), 32, 16)) == 3 * 7


def test_blank_pictures_are_compared_over_their_sample_only(tmp_path: Path) -> None:
    plan = made.plan(tmp_path, sighted={"sample": 6, "margin": 0.5})
    texts = made.right_texts(plan)
    assert plan.blank_ids == plan.order[:6]
    blind = {ident: (texts[ident] if n < 3 else "D") for n, ident in enumerate(plan.blank_ids)}
    run = made.accuracy(plan, right(plan), blind)
    seen = run.picture_ablation()
    assert (seen.questions, seen.right, seen.blank) == (6, 6, 3)
    assert criteria.ignores_pictures(seen.right, seen.blank, seen.questions, plan.wanted.sighted) == []
    more = made.accuracy(plan, right(plan), {**blind, plan.blank_ids[3]: texts[plan.blank_ids[3]]}).picture_ablation()
    assert criteria.ignores_pictures(more.right, more.blank, more.questions, plan.wanted.sighted) != []


def test_a_lost_question_with_blank_pictures_makes_the_ablation_impossible(tmp_path: Path) -> None:
    plan = made.plan(tmp_path, sighted={"sample": 3})
    run = made.accuracy(plan, right(plan), dict.fromkeys(plan.blank_ids[:2], "A"))
    with pytest.raises(EnvironmentProblem, match="1 of 3 questions of the picture ablation"):
        run.picture_ablation()
    lost = {**run.blank_answers, plan.blank_ids[2]: failed(plan.blank_ids[2], "lost", "x")}
    with pytest.raises(EnvironmentProblem, match="1 of 3"):
        replace(run, blank_answers=lost).picture_ablation()


def test_a_lost_question_of_the_sample_makes_the_ablation_impossible_and_breaks_no_report(tmp_path: Path) -> None:
    plan = made.plan(tmp_path, sighted={"sample": 3})
    answers = {**right(plan), plan.blank_ids[1]: failed(plan.blank_ids[1], "lost", "x")}
    run = made.accuracy(plan, answers, dict.fromkeys(plan.blank_ids, "A"))
    with pytest.raises(EnvironmentProblem, match="1 of 3"):
        run.picture_ablation()
    about = report.about(plan, "cpu", {}, "m", {})
    assert report.describe(run, about, None)


def test_a_stored_run_is_scored_by_the_same_scorer_question_by_question(tmp_path: Path) -> None:
    plan = made.plan(tmp_path)
    before = stored(tmp_path / "before.jsonl", right(plan) | made.answers_with(plan, {plan.order[0]: "D"}))
    now = made.accuracy(plan, right(plan) | made.answers_with(plan, dict.fromkeys(plan.order[1:4], "D")))
    seen = now.compared_with(before)
    assert (seen.compared, len(seen.lost), seen.gained) == (12, 3, (plan.order[0],))
    assert set(seen.lost) == set(plan.order[1:4])
    assert seen.p == pytest.approx(5 / 16)
    assert criteria.worse_than_baseline(seen, plan.wanted.paired) == []
    shown = report.paired_properties(seen, plan.wanted.paired)
    assert (shown["lost"], shown["gained"], shown["gained_ids"]) == (3, 1, plan.order[0])


def test_a_run_that_lost_much_against_a_stored_one_is_refused(tmp_path: Path) -> None:
    plan = made.plan(tmp_path)
    before = stored(tmp_path / "before.jsonl", right(plan))
    now = made.accuracy(plan, right(plan) | made.answers_with(plan, dict.fromkeys(plan.order[:7], "D")))
    found = criteria.worse_than_baseline(now.compared_with(before), plan.wanted.paired)
    assert [one.check for one in found] == ["accuracy.paired"]


def test_a_stored_run_of_other_questions_is_refused_in_one_line(tmp_path: Path) -> None:
    plan = made.plan(tmp_path)
    foreign = stored(tmp_path / "foreign.jsonl", {"x": answered("x", "A")})
    with pytest.raises(UsageProblem) as raised:
        made.accuracy(plan, right(plan)).compared_with(foreign)
    assert "\n" not in str(raised.value)
    assert "foreign.jsonl" in str(raised.value)


def test_many_lost_questions_are_named_up_to_forty() -> None:
    seen = Comparison(tuple(f"q{n}" for n in range(41)), (), 59, 0)
    shown = report.paired_properties(seen, Paired())
    assert shown["lost_ids"].endswith("q39 and 1 more")
    assert shown["gained_ids"] == ""


def test_golden_answers_are_read_from_lines(tmp_path: Path) -> None:
    plan = made.plan(tmp_path)
    run = made.accuracy(plan, right(plan))
    known = tmp_path / "known.jsonl"
    rows = [{"id": ident, "answer": text, "more": 1} for ident, text in made.right_texts(plan).items()]
    known.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n", "utf-8")
    assert criteria.unlike_golden_answers(golden_answers(known), run.answers) == []
    other = replace(run, answers=right(plan) | made.answers_with(plan, {plan.order[2]: "D"}))
    assert [one.where for one in criteria.unlike_golden_answers(golden_answers(known), other.answers)] == [
        plan.order[2]
    ]


@pytest.mark.parametrize("line", ['{"id": "x"}', "[1]", "no json", '{"id": 1, "answer": "A"}'])
def test_an_invalid_line_of_golden_answers_is_reported_with_its_file(tmp_path: Path, line: str) -> None:
    known = tmp_path / "known.jsonl"
    known.write_text('{"id": "a", "answer": "A"}\n' + line + "\n", "utf-8")
    with pytest.raises(UsageProblem, match=r"known\.jsonl: line 2"):
        golden_answers(known)


def test_the_statements_name_limits_and_detectable_drop(tmp_path: Path) -> None:
    limits = {"min_correct": None, "max_correct": None, "reference": "half", "early_stop": True}
    said = report.statements(made.accuracy(made.plan(tmp_path, REFERENCE, **limits), {}))
    assert len(said) == 3
    assert said[0].startswith("3 to 11 of 12 right are accepted: 450 of 900 (a card)")
    assert "below 450 of 900 is refused with a probability of 80 %" in said[1]
    assert said[2] == (
        "an early stop rejects a run that would reach 3 right with a probability of at most 1 %, and a run without a "
        "letter in more than 60% of its choices with at most 0.1 %"
    )


def test_the_statements_omit_a_reference_or_a_stop_that_the_profile_does_not_have(tmp_path: Path) -> None:
    plan = made.plan(tmp_path, REFERENCE)
    assert report.statements(made.accuracy(plan, {})) == [
        "0 to 12 of 12 right are accepted: the profile's numbers (mmmu.min_correct, mmmu.max_correct)"
    ]


def test_data_of_another_name_than_the_profile_requires_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match=r"contains made, but .* requires MMMU_val \(mmmu.dataset\): make"):
        made.plan(tmp_path, dataset="MMMU_val")


def test_the_identity_contains_only_what_can_change_an_answer(tmp_path: Path) -> None:
    def identity(more: dict | None = None, **mmmu) -> dict:
        return made.plan(tmp_path, more, **mmmu).identity({"engine": "server"})

    same = identity()
    assert identity({"engine": {"port": 1, "start_timeout_s": 9}, "offline": {"timeout_s": 5}}) == same
    assert identity(concurrency=3, early_stop=True, scorer=made.OTHER, retried=0.5) == same
    for changed in (
        identity({"engine": {"args": ["--x"]}}),
        identity({"engine": {"env": {"A": "1"}}}),
        identity(max_tokens=9),
        identity(system_message=False),
        identity(protocol="official"),
    ):
        assert changed != same


def test_arguments_of_the_offline_engine_count_only_if_it_answers(tmp_path: Path) -> None:
    float32 = {"llm": {"dtype": "float32"}}
    server, offline = ({"engine": name} for name in ("server", "offline"))
    assert made.plan(tmp_path, **float32, **server).identity({}) == made.plan(tmp_path, **server).identity({})
    assert made.plan(tmp_path, **float32, **offline).identity({}) != made.plan(tmp_path, **offline).identity({})

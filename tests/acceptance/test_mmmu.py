"""MMMU_val: is the score within its limits, and are the answers those of a model that sees? One test per criterion."""

import pytest

from vlm_acceptance.accuracy import criteria, report
from vlm_acceptance.accuracy.result import golden_answers
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.errors import EnvironmentProblem
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.run.inputs import existing

pytestmark = [pytest.mark.slow, pytest.mark.needs("mmmu")]


def test_every_question_is_answered(accuracy, context, findings):
    """Every question MUST get one completion; a lost request makes the run inconclusive."""
    findings.note(**report.run_properties(accuracy))
    findings.add(accuracy.with_repeat(criteria.refusals(accuracy.total, accuracy.answers)))
    lost = accuracy.incomplete
    if lost and accuracy.by_server:
        context.ready_deployment()  # an engine that died under the questions is a failure, not a lost request
    if lost and not findings.all:
        raise EnvironmentProblem(f"{lost}: the score is not judged")
    accuracy.require_whole()


@pytest.mark.needs("mmmu_early_stop")
def test_no_early_rejection(accuracy, findings):
    """The answers in their planned order MUST NOT show that the lower limit is out of reach."""
    stop = accuracy.stop
    if stop is not None and stop.cause != "score":
        accuracy.require_whole()
    findings.note(alpha=accuracy.plan.wanted.early_stop_alpha)
    if stop is not None:
        expected = f"a run that can still reach {accuracy.plan.limits.low} right answers"
        seen = f"{stop.reason}{criteria.most_answers(accuracy.shape)}"
        findings.add([Finding(kinds.ACCURACY_HOPELESS, expected, seen, f"after {stop.after} questions")])


@pytest.mark.needs("oracle")
def test_pictures_arrive_tiled_as_intended(accuracy, findings):
    """Prompt tokens of every answer MUST be those of its text and of its pictures by the tile formula."""
    if not accuracy.counted:
        accuracy.require_whole()
    tile = accuracy.plan.rule.tokens_per_tile
    findings.add(accuracy.with_repeat(criteria.wrong_tokens(accuracy.token_counts(), tile)))
    findings.note(answers=accuracy.answered)
    doubt = criteria.uncounted_tokens(accuracy.token_counts())
    if doubt:
        raise EnvironmentProblem(f"the tiles are not judged: {doubt}")


def test_score_is_within_its_limits(accuracy, findings):
    """Right answers MUST reach the lower limit; above the upper one the protocol is in doubt, not the model."""
    accuracy.require_whole()
    limits = accuracy.plan.limits
    findings.note(**report.score_properties(accuracy))
    findings.add(criteria.score_too_low(accuracy.right, accuracy.total, limits))
    doubt = criteria.score_too_high(accuracy.right, accuracy.total, limits)
    if doubt:
        raise EnvironmentProblem(doubt)


def test_answers_have_the_shape_of_a_models(accuracy, findings):
    """Answers MUST NOT be empty, cut, declined, unreadable, or the same letter beyond the profile's shares."""
    stop, limits = accuracy.stop, accuracy.plan.wanted.shape
    findings.note(**report.shape_properties(accuracy))
    if stop is not None and stop.cause == "letters":
        expected = f"no letter in more than {limits.top_letter:.0%} of the choices"
        findings.add([Finding(kinds.ACCURACY_ONE_LETTER, expected, stop.reason, f"after {stop.after} questions")])
        return
    if stop is not None or not accuracy.answered:
        accuracy.require_whole()  # a few answers give no shares; the criterion that stopped the run decides
    findings.add(criteria.wrong_shape(accuracy.shape, limits))


@pytest.mark.needs("mmmu_sighted")
def test_blank_pictures_score_lower(accuracy, findings):
    """The same questions with blank pictures MUST score lower by the profile's margin."""
    accuracy.require_whole()
    ablation = accuracy.picture_ablation()
    findings.note(questions=ablation.questions, right=ablation.right, right_on_blank=ablation.blank)
    findings.add(
        criteria.ignores_pictures(ablation.right, ablation.blank, ablation.questions, accuracy.plan.wanted.sighted)
    )


@pytest.mark.needs("mmmu_baseline")
def test_not_worse_than_the_baseline(accuracy, context, findings):
    """Against a stored run the loss, question by question, MUST NOT be significant."""
    accuracy.require_whole()
    compared, limits = accuracy.compared_with(context.settings.baseline), accuracy.plan.wanted.paired
    findings.note(**report.paired_properties(compared, limits))
    findings.add(criteria.worse_than_baseline(compared, limits))


@pytest.mark.needs("mmmu_known")
def test_answers_match_the_golden_ones(accuracy, findings):
    """A deployment whose answers are known MUST give every one of them, and every scorer its known count."""
    golden = golden_answers(existing(accuracy.plan.wanted.known_answers))
    answered = {ident for ident, answer in accuracy.answers.items() if answer.text is not None}
    golden = {ident: text for ident, text in golden.items() if ident in answered}  # missing answers fail another test
    findings.add(accuracy.with_repeat(criteria.unlike_golden_answers(golden, accuracy.answers)))
    accuracy.require_whole()
    findings.add(criteria.unlike_golden_scores(accuracy.plan.wanted.known_scores, accuracy.right_by_scorer))
    findings.note(**accuracy.right_by_scorer)

"""Two greedy answers to one request: which differences are near-ties of two tokens, and which are faults."""

from __future__ import annotations

import pytest

from vlm_acceptance.checks.agreement import agreement, spelling
from vlm_acceptance.core.spelling import Spelled

TIE = 0.5


def spelled(*tokens: str, text: str | None = None, **ties: tuple[str, float]) -> Spelled:
    """Each token certain but for `tN=(other, gap)`: at token N another one is only `gap` nats behind."""
    far = (("?", -9.0), ("!", -9.5))
    others = [far] * len(tokens)
    for place, (other, gap) in ties.items():
        others[int(place[1:])] = ((other, -0.1 - gap), *far)
    whole = "".join(tokens).removesuffix("<|im_end|>") if text is None else text
    return Spelled(whole, tokens, (-0.1,) * len(tokens), tuple(others))


PLAIN = spelled("A", " red", " car", " here", "<|im_end|>", t1=(" blue", 0.2), t2=(" van", 0.8), t4=(" now", 0.1))


@pytest.mark.parametrize(
    ("other", "gap"),
    [
        (Spelled("A blue van there"), 0.2),
        (spelled("A", " blue", " sky"), 0.2),
        (Spelled("A red car here now and then"), 0.1),
    ],
)
def test_a_first_difference_at_a_near_tie_is_accepted(other: Spelled, gap: float) -> None:
    for one, two in ((PLAIN, other), (other, PLAIN)):
        found = agreement(one, two, TIE)
        assert (found.is_equal, found.is_accepted, found.gap) == (False, True, pytest.approx(gap))


@pytest.mark.parametrize(
    "other",
    [
        Spelled("A green car here"),  # not among the likeliest
        Spelled("A red van here"),  # too far behind
        Spelled("A car here"),  # a lost piece
        Spelled("A red red car here"),
        Spelled("A red car"),  # cut: the end is not among the likeliest
        Spelled("A"),
        Spelled(""),
        Spelled("Ared car here"),
        spelled("A", " red", " car", " here", "<|im_end|>", text="A blue car here"),  # same tokens, another text
        spelled("A", " red", " car", " here", text="A blue car here"),
    ],
)
def test_another_difference_is_refused(other: Spelled) -> None:
    assert not agreement(PLAIN, other, TIE).is_accepted
    assert not agreement(other, PLAIN, TIE).is_accepted


def test_a_likely_line_break_excuses_only_a_line_break() -> None:
    known = spelled("Anna", ".", " She", " left", t2=("\n", 0.2))
    assert agreement(known, Spelled("Anna.\nShe went"), TIE).is_accepted
    assert agreement(known, Spelled("Anna."), TIE).gap is not None
    assert not agreement(spelled("Anna", ".", " She", t1=("\n", 0.2)), Spelled("Annabel left"), TIE).is_accepted


def test_equal_texts_agree_without_tokens_and_other_texts_must_be_equal_where_that_is_declared() -> None:
    assert agreement(Spelled("A"), Spelled("A"), None).is_equal
    assert agreement(PLAIN, PLAIN, TIE).is_equal
    declared = agreement(PLAIN, Spelled("A blue van"), None)
    assert (declared.at, declared.is_accepted, str(declared)) == (2, False, "the profile says that texts are equal")


def test_a_difference_without_log_probabilities_cannot_be_judged() -> None:
    found = agreement(Spelled("A red car", why="no log probabilities"), Spelled("A blue car"), TIE)
    assert (found.is_accepted, str(found)) == (False, "it cannot be judged: no log probabilities")


def test_the_message_says_how_far_apart_the_tokens_are() -> None:
    assert "0.80 nats apart" in str(agreement(PLAIN, Spelled("A red van here"), TIE))
    assert "goes on with none of the likeliest tokens" in str(agreement(PLAIN, Spelled("A green car"), TIE))
    assert "from character 2 on, where two tokens are 0.20 nats" in str(agreement(PLAIN, Spelled("A blue car"), TIE))
    assert str(agreement(PLAIN, PLAIN, TIE)) == "equal"


@pytest.mark.parametrize(
    ("known", "other"),
    [
        (spelled("中国", "家", t0=("中", 0.1)), Spelled("中文")),
        (spelled("A", " red", t1=(" re", 0.1)), Spelled("A really")),
        (spelled("A", " re", "d", t1=(" red", 0.1)), Spelled("A redder")),
        (spelled("The", " end", "<|im_end|>", t1=("<|im_end|>", 0.1)), Spelled("The")),
        (spelled("The", " end", t0=("<|im_end|>", 0.1)), Spelled("")),
        (spelled("a", "\n", "b", t1=("\n\n", 0.1)), Spelled("a\n\nb")),
        (spelled("a", "\n", "b", t1=(" b", 0.1)), Spelled("a b")),
        # parts of characters look alike: the tie is at the first part
        (spelled("", "", "据", text="收据", t0=("", 0.1)), spelled("", "", "据", text="叉据")),
        # as vLLM 0.18 shows the second part of a character
        (spelled("", "竫", "", "据", text="站据", t1=("衡", 0.1)), Spelled("行据")),
    ],
)
def test_near_ties_of_parts_ends_and_blanks_are_seen(known: Spelled, other: Spelled) -> None:
    assert agreement(known, other, TIE).is_accepted


def test_a_near_tie_elsewhere_does_not_excuse_a_difference() -> None:
    known = spelled("A", " red", " car", " is", " parked", " here", t1=(" blue", 0.1))
    assert not agreement(known, Spelled("A red car is moved here"), TIE).is_accepted
    with_tokens = spelled("A", " red", " car", " was", text="A blue car was")
    assert not agreement(known, with_tokens, TIE).is_accepted


def test_a_text_must_be_what_its_tokens_spell_or_end_before_its_stop_string() -> None:
    assert spelling(PLAIN) == spelling(Spelled("without tokens")) == []
    (found,) = spelling(spelled("A", " red", text="A blue"), where="ocr")
    assert (found.check, found.where) == ("logprobs.spelling", "ocr")
    assert "'A red'" in found.expected
    stopped = spelled("A", " red", " car", text="A ")
    assert spelling(stopped, "red") == []
    assert spelling(stopped) != []

"""Random choices: the same for the same seed, in every version of Python."""

from __future__ import annotations

from vlm_acceptance.core.chance import Chance


def test_a_seed_gives_the_same_choices_always() -> None:
    chance = Chance(7)
    made = (chance.below(1000), chance.one("abcdef"), chance.some(range(9), 3), chance.number(4), chance.hex(8))
    assert made == (565, "f", [1, 8, 7], "6356", "10b4b139")


def test_other_seeds_give_other_choices() -> None:
    assert len({Chance(seed).hex(16) for seed in (*range(50), "7 soak", "7 x")}) == 52


def test_choices_are_within_their_limits() -> None:
    chance = Chance("limits")
    assert {chance.below(3) for _ in range(99)} == {0, 1, 2}
    assert {len(chance.number(4)) for _ in range(99)} == {4}
    assert sorted(chance.some("abc", 3)) == ["a", "b", "c"]

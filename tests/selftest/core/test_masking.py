"""Secrets in texts: found whole and in parts, whatever cuts or encodes them, and nothing else is touched."""

from __future__ import annotations

import base64
import random
import time

import pytest

from vlm_acceptance.core.masking import Mask, StreamMask, secrets_in
from vlm_acceptance.core.text import trimmed

KEY = "sk-Quite_secret/0123456789+abcdef"


@pytest.fixture(scope="module")
def mask() -> Mask:
    return Mask(KEY)


@pytest.mark.parametrize("at", range(1, len(KEY)))
def test_a_cut_text_keeps_less_than_four_characters(mask: Mask, at: int) -> None:
    cut = trimmed("x" * (299 - at) + KEY)
    assert KEY[:at] in cut
    for shown in (mask(cut), mask(("x " + KEY)[: at + 2])):
        assert KEY[:4] not in shown
    assert KEY[at:][-4:] not in mask(KEY[at:] + " is the rest of a line") or len(KEY) - at < 4


@pytest.mark.parametrize("at", range(len(KEY) - 7))
def test_a_part_of_eight_characters_is_masked_anywhere(mask: Mask, at: int) -> None:
    assert mask(f"<<{KEY[at : at + 8]}>>") == "<<[masked]>>"


@pytest.mark.parametrize("size", [12, 20])
def test_a_part_is_masked_in_base64_and_hexadecimal_too(mask: Mask, size: int) -> None:
    part = KEY[5 : 5 + size].encode()
    assert part.hex() not in mask(f"<{part.hex()}>")
    encoded = base64.b64encode(KEY.encode()).decode()[4 : 4 + size * 4 // 3]
    assert encoded not in mask(f"<{encoded}>")


def test_a_short_secret_is_masked_as_a_whole_only() -> None:
    assert Mask("abcdefg")("abcdef ABCDEFG bcdefg") == "abcdef [masked] bcdefg"


def test_texts_that_a_reader_may_join_are_masked_together(mask: Mask) -> None:
    pieces = ["the ", *KEY, " key"]
    shown = mask.joined(pieces)
    assert [shown[0], shown[-1]] == ["the ", " key"]
    assert set(shown[1:-1]) == {"[masked]"}
    assert mask.joined(["a", "b", KEY]) == ["a", "b", "[masked]"]
    assert mask.joined([]) == []


def test_the_sign_holds_no_part_of_a_secret() -> None:
    for secret in ("masked", "[", "]", "e", "*", "#", "(hidden)", "d", "]x", "y[m"):
        one = Mask(secret)
        assert secret.lower() not in one(f"a {secret}{secret} {secret}x").lower()


def test_other_texts_stay_as_they_are(mask: Mask) -> None:
    texts = [
        "",
        "a\r\nb\\n %41 &amp; \x1b[0m 图 \ud800",
        "sk-",
        "0123456",
        "c2st",
        "736b2d",
        "Quite",
        "\\" * 50,
        "%" * 50,
    ]
    assert [mask(text) for text in texts] == texts
    assert Mask()(KEY) == Mask(None, "")(KEY) == KEY


def test_several_secrets_are_masked_and_the_longer_one_first() -> None:
    assert Mask("token", "token-and-more")("token-and-more token") == "[masked] [masked]"


@pytest.mark.parametrize("seed", range(20))
def test_pieces_of_a_stream_give_what_the_whole_gives(mask: Mask, seed: int) -> None:
    chance = random.Random(seed)
    words = [
        KEY,
        KEY.upper(),
        "sk-Qui",
        "word ",
        "\n",
        "图",
        "%73k-",
        "\\u0073k",
        "&#115;k",
        base64.b64encode(KEY.encode()).decode(),
    ]
    text = " ".join(chance.choice(words) for _ in range(60))
    data, stream, shown, at = text.encode(), StreamMask([KEY]), b"", 0
    while at < len(data):
        step = chance.randint(1, 40)
        shown += stream.feed(data[at : at + step])
        at += step
    shown += stream.flush(final=True)
    assert KEY.lower() not in shown.decode().lower()
    assert shown.decode() == mask(text)


def test_a_stream_keeps_back_no_more_than_the_beginning_of_a_secret() -> None:
    stream = StreamMask([KEY])
    assert stream.feed(b"a line\nand sk-Qui") == b"a line\nand "
    assert stream.feed(b" no") == b"sk-Qui no"
    assert stream.feed(b"\xff\xe5") + stream.flush(final=True) == b"\xff\xe5"


@pytest.mark.parametrize(
    "text",
    [
        "\\" * 400_000,
        "%25" * 130_000,
        "&amp;" * 80_000,
        KEY[:7] * 60_000,
        KEY * 12_000,
        "\n" * 400_000,
        "sk-Quite\n" * 40_000,
    ],
    ids=["backslashes", "percents", "ampersands", "beginnings", "keys", "line ends", "beginnings on lines"],
)
def test_no_text_costs_more_than_its_length(mask: Mask, text: str) -> None:
    began = time.process_time()
    mask(text)
    assert time.process_time() - began < 15  # a second on an idle machine; a quadratic search would take an hour


def test_secrets_of_an_environment_are_known_by_their_names() -> None:
    env = {"VLLM_API_KEY": "1", "HF_TOKEN": "hf_0123456789", "X_PASSWORD": "short", "MY_SECRET": "12345678"}
    env |= {"TOKENIZERS_PARALLELISM": "false-false", "KEYBOARD": "a-long-layout", "SSH_KEY_FILE": "/a/long/path"}
    assert secrets_in(env) == ["1", "12345678", "hf_0123456789"]


@pytest.mark.parametrize("secret", ["straße-µ-Éÿ", "ÀÉÎõü", "\xb5\xdf\xff"])
def test_letters_outside_ascii_are_found_in_either_case(secret: str) -> None:
    for spelling in (secret, secret.upper(), secret.lower(), secret.swapcase()):
        assert Mask(secret)(f"<{spelling}>") == "<[masked]>"

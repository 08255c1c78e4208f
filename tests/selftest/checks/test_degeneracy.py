"""Texts that no sound model writes, and sound texts that look similar."""

from __future__ import annotations

import pytest

from vlm_acceptance.checks.degeneracy import degenerate

PI = (
    "314159265358979323846264338327950288419716939937510582097494459230781640"
    "628620899862803482534211706798214808651328230664709384460955058223172535"
)
CHINESE = (
    "这张图片展示了一条繁忙的街道，两旁有许多商店和餐馆。路边停着几辆自行车，行人正在过马路。"
    "远处可以看到高楼和一座桥，天空是蓝色的，有几朵白云。街道上的牌子写着医院 36 号，旁边还有一家银行。"
    "整个场景看起来很热闹，阳光照在建筑物上，树木的影子落在人行道上。图中还有一只小狗和两个孩子在玩耍。"
)
RECEIPT = """SUN BAKERY
2026-05-14 12:37
==========================================
Coffee            2 x 2.50          5.00
Coffee            2 x 2.50          5.00
Coffee            2 x 2.50          5.00
Tea               1 x 0.00          0.00
------------------------------------------
TOTAL ........................... 57.00
CARD  XXXX XXXX XXXX 1234  XXXXXXXXXXXX1234
******************************************
"""
TABLE = """| Month | Sales | Note |
|-------|-------|------|
| Jan | 10 | N/A |
| Feb | 10 | N/A |
| Mar | 10 | N/A |
| Apr | 10 | N/A |
| May | 10 | N/A |
| Jun | 10 | N/A |
|:---|:---:|---:|---|---|---|---|---|---|---|---|---|
"""
JSON = '{"items": [' + ", ".join(f'{{"name": "item {n}", "price": {n}.50}}' for n in range(1, 31)) + "]}"
CODE = "```python\nfor i in range(10):\n    if i % 2 == 0:\n        print(i, i * i)\n```\n"
# The digits of pi pick among ten words: no phrase comes back, and nothing is said.
WORDS = ("the", "a", "dog", "cat", "red", "blue", "runs", "sits", "and", "with")
SHUFFLED = " ".join(WORDS[int(digit)] for digit in PI)

SOUND = {
    "empty": "",
    "one word": "Mango",
    "a number": "37",
    "sentence": "The sign says RIVER 472.",
    "receipt": RECEIPT,
    "table": TABLE,
    "JSON": JSON,
    "code": CODE,
    "Chinese": CHINESE,
    "long Chinese": CHINESE + "另外，画面右侧的招牌上有电话号码 010-12345678。",
    "Japanese": "看板には「駐車場 24」と書かれています。ラーメン屋もあります。",
    "Korean and Chinese names": "The shop is called 한국 마트 (韓國超市).",
    "equal digits": "1 1 1",
    "row of zeros": "0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0",
    "a matrix": "\n".join(["0 1 0 1 1 0 0 1 0 1"] * 2 + ["1 0 0 1 1 1 0 0 1 0"] * 2) * 3,
    "a large number": "1000000000000",
    "binary": "The code is 10101010101010101010.",
    "laughter": "ha ha ha",
    "more laughter": "hahahaha! 哈哈哈哈",
    "emphasis": "Stop!!! Really???",
    "a rule": "-" * 100,
    "double rules": "Title\n" + "=" * 80 + "\nText\n" + "_" * 80,
    "leader dots": "Chapter 1 " + "." * 90 + " 7",
    "spaced leaders": "Chapter 1 " + ". " * 40 + "7",
    "indent": "a\n" + " " * 60 + "b",
    "blank lines": "a" + "\n" * 10 + "b",
    "listed shapes": "I see " + "a red circle, " * 5 + "and a blue square.",
    "nine circles": ", ".join(["circle"] * 9),
    "nine red circles": ", ".join(["red circle"] * 9),
    "Chinese list": "、".join(["红色圆形"] * 6),
    "not applicable": "N/A " * 10,
    "circle by line": "\n".join(["red circle"] * 9),
    "columns": "Answer:   " + "Yes   " * 8,
    "hex dump": "The bytes are " + "0x00 " * 16,
    "sentence three times": " ".join(["The sign says RIVER 472."] * 3),
    "a few words again": "very very very very good",
    "row of equal figures": "| Total | " + "100 | " * 8,
    "refrain": "Row, row, row your boat, gently down the stream. Merrily, merrily, merrily, merrily.",
    "accents": "Ça coûte 3 € à la crêperie, où l’été « commence » déjà.",
    "quoted accents": "“café” — “Straß” – «é» … naïve, Ångström, São João, ÂNGULO, 20 °C",
    "quoted capitals": "“CAFÉ” “CAFÉ”",
    "Greek in physics": "Δx = 3 µm, λ ≈ 5 Å, Ω, π, ℝ, xⁿ, ½, №",
    "emoji": "Nice 👍🏽 👨‍👩‍👧 ❤️ 🎉🎉🎉",
    "arrows and boxes": "┌──────────┐\n│ A → B    │\n└──────────┘",
    "full width": "总计：１２３４元（含税）",
    "HTML": '<img src="a.png"> <b>bold</b> <br/> a < b > c | d',
    "tabs": "a\tb\tc\r\n1\t2\t3",
}

DEGENERATE = {
    "phrase loop": ("loop", "The map shows the English and " + "the English and " * 8),
    "ordinal loop": ("loop", "a plot " + "of the 104th epoch " * 10),
    "word loop": ("loop", "the " * 15),
    "sentence loop": ("loop", "A man stands in front of a small red house. " * 6),
    "answer over and over": ("loop", " ".join(["Mango"] * 9)),
    "sentence four times": ("loop", " ".join(["The sign says RIVER 472."] * 4)),
    "short sentence over and over": ("loop", " ".join(["Red, green."] * 9)),
    "number over and over": ("loop", " ".join(["37"] * 9)),
    "counting over and over": ("loop", " ".join(["1, 2, 3, 4, 5, 6, 7, 8, 9, 10"] * 30)),
    "word over and over in a sentence": ("loop", "The fruit is a mango mango mango mango mango mango mango"),
    "late loop": ("loop", RECEIPT + "The customer paid in cash and left the shop with two bags. " * 4),
    "paragraph loop": ("loop", CHINESE[:60] * 3),
    "line loop": ("loop", "Total: EUR\n" * 12),
    "Chinese word loop": ("loop", "图片" * 14),
    "Chinese sentence loop": ("loop", "这是一张图片，上面写着字。" * 6),
    "syllable loop": ("loop", "hahahahahahahahahahahaha"),
    "loop without spaces": ("loop", "EnglishandEnglishand" * 5),
    "zeros without end": ("loop", "0 " * 60),
    "exclamation marks": ("run", "!!!!!!!!"),
    "exclamation marks after text": ("run", "The sign says RIVER" + "!" * 40),
    "question marks": ("run", "????????"),
    "full-width marks": ("run", "！！！！！！！！"),
    "one letter": ("run", "aaaaaaaaaaaa"),
    "one Chinese character": ("run", "的的的的的的的的的的"),
    "dashes without end": ("run", "-" * 300),
    "blanks without end": ("run", "a" + "\n" * 200),
    "digits without end": ("run", "1" * 40),
    "replacement character": ("encoding", "The sign says RIV\ufffdR"),
    "German as Latin-1": ("encoding", "StraÃŸe fÃ¼r"),
    "quote as Windows-1252": ("encoding", "It â€™s a sign"),
    "Chinese as Latin-1": ("encoding", "医院三十六号".encode().decode("latin-1")),
    "Chinese as Windows-1252": ("encoding", "ä½ å¥½".replace(" ", "\u00a0")),
    "Russian as Latin-1": ("encoding", "Ð¿Ñ\u0080Ð¸Ð²ÐµÑ\u0082"),
    "Chinese twice decoded": ("encoding", "牌子上写的是锟斤拷锟斤拷"),
    "unset memory": ("encoding", "烫烫烫烫烫"),
    "NUL": ("control", "RIVER\x00 472"),
    "escape": ("control", "\x1b[31mRIVER"),
    "C1 control": ("control", "RIVER \x85"),
    "private use": ("printable", "\ue000\ue001\ue002 RIVER"),
    "unassigned": ("printable", "ab\U000e0fff\uffff"),
    "end of turn": ("special_token", "RIVER 472<|im_end|>"),
    "start of turn": ("special_token", "RIVER<|im_start|>assistant"),
    "end of sequence": ("special_token", "RIVER</s>"),
    "picture token": ("special_token", "<img>RIVER"),
    "picture context": ("special_token", "<IMG_CONTEXT><IMG_CONTEXT>"),
    "unknown token": ("special_token", "<unk>"),
    "token of another model": ("special_token", "RIVER<|eot_id|>"),
    "unused token": ("special_token", "RIVER[UNUSED_TOKEN_145]"),
    "byte token": ("special_token", "RIVER <0xE5><0x8C>"),
    "few words shuffled": ("variety", SHUFFLED),
    "many scripts": ("salad", "river Москва 医院 שלום สวัสดี"),
}


@pytest.mark.parametrize("text", SOUND.values(), ids=SOUND)
def test_a_sound_text_has_no_finding(text: str) -> None:
    assert degenerate(text) == []


@pytest.mark.parametrize(("kind", "text"), DEGENERATE.values(), ids=DEGENERATE)
def test_a_degenerate_text_is_found_and_fatal(kind: str, text: str) -> None:
    found = degenerate(text)

    assert f"degeneracy.{kind}" in {finding.check for finding in found}
    assert all(finding.fatal for finding in found)


def test_special_tokens_of_the_model_are_searched_as_well() -> None:
    assert degenerate("RIVER<eoa>") == []
    assert [finding.check for finding in degenerate("RIVER<eoa>", ["<eoa>", ""])] == ["degeneracy.special_token"]


def test_a_loop_is_named_with_its_phrase_and_count() -> None:
    (finding,) = degenerate("the English and " * 9)

    assert finding.observed == "'the english and' 9 times in a row"


def test_every_kind_is_reported_once() -> None:
    found = [finding.check for finding in degenerate("\ufffd\x00<|im_end|></s>" + "!" * 9)]

    assert found == ["degeneracy.special_token", "degeneracy.encoding", "degeneracy.control", "degeneracy.run"]


def test_of_an_endless_text_the_beginning_is_judged() -> None:
    beginning = " ".join(f"word{number}" for number in range(3000))
    assert [found.check for found in degenerate("\x00" + beginning * 100)] != []
    assert degenerate(beginning[:20_000] + "\x00" * 200_000) == []

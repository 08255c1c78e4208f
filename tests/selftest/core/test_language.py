import time
from collections.abc import Iterator

import pytest

from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.language import language_of, option_in, set_language, tr, tr_lines

SEEN = (
    "3 of 8 right, at least 6 required; wrong: 'ocr-1; wrong: red', ocr-2; the same answer for 8 different pictures: "
)
SEEN += "the picture was not seen"
HOSTILE = {
    "brackets": "(" * 2000,
    "closing": ")" * 1000 + "(" * 1000,
    "quotes": "'" * 1999,
    "open quotes": " 'a" * 600,
    "separators": "; " * 1000,
    "places": "a: " * 600 + "b",
    "words": "of right; " * 200,
    "braces": "{0} of {1} right" * 100,
    "lines": "3 of 4 right\n" * 400,
    "more lines": "x\n" * 200_000,
    "long": "HTTP 500: " * 100_000,
}


@pytest.fixture
def zh() -> Iterator[None]:
    set_language("zh")
    yield
    set_language("en")


@pytest.mark.parametrize(
    ("option", "environ", "found"),
    [
        ("en", {"VLM_LANG": "zh", "LANG": "zh_CN.UTF-8"}, "en"),
        (None, {"VLM_LANG": "zh", "LC_ALL": "C"}, "zh"),
        (None, {"LC_ALL": "C.UTF-8", "LANG": "zh_CN.UTF-8"}, "en"),
        (None, {"LC_MESSAGES": "zh_CN.UTF-8", "LANG": "en_US.UTF-8"}, "zh"),
        (None, {"LC_ALL": "", "LANG": "zh_TW.Big5"}, "zh"),
        (None, {"LANG": "zhx"}, "en"),
        (None, {}, "en"),
    ],
)
def test_the_option_goes_before_the_variable_and_both_before_the_locale(option, environ, found):
    assert language_of(option, environ) == found


@pytest.mark.parametrize(
    ("option", "environ", "name"), [("zn", {}, "--vlm-lang"), (None, {"VLM_LANG": "zn"}, "VLM_LANG")]
)
def test_an_unknown_language_is_a_problem_that_names_the_nearest(option, environ, name):
    with pytest.raises(UsageProblem) as wrong:
        language_of(option, environ)
    assert str(wrong.value).startswith(f"{name}: 'zn' is not a language; there are: en, zh.")


def test_the_option_is_taken_out_of_a_command_line_but_not_out_of_words_for_pytest():
    assert option_in(["doctor", "--vlm-lang", "zh", "URL", "--", "--lang=en"]) == (
        ["doctor", "URL", "--", "--lang=en"],
        "zh",
    )
    assert option_in(["smoke", "--lang=zh"]) == (["smoke"], "zh")
    assert option_in(["smoke"]) == (["smoke"], None)
    with pytest.raises(UsageProblem, match="--vlm-lang: its value is missing"):
        option_in(["smoke", "--vlm-lang", "--", "zh"])


def test_without_a_choice_texts_stay_english_and_fields_are_filled_in():
    assert tr("{count} questions", count=3) == "3 questions"
    assert tr("{0} of {1} right") == "{0} of {1} right"
    assert tr_lines(["one", "  two"]) == ["one", "  two"]


@pytest.mark.usefixtures("zh")
class TestChinese:
    def test_a_message_is_translated_and_its_fields_are_filled_in(self):
        assert tr("no answer with text") == "没有带文本的回答"
        assert tr("{ok} ok, {warnings} warning(s), {failures} failure(s)\n", ok=1, warnings=2, failures=3) == (
            "1 项正常，2 项警告，3 项失败\n"
        )

    def test_a_finished_sentence_is_translated_and_its_values_are_kept(self):
        assert tr("finish_reason 'length' at completion_tokens 12") == "finish_reason 'length'，completion_tokens 12"
        assert tr("5 of 9 requests got no whole response (HTTP 500), first val_1") == (
            "9 个请求中有 5 个没有得到完整响应（HTTP 500），第一个：val_1"
        )

    def test_parts_of_a_sentence_are_translated_and_quoted_answers_are_not(self):
        found = tr(SEEN)
        assert found.startswith("8 张中答对 3 张，要求至少 6 张；答错：'ocr-1; wrong: red', ocr-2")
        assert found.endswith("；8 张不同图片的答案相同：没有看到图片")

    def test_an_answer_that_reads_like_a_message_is_not_touched(self):
        assert tr("another text for another seed: 'no answer with text'").endswith(": 'no answer with text'")

    def test_a_place_before_a_sentence_stays(self):
        assert tr("ocr-1: 3 of 8 right; wrong: ocr-2") == "ocr-1: 8 张中答对 3 张；答错：ocr-2"
        assert tr("[answer.empty] ocr-1: no usage") == "[answer.empty] ocr-1：没有 usage"

    def test_what_was_expected_is_translated_behind_what_was_found(self):
        assert tr("no usage; expected a usage block") == "没有 usage；预期 usage 字段"

    def test_lines_are_translated_one_by_one_with_their_blanks(self):
        assert tr("no usage\n  expected: a usage block\n  observed: 'no usage'") == (
            "没有 usage\n  预期：usage 字段\n  实际：'no usage'"
        )

    def test_a_sentence_that_was_wrapped_is_one_again(self):
        lines = ["at least one prompt token", "an answer", "  with text"]
        assert tr_lines(lines) == ["提示词至少一个 token", tr("an answer with text")]

    def test_names_in_a_list_are_not_translated(self):
        assert tr("--vlm-set: unknown key 'prt'; engine has: source, port.") == (
            "--vlm-set：未知的键 'prt'；engine 有：source, port。"
        )

    def test_braces_in_a_value_are_kept(self):
        assert tr("an answer about {0}{x}") == "关于 {0}{x} 的回答"

    def test_what_is_not_known_stays_as_it_is(self):
        for text in ("", "Red, white and blue", "{", "}{", "\ue0000\ue000", "a text (of a server) that is not known"):
            assert tr(text) == text

    @pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
    def test_a_hostile_text_takes_no_time(self, text):
        began = time.process_time()
        found = tr(text)
        assert time.process_time() - began < 1
        assert len(found) <= 4 * len(text)

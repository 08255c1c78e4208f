"""Case files: which are valid, and rules of the committed ones."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from vlm_acceptance.cases.capability import load_categories
from vlm_acceptance.core.capability import CATEGORY_ORDER, Question
from vlm_acceptance.core.errors import UsageProblem

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures"
CATEGORIES = load_categories(FIXTURES / "cases", FIXTURES / "images")
QUESTIONS = [
    pytest.param(question, id=f"{c.id}/{question.id}") for c in CATEGORIES for question in (*c.questions, c.translated)
]

every_question = pytest.mark.parametrize("question", QUESTIONS)

PNG = b"\x89PNG\r\n\x1a\n"  # the first bytes tell that it is one


def write_case(folder: Path, *, pictures: int = 8, change: tuple[str, str] = ("", "")) -> tuple[Path, Path]:
    """Write a small valid case file and its pictures; `change` replaces one text in it. Returns both folders."""
    cases, images = folder / "cases", folder / "images"
    cases.mkdir()
    images.mkdir()
    for n in range(8):
        (images / f"{n}.png").write_bytes(PNG)
    lines = ["id: ocr", "title: T", "guide_name: D", "must: M"]
    lines += ["questions:", "  - id: q", "    prompt: P", "    pictures:"]
    lines += [f'      - {{file: {n}.png, parts: [["W{n}"]], visible: ["W{n}", "X"]}}' for n in range(pictures)]
    lines += ["translated: {of: q, language: zh, tokens: [1, 9], max_tokens: 16, prompt: 问}"]
    text = "\n".join(lines)
    assert change[0] in text
    (cases / "ocr.yaml").write_text(text.replace(*change, 1) if change[0] else text, "utf-8")
    return cases, images


def distance(a: str, b: str) -> int:
    """Insertions, deletions and replacements that turn a into b."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        new = [i]
        for j, y in enumerate(b, 1):
            new.append(min(row[j] + 1, new[-1] + 1, row[j - 1] + (x != y)))
        row = new
    return row[-1]


def test_a_valid_file_loads_with_its_defaults(tmp_path: Path) -> None:
    (category,) = load_categories(*write_case(tmp_path))
    (question,) = category.questions
    assert (question.language, question.tokens, question.max_tokens, question.blind_max) == ("en", (1, 200), 256, 1)
    assert question.pictures[0].parts == (("W0",),)


def test_a_translated_question_has_the_same_pictures(tmp_path: Path) -> None:
    (category,) = load_categories(*write_case(tmp_path))
    (question,) = category.questions
    asked = {"id": "q-zh", "prompt": "问", "language": "zh", "tokens": (1, 9), "max_tokens": 16}
    assert category.translated == replace(question, **asked)


def test_foreign_words_are_words_of_other_pictures_that_this_one_does_not_show(tmp_path: Path) -> None:
    (category,) = load_categories(*write_case(tmp_path, change=('"X"', '"W7"')))
    question = category.questions[0]
    assert question.foreign_to(question.pictures[0]) == {f"W{n}" for n in range(1, 7)}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("id: q", "id: q\n    surplus: 1"), "questions.0.surplus"),
        (("    prompt: P\n", ""), "questions.0.prompt"),
        (("prompt: P", "prompt: P\n    language: fr"), "questions.0.language"),
        (('["W3"]', "[57]"), "questions.0.pictures.3.parts"),
        (('[["W0"]]', '["W0"]'), "questions.0.pictures.0.parts"),
        (('parts: [["W0"]]', "parts: []"), "questions.0.pictures.0.parts"),
        (("file: 5.png", "file: gone.png"), "gone.png"),
        (("title: T", "title: ["), "ocr.yaml"),
        (("of: q", "of: r"), "translated.of"),
        (("language: zh", "language: en"), "translated.language"),
        (("max_tokens: 16", "max_tokens: 16, surplus: 1"), "translated.surplus"),
    ],
)
def test_a_bad_file_is_refused_and_the_message_names_the_place(
    tmp_path: Path, change: tuple[str, str], named: str
) -> None:
    with pytest.raises(UsageProblem, match=named):
        load_categories(*write_case(tmp_path, change=change))


def test_seven_pictures_are_not_a_question(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="questions.0.pictures"):
        load_categories(*write_case(tmp_path, pictures=7))


def test_a_refusal_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem) as refusal:
        load_categories(*write_case(tmp_path, change=("title: T", "title: [")))
    assert "\n" not in str(refusal.value)


def test_a_folder_without_cases_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="no capability cases"):
        load_categories(tmp_path, tmp_path)


def test_the_five_categories_come_in_their_order() -> None:
    assert tuple(category.id for category in CATEGORIES) == CATEGORY_ORDER
    assert sum(len(category.questions) for category in CATEGORIES) == 7


def test_every_category_is_asked_in_both_languages() -> None:
    for category in CATEGORIES:
        assert category.translated.language == ("en" if category.id == "chinese" else "zh")
        is_chinese = any("\u4e00" <= char <= "\u9fff" for char in category.translated.prompt)
        assert is_chinese == (category.translated.language == "zh")


def test_every_category_states_one_must_sentence() -> None:
    for category in CATEGORIES:
        assert category.must.count("MUST") == 1
        assert category.must.find(".") == len(category.must) - 1


@every_question
def test_the_eight_answers_of_a_question_differ_in_every_part(question: Question) -> None:
    for part in range(len(question.pictures[0].parts)):
        words = [picture.parts[part][0] for picture in question.pictures]
        assert all(distance(a, b) >= 2 for a, b in itertools.combinations(words, 2)), words


@every_question
def test_no_planted_word_is_part_of_another(question: Question) -> None:
    words = {word for picture in question.pictures for part in picture.parts for word in part}
    assert not [(a, b) for a, b in itertools.permutations(words, 2) if a in b]


@every_question
def test_a_picture_shows_its_own_answer_but_not_all_answers(question: Question) -> None:
    for picture in question.pictures:
        assert {word for part in picture.parts for word in part} <= picture.visible
        assert len(question.foreign_to(picture)) >= 4 * len(picture.parts)


@every_question
def test_the_prompt_does_not_contain_an_answer(question: Question) -> None:
    for picture in question.pictures:
        assert not any(word.casefold() in question.prompt.casefold() for part in picture.parts for word in part)


@every_question
def test_a_constant_answer_may_hit_one_picture_only(question: Question) -> None:
    assert question.blind_max == 1
    assert question.tokens[1] <= question.max_tokens


def test_every_word_of_a_pair_is_once_right_and_once_wrong() -> None:
    """Every word is once the answer and once the distractor, so knowing the words does not help."""
    reasoning = CATEGORIES[CATEGORY_ORDER.index("reasoning")]
    for question in reasoning.questions:
        answers = [picture.parts[0][0] for picture in question.pictures]
        others = [word for p in question.pictures for word in p.visible - {p.parts[0][0]}]
        assert sorted(answers) == sorted(others)


def test_two_files_with_one_id_are_refused(tmp_path: Path) -> None:
    folder, images = write_case(tmp_path)
    (path,) = folder.glob("*.yaml")
    path.with_name("again.yaml").write_bytes(path.read_bytes())
    with pytest.raises(UsageProblem, match="is the id of another file"):
        load_categories(folder, images)


def test_a_file_that_is_not_utf8_is_one_line(tmp_path: Path) -> None:
    folder, images = write_case(tmp_path)
    (folder / "other.yaml").write_bytes(b"id: \xff\xfe")
    with pytest.raises(UsageProblem, match=r"other\.yaml"):
        load_categories(folder, images)

"""InfographicVQA: 2,801 questions for validation, 3,288 for test, of which the answers are not public."""

from __future__ import annotations

from vlm_acceptance.accuracy.prepared import Prepared
from vlm_acceptance.accuracy.published_split import LinesLayout, ParquetLayout, Split, TableLayout
from vlm_acceptance.accuracy.split_counts import check_split_prepared
from vlm_acceptance.accuracy.split_preparation import split_preparation

_LICENCE = (
    "InfoVQA: from the Robust Reading Competition, which asks for an account; the pictures have rights of their own"
)
VAL = Split(
    title="InfoVQA",
    name="val",
    licence=_LICENCE,
    items=2801,
    group_of=lambda kind: kind or "val",
    parquet=ParquetLayout(
        "validation", "answers", "InfographicVQA", ("DocVQA",), "questionId", "question_types", group_is_optional=True
    ),
    table=TableLayout("InfoVQA_VAL.tsv", "2342e9c225222f0ef4dec545ebb126fe"),
    lines=LinesLayout({"val.jsonl": ""}, ("infographicsVQA_val_v1.0_withQT.json",)),
)
TEST = Split(
    title="InfoVQA",
    name="test",
    licence=_LICENCE,
    items=3288,
    golds=0,  # the answers are not public
    group_of=lambda kind: kind or "test",
    parquet=ParquetLayout(
        "test", "answers", "InfographicVQA", ("DocVQA",), "questionId", "question_types", group_is_optional=True
    ),
    table=TableLayout("InfoVQA_TEST.tsv", "df535bf51b88dc9718252c34131a6227"),
    lines=LinesLayout({"test.jsonl": ""}),
)
_IDS = {"modelscope": "lmms-lab/DocVQA", "huggingface": "lmms-lab/DocVQA"}
PREPARATIONS = {
    VAL.name: split_preparation(VAL, "infovqa", _IDS),
    TEST.name: split_preparation(TEST, "infovqa", _IDS, is_default=False),
}


def check_prepared(prepared: Prepared) -> None:
    """EnvironmentProblem when prepared data are not the whole data set, or have changed since."""
    check_split_prepared(TEST if prepared.prepared_as == TEST.dataset else VAL, prepared)

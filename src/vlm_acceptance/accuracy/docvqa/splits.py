"""DocVQA: 5,349 questions on scanned pages for validation, 5,188 for test, of which the answers are not public."""

from __future__ import annotations

from vlm_acceptance.accuracy.prepared import Prepared
from vlm_acceptance.accuracy.published_split import LinesLayout, ParquetLayout, Split, TableLayout
from vlm_acceptance.accuracy.split_counts import check_split_prepared
from vlm_acceptance.accuracy.split_preparation import split_preparation

_LICENCE = (
    "DocVQA: from the Robust Reading Competition, which asks for an account; the pictures have rights of their own"
)
VAL = Split(
    title="DocVQA",
    name="val",
    licence=_LICENCE,
    items=5349,
    group_of=lambda kind: kind or "val",
    parquet=ParquetLayout(
        "validation", "answers", "DocVQA", ("InfographicVQA",), "questionId", "question_types", group_is_optional=True
    ),
    table=TableLayout("DocVQA_VAL.tsv", "d5ee77e1926ff10690d469c56b73eabf"),
    lines=LinesLayout({"val.jsonl": ""}, ("val/val_v1.0.json", "val_v1.0.json", "val_v1.0_withQT.json")),
)
TEST = Split(
    title="DocVQA",
    name="test",
    licence=_LICENCE,
    items=5188,
    golds=0,  # the answers are not public
    group_of=lambda kind: kind or "test",
    parquet=ParquetLayout(
        "test", "answers", "DocVQA", ("InfographicVQA",), "questionId", "question_types", group_is_optional=True
    ),
    table=TableLayout("DocVQA_TEST.tsv", "6a2f28cac26ef2d3447374e8c6f6c8e9"),
    lines=LinesLayout({"test.jsonl": ""}),
)
_IDS = {"modelscope": "lmms-lab/DocVQA", "huggingface": "lmms-lab/DocVQA"}
PREPARATIONS = {
    VAL.name: split_preparation(VAL, "docvqa", _IDS),
    TEST.name: split_preparation(TEST, "docvqa", _IDS, is_default=False),
}


def check_prepared(prepared: Prepared) -> None:
    """EnvironmentProblem when prepared data are not the whole data set, or have changed since."""
    check_split_prepared(TEST if prepared.prepared_as == TEST.dataset else VAL, prepared)

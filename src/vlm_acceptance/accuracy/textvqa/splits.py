"""TextVQA, validation: 5,000 questions with the answers of ten people each."""

from __future__ import annotations

from vlm_acceptance.accuracy.prepared import Prepared
from vlm_acceptance.accuracy.published_split import LinesLayout, ParquetLayout, Split, TableLayout
from vlm_acceptance.accuracy.split_counts import check_split_prepared
from vlm_acceptance.accuracy.split_preparation import split_preparation

VAL = Split(
    title="TextVQA",
    name="val",
    licence="TextVQA: CC BY 4.0; the pictures are of Open Images and have rights of their own",
    items=5000,
    golds=10,
    group_of=lambda _: "val",
    groups={"val": 5000},
    parquet=ParquetLayout("validation", answers="answers", id="question_id"),
    table=TableLayout("TextVQA_VAL.tsv", "b233b31f551bbf4056f2f955da3a92cd"),
    lines=LinesLayout({"textvqa_val.jsonl": ""}, ("textvqa_val_annotations.json",)),
)
_IDS = {"modelscope": "lmms-lab/textvqa", "huggingface": "lmms-lab/textvqa"}
PREPARATIONS = {"val": split_preparation(VAL, "textvqa", _IDS)}


def check_prepared(prepared: Prepared) -> None:
    """EnvironmentProblem when prepared data are not the whole data set, or have changed since."""
    check_split_prepared(VAL, prepared)

"""ChartQA, test: two halves of 1,250 questions, written by people and augmented by a model."""

from __future__ import annotations

from vlm_acceptance.accuracy.prepared import Prepared
from vlm_acceptance.accuracy.published_split import LinesLayout, ParquetLayout, Split, TableLayout
from vlm_acceptance.accuracy.split_counts import check_split_prepared
from vlm_acceptance.accuracy.split_preparation import split_preparation

HUMAN, AUGMENTED = "test_human", "test_augmented"
# the hubs' names, and those of the other layouts
_GROUPS = {"human_test": HUMAN, "augmented_test": AUGMENTED, HUMAN: HUMAN, AUGMENTED: AUGMENTED}
TEST = Split(
    title="ChartQA",
    name="test",
    licence="ChartQA: GPL-3.0 as published by its authors; the pictures have rights of their own",
    items=2500,
    group_of=_GROUPS.get,
    id_of=lambda group, number, _: f"{group.removeprefix('test_')}-{number:04}",
    groups={HUMAN: 1250, AUGMENTED: 1250},
    parquet=ParquetLayout("test", answers="answer", group="type"),
    # an answer such as "[2013, 2014]" or "['Yes', 'No']" is one text, which must be given as it is
    table=TableLayout("ChartQA_TEST.tsv", "c902e0aa9be5582a7aad6dcf52734b42", group="split", answers_are_lists=False),
    lines=LinesLayout({"test_human.jsonl": HUMAN, "test_augmented.jsonl": AUGMENTED}),
)
_IDS = {"modelscope": "lmms-lab/ChartQA", "huggingface": "lmms-lab/ChartQA"}
PREPARATIONS = {"test": split_preparation(TEST, "chartqa", _IDS)}


def check_prepared(prepared: Prepared) -> None:
    """EnvironmentProblem when prepared data are not the whole data set, or have changed since."""
    check_split_prepared(TEST, prepared)

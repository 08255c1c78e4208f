"""OCRBench: 1,000 questions of 25 data sets in ten categories."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from vlm_acceptance.accuracy.prepared import Prepared
from vlm_acceptance.accuracy.published_split import ParquetLayout, Split, TableLayout
from vlm_acceptance.accuracy.split_counts import check_split_prepared
from vlm_acceptance.accuracy.split_preparation import split_preparation

# questions of each data set, by category
CATEGORIES: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "Regular Text Recognition": {"IIIT5K": 15, "svt": 17, "IC13_857": 18},
        "Irregular Text Recognition": {
            "IC15_1811": 8, "cocotext": 8, "ct80": 9, "ctw": 8, "svtp": 9, "totaltext": 8,
        },
        "Artistic Text Recognition": {"WordArt": 50},
        "Handwriting Recognition": {"IAM": 50},
        "Digit String Recognition": {"ORAND": 50},
        "Non-Semantic Text Recognition": {"NonSemanticText": 50},
        "Scene Text-centric VQA": {"ESTVQA": 50, "STVQA": 50, "ocrVQA": 50, "textVQA": 50},
        "Doc-oriented VQA": {"ChartQA": 50, "ChartQA_Human": 50, "docVQA": 50, "infographicVQA": 50},
        "Key Information Extraction": {"FUNSD": 66, "POIE": 67, "SROIE": 67},
        "Handwritten Mathematical Expression Recognition": {"HME100k": 100},
    }
)  # fmt: skip
# the table names only the category: its data set where there is one, which the scorer needs for HME100k
_TABLE = {name: next(iter(sets)) if len(sets) == 1 else name for name, sets in CATEGORIES.items()}
TEST = Split(
    title="OCRBench",
    name="",
    licence="OCRBench: MIT as published by its authors; the pictures have rights of their own",
    items=1000,
    blank_golds=False,  # every answer contains it
    group_of=lambda name: _TABLE.get(name, name) or None,
    id_of=lambda _group, _number, place: f"{place:04}",
    groups={name: count for sets in CATEGORIES.values() for name, count in sets.items()},
    table_groups={_TABLE[name]: sum(sets.values()) for name, sets in CATEGORIES.items()},
    parquet=ParquetLayout("test", answers="answer", group="dataset"),
    table=TableLayout("OCRBench.tsv", "e953d98a987cc6e26ef717b61260b778", group="category"),
)
_IDS = {"modelscope": "evalscope/OCRBench", "huggingface": "echo840/OCRBench"}
PREPARATIONS = {"test": split_preparation(TEST, "ocrbench", _IDS)}


def check_prepared(prepared: Prepared) -> None:
    """EnvironmentProblem when prepared data are not the whole data set, or have changed since."""
    check_split_prepared(TEST, prepared)

"""A copy of a control that transformers loads with the folder's own code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.support.runs import ROOT

CODE = Path(__file__).resolve().parent / "transformers_control" / "modeling_internvl_chat.py"


def transformers_folder(to: Path, control: str = "control") -> Path:
    """The folder of a control with Hugging Face code for its network beside its weights."""
    shutil.copytree(ROOT / "fixtures" / control / "model", to)
    shutil.copy(CODE, to)
    path = to / "config.json"
    config = json.loads(path.read_text("utf-8"))
    config["auto_map"]["AutoModel"] = f"{CODE.stem}.InternVLChatModel"
    path.write_text(json.dumps(config, indent=2) + "\n", "utf-8")
    return to

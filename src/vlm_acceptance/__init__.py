"""Acceptance tests for vision-language models served by vLLM."""

__version__ = "0.1.0"
# `python -m vlm_acceptance.mmmu` and `.compare`, the commands of the last release, work for one more
__path__.append(f"{__path__[0]}/run/former_names")

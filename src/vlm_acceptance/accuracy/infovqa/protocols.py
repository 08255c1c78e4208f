"""InfographicVQA's prompt protocols, by name; the published figure is that of `internvl`."""

from __future__ import annotations

from vlm_acceptance.accuracy.short_answer_prompts import internvl_script, vlmevalkit

PROTOCOLS = {made.name: made for made in (internvl_script("anls", 24, 100), vlmevalkit("anls", 24))}

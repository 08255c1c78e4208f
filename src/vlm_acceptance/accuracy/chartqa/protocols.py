"""ChartQA's prompt protocols, by name; the published figures are those of `internvl`."""

from __future__ import annotations

from vlm_acceptance.accuracy.short_answer_prompts import internvl_script, vlmevalkit

PROTOCOLS = {
    made.name: made for made in (internvl_script("relaxed_internvl", 12, 100), vlmevalkit("relaxed_internvl", 12))
}

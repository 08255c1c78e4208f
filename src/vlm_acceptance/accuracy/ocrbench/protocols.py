"""OCRBench's prompt protocols, by name; the published figure is that of `vlmevalkit`."""

from __future__ import annotations

from vlm_acceptance.accuracy.short_answer_prompts import vlmevalkit

PROTOCOLS = {made.name: made for made in (vlmevalkit("containment", 24),)}

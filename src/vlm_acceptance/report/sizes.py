"""How much a run may store about its requests, and what was cut of it. Counts only; nothing here writes."""

from __future__ import annotations

from dataclasses import dataclass

from vlm_acceptance.core.exchange import MIB

# of one body: more than any answer that the suite asks for
BODY_BYTES = MIB
# once the run has stored what it may
SHORT_BYTES = 1000
# of a run's limit: room for short rows
BEYOND = 1.25


@dataclass
class Budget:
    """What a run has stored in bytes, of at most `run_bytes`; then bodies are short, a quarter later none is stored."""

    run_bytes: int
    used: int = 0
    cut: int = 0
    left_out: int = 0

    @property
    def is_spent(self) -> bool:
        """Whether the run has stored what it may: bodies are short, evidence is not kept."""
        return self.used >= self.run_bytes

    @property
    def is_over(self) -> bool:
        """Whether nothing more may be stored about a request."""
        return self.used >= self.run_bytes * BEYOND

    @property
    def body_bytes(self) -> int:
        """The most bytes of the next body."""
        return SHORT_BYTES if self.is_spent else BODY_BYTES

    @property
    def note(self) -> str:
        """What was cut, for the verdict; '' if nothing was."""
        said = []
        if self.cut:
            said.append(f"{self.cut} bodies were cut")
        if self.left_out:
            said.append(f"{self.left_out} requests were left out")
        if not said:
            return ""
        limit = f" of at most {self.run_bytes // MIB} MiB (sizes.run_mib)" if self.is_spent else ""
        return f"in the files of this run{limit}, {' and '.join(said)}"


def cut_text(text: str, most: int) -> str:
    """The text, of at most `most` characters; what is cut is said at its end."""
    return text if len(text) <= most else f"{text[:most]}… (cut: {most} of {len(text)} characters)"

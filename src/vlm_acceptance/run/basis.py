"""What every part of a run shares: its settings and files, what is drawn for it, and what it keeps of its tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from vlm_acceptance.cases import dialogues
from vlm_acceptance.cases.challenge_pictures import ONE_ROW, Drawn, draw, grids
from vlm_acceptance.cases.dialogues import Dialogue
from vlm_acceptance.cases.large_pictures import USUAL
from vlm_acceptance.client.gateway import Gateway
from vlm_acceptance.client.recording import Seen
from vlm_acceptance.config.options import Settings
from vlm_acceptance.config.paths import resolve_existing
from vlm_acceptance.config.profile import Profile
from vlm_acceptance.core.exchange import MIB
from vlm_acceptance.core.masking import Mask
from vlm_acceptance.core.tiles import TileRule
from vlm_acceptance.engine import tiling
from vlm_acceptance.report.store import RunStore
from vlm_acceptance.run.inputs import RunInputs
from vlm_acceptance.run.record import RunRecord
from vlm_acceptance.run.requirements import BESIDE_A_PICTURE, no_large_pictures
from vlm_acceptance.run.tape import RUN, RunTape


@dataclass
class RunBasis:
    """One run. `record` holds the facts for the reports, `warm` the kinds of requests that were sent before.

    `test` is the id of the test at work.
    """

    settings: Settings
    progress: Callable[[str], None]
    log: Callable[[str], None]
    record: RunRecord = field(default_factory=RunRecord)
    warm: set[str] = field(default_factory=set)
    test: str = RUN

    def __post_init__(self) -> None:
        self.inputs = RunInputs(self.settings)
        self.tape = RunTape(self)

    @property
    def profile(self) -> Profile:
        """The effective profile."""
        return self.settings.loaded.profile

    @cached_property
    def mask(self) -> Mask:
        """Masks the API key and other secrets of the profile in a text."""
        return Mask(*self.settings.secrets)

    @cached_property
    def store(self) -> RunStore:
        """The run's files; the folder is made when the first test needs it."""
        run_bytes = int(self.profile.sizes.run_mib * MIB)
        return RunStore(self.settings.reports, self.profile.name, *self.settings.secrets, run_bytes=run_bytes)

    @cached_property
    def gateway(self) -> Gateway:
        """What stands before the attached endpoint, by the profile."""
        wanted = self.profile.endpoint
        ca_bundle = str(resolve_existing(wanted.ca_bundle, "endpoint.ca_bundle")) if wanted.ca_bundle else None
        return Gateway(self.settings.headers, ca_bundle, wanted.requests_per_s)

    def observed(self, name: str, kind: Any, make: Callable[[], Seen], *, test: str | None = None) -> Seen:  # noqa: ARG002
        """What `make` sees, of type `kind`, of more than single requests; it is kept, to be judged again later."""
        return self.tape.observed(name, make, test=test)

    def check(self) -> None:
        """UsageProblem when a file that the run needs cannot be used."""
        self.inputs.check(self.mask)

    def features_of_machine(self, missing: Mapping[str, str]) -> Mapping[str, str]:
        """Features that the run lacks, with the reasons; what this machine lacks is among them."""
        return missing

    @property
    def judged_facts(self) -> dict[str, Any]:
        """For the summary: the stored run that is judged again; empty for a run of its own."""
        return {}

    @property
    def judged_words(self) -> str:
        """The same in words, as the end of a sentence."""
        return ""

    @property
    def judged_notes(self) -> list[str]:
        """What a reader of such a verdict must know."""
        return []

    @property
    def stored_model_files(self) -> dict[str, Any] | None:
        """Hashes of the model's files, as the stored run has them."""
        return None

    def served_tiling(self) -> Mapping[str, int | bool]:
        """Tile constants of the model that is served."""
        raise NotImplementedError

    @cached_property
    def tile_rule(self) -> TileRule | None:
        """The constants of the tile formula, from the profile, then from the launched model; None without an oracle."""
        pictures = self.profile.model.pictures
        if pictures.oracle == "none":
            return None
        served = self.served_tiling() if self.settings.launched else {}
        return TileRule(**tiling.effective(pictures, served))

    @cached_property
    def sends_large_pictures(self) -> bool:
        """Whether the run asks about pictures of many tiles: the profile wants it, and the served model cuts them."""
        return not no_large_pictures(self.profile, self.tile_rule)

    @cached_property
    def new_pictures(self) -> list[Drawn]:
        """The eight new pictures of this run, in forms that the served model cuts exactly, with their questions."""
        rule, room = self.tile_rule, self.profile.model.max_model_len
        forms = grids(rule, None if room is None else room - BESIDE_A_PICTURE)
        if not self.profile.capability.large_pictures:
            forms = [ONE_ROW]
        return draw(self.settings.seed, (rule or USUAL).tile_px, forms)

    @cached_property
    def new_conversations(self) -> list[Dialogue]:
        """The eight new conversations of this run, with pictures of one tile."""
        most_pictures = self.profile.model.max_pictures
        return dialogues.draw(self.settings.seed, (self.tile_rule or USUAL).tile_px, most_pictures)

"""The profile of a run: the given one, the one of the attached endpoint's model, or the default of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vlm_acceptance.client.chat import get
from vlm_acceptance.client.http import Client
from vlm_acceptance.config.options import OPTIONS, PROFILES, api_key, checked_url, given
from vlm_acceptance.config.profile_file import load_profile, profile_names
from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.engine.device import npu_sign
from vlm_acceptance.engine.readiness import in_short, listed_models

CONTROL = "control-cpu"
NPU = "internvl2-2b-ascend"
DEADLINE_S = 10.0


@dataclass(frozen=True, slots=True)
class Chosen:
    """A profile's name and why it was chosen; `unreachable` is why the endpoint could not be reached."""

    name: str
    reason: str
    unreachable: str = ""


def profile(values: Mapping[str, object], env: Mapping[str, str]) -> Chosen:
    """The profile given by name; else the one whose model the attached endpoint serves; else this machine's default."""
    picked = {option.dest: given(option, values.get(option.dest), env) for option in OPTIONS}
    name, source = picked["vlm_profile"]
    if name:
        return Chosen(name, source)
    url, url_source = picked["vlm_base_url"]
    if url and values.get("vlm_plan"):
        raise UsageProblem(f"--vlm-plan does not ask the endpoint for its model; {_name_one(profile_names(PROFILES))}")
    if url:
        key = api_key(*picked["vlm_api_key_env"], env)
        return by_endpoint(checked_url(url, url_source), key)
    reason = npu_sign(env=env)
    if reason:
        return Chosen(NPU, f"an NPU was detected on this machine: {reason}")
    return Chosen(CONTROL, "no NPU was detected on this machine")


def by_endpoint(url: str, key: str | None) -> Chosen:
    """The only profile whose model id or alias the endpoint serves; UsageProblem when no or several profiles fit."""
    exchange = Client(url, key).send(get("/v1/models", DEADLINE_S))
    if exchange.error is not None and exchange.error.kind == "connect":
        why = f"nothing answers at {url}: {exchange.error.message[:200]}"
        return Chosen(CONTROL, "the endpoint is unreachable", why)
    models = listed_models(exchange)
    names = profile_names(PROFILES)
    if models is None:
        seen = f"HTTP {exchange.status}" if exchange.error is None else exchange.error.message[:120]
        raise UsageProblem(f"--vlm-base-url: {url}/v1/models does not list models ({seen}); {_name_one(names)}")
    fitting = [name for name in names if _deploys(name, models)]
    if not fitting:
        raise UsageProblem(
            f"--vlm-base-url: {url} serves [{in_short(models)}], which no profile deploys; {_name_one(names)}"
        )
    # variants of one deployment look the same from outside; the name that all names start with is their base
    base = next((name for name in fitting if all(f"{other}-".startswith(f"{name}-") for other in fitting)), None)
    if base is None:
        raise UsageProblem(
            f"--vlm-base-url: {url} serves [{in_short(models)}], which several profiles deploy; {_name_one(fitting)}"
        )
    variants = ", ".join(other for other in fitting if other != base)
    return Chosen(base, f"{url} serves its model{variants and f', which is also that of {variants}'}")


def _name_one(names: list[str]) -> str:
    return f"name the profile with --vlm-profile: {', '.join(names)}"


def _deploys(name: str, models: list[str]) -> bool:
    model = load_profile(name, PROFILES).profile.model
    return not {model.id, *model.aliases}.isdisjoint(models)

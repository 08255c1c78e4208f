"""Which profile a run uses when nobody, or only an endpoint, says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vlm_acceptance.client.chat import get
from vlm_acceptance.client.http import Client
from vlm_acceptance.config.options import OPTIONS, PROFILES, api_key, checked_url, given
from vlm_acceptance.config.profile_file import load_profile, profile_names
from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.engine.device import speaks_of_npu
from vlm_acceptance.engine.readiness import listed_models

CONTROL = "control-cpu"
NPU = "internvl2-2b-ascend"
LOOK_S = 10.0


@dataclass(frozen=True, slots=True)
class Chosen:
    """A profile's name, why it was taken, and why an endpoint that should have decided could not be asked."""

    name: str
    reason: str
    unreachable: str = ""


def profile(values: Mapping[str, object], env: Mapping[str, str]) -> Chosen:
    """Given by name; else the one whose model the attached endpoint serves; else by what this machine is."""
    picked = {option.dest: given(option, values.get(option.dest), env) for option in OPTIONS}
    name, source = picked["vlm_profile"]
    if name:
        return Chosen(name, source)
    url, url_source = picked["vlm_base_url"]
    if url and values.get("vlm_plan"):
        raise UsageProblem(f"--vlm-plan asks no endpoint which model it serves; {_name_one(profile_names(PROFILES))}")
    if url:
        key = api_key(*picked["vlm_api_key_env"], env)
        return by_endpoint(checked_url(url, url_source), key)
    reason = speaks_of_npu(env=env)
    if reason:
        return Chosen(NPU, f"this machine speaks of an NPU: {reason}")
    return Chosen(CONTROL, "nothing on this machine speaks of an NPU")


def by_endpoint(url: str, key: str | None) -> Chosen:
    """The only profile whose model id or alias the endpoint serves; UsageProblem when there is none or more."""
    exchange = Client(url, key).send(get("/v1/models", LOOK_S))
    if exchange.error is not None and exchange.error.kind == "connect":
        return Chosen(CONTROL, "no endpoint to ask", f"nothing answers at {url}: {exchange.error.message[:200]}")
    models = listed_models(exchange)
    names = profile_names(PROFILES)
    if models is None:
        seen = f"HTTP {exchange.status}" if exchange.error is None else exchange.error.message[:120]
        raise UsageProblem(f"--vlm-base-url: {url}/v1/models does not list models ({seen}); {_name_one(names)}")
    fitting = [name for name in names if _serves(name, models)]
    if not fitting:
        raise UsageProblem(f"--vlm-base-url: {url} serves {models}, which no profile deploys; {_name_one(names)}")
    if len(fitting) > 1:
        # variants of one deployment cannot be told apart from outside; the first is their base
        base = [name for name in fitting if all(other == name or other.startswith(f"{name}-") for other in fitting)]
        if not base:
            raise UsageProblem(
                f"--vlm-base-url: {url} serves {models}, which fits {', '.join(fitting)}; name one with --vlm-profile"
            )
        variants = ", ".join(other for other in fitting if other != base[0])
        return Chosen(base[0], f"{url} serves its model, as it would for {variants}")
    return Chosen(fitting[0], f"{url} serves its model")


def _name_one(names: list[str]) -> str:
    return f"name the profile with --vlm-profile: {', '.join(names)}"


def _serves(name: str, models: list[str]) -> bool:
    model = load_profile(name, PROFILES).profile.model
    return any(known in models for known in (model.id, *model.aliases))

"""The profile of a run: the given one, the one of the attached endpoint's model, or the default of this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vlm_acceptance.client.chat import get
from vlm_acceptance.client.gateway import Gateway
from vlm_acceptance.client.http import Client
from vlm_acceptance.config.client_sections import Endpoint
from vlm_acceptance.config.options import OPTIONS, PROFILES, api_key, checked_url, further_headers, given, overrides
from vlm_acceptance.config.paths import resolve_existing
from vlm_acceptance.config.profile_file import load_profile, profile_names
from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.engine.device import npu_sign
from vlm_acceptance.engine.endpoint import MODELS, obstacle, tls_obstacle, two_lines
from vlm_acceptance.engine.readiness import in_short, listed_models

CONTROL = "control-cpu"
NPU = "internvl2-2b-ascend"
DEADLINE_S = 10.0


@dataclass(frozen=True, slots=True)
class Chosen:
    """A profile's name and why it was chosen; `unreachable` is why the endpoint cannot be used at present."""

    name: str
    reason: str
    unreachable: str = ""


def profile(values: Mapping[str, object], env: Mapping[str, str]) -> Chosen:
    """The profile given by name; else the one whose model the attached endpoint serves; else this machine's default."""
    picked = {option.dest: given(option, values.get(option.dest), env) for option in OPTIONS}
    name, source = picked["vlm_profile"]
    url, url_source = picked["vlm_base_url"]
    if name:
        if url and url.startswith("https:") and not (values.get("vlm_plan") or values.get("vlm_show_profile")):
            _require_tls(client_of(values, env, name))
        return Chosen(name, source)
    if url and values.get("vlm_plan"):
        raise UsageProblem(f"--vlm-plan does not ask the endpoint for its model; {_name_one(profile_names(PROFILES))}")
    if url:
        return by_endpoint(client_of(values, env), url_source)
    return of_machine(env)


def of_machine(env: Mapping[str, str]) -> Chosen:
    """The default profile of this machine: that of the NPU where there is a sign of one, else the control."""
    reason = npu_sign(env=env)
    if reason:
        return Chosen(NPU, f"an NPU was detected on this machine: {reason}")
    return Chosen(CONTROL, "no NPU was detected on this machine")


def client_of(values: Mapping[str, object], env: Mapping[str, str], name: str = "", source: str = "") -> Client:
    """The client of the attached endpoint, which is reached as the options and the profile `name`, if any, say.

    `source` is what gave the URL, if not its option.
    """
    picked = {option.dest: given(option, values.get(option.dest), env) for option in OPTIONS}
    url, url_source = picked["vlm_base_url"]
    base, key = checked_url(url or "", source or url_source), api_key(*picked["vlm_api_key_env"], env)
    wanted = reached_by(values, env, name)
    bundle = str(resolve_existing(wanted.ca_bundle, "endpoint.ca_bundle")) if wanted.ca_bundle else None
    return Client(base, key, gateway=Gateway(further_headers(wanted.headers, env), bundle, wanted.requests_per_s))


def of_stored(given: Mapping[str, object], completed: Mapping[str, object]) -> Chosen:
    """The profile by which a stored run is judged again: the given one, else its own."""
    reason = "--vlm-profile" if given.get("vlm_profile") else "that of the stored run"
    return Chosen(str(completed["vlm_profile"]), reason)


def reached_by(values: Mapping[str, object], env: Mapping[str, str], name: str = "") -> Endpoint:
    """The section `endpoint` of a profile with the overrides; without a profile that of the overrides alone."""
    changes = overrides(values, env)
    if not name and not any(f"{key}.".startswith("endpoint.") for key, _, _ in changes):
        return Endpoint()
    return load_profile(name or CONTROL, PROFILES, changes).profile.endpoint


def by_endpoint(client: Client, source: str) -> Chosen:
    """The only profile whose model id or alias the endpoint serves; UsageProblem when no or several profiles fit."""
    url = client.base_url
    exchange = client.send(get(MODELS, DEADLINE_S))
    if wrong := obstacle(client, exchange):
        if wrong.by_option:
            raise UsageProblem(f"{source}: {wrong}")
        return Chosen(CONTROL, "the endpoint is unreachable", str(wrong))
    models = listed_models(exchange) or []
    if not models:
        return Chosen(CONTROL, "the endpoint serves no model", f"{url} lists no model; see the log of its server")
    fitting = deploying(models)
    if not fitting:
        _, command = two_lines(models[0])
        two = f"or write one of two lines: {command}, and give --vlm-profile={command.rpartition(' > ')[2]}"
        names = _name_one(profile_names(PROFILES))
        raise UsageProblem(f"{source}: {url} serves [{in_short(models)}], which no profile deploys; {names}; {two}")
    # variants of one deployment look the same from outside; the name that all names start with is their base
    base = next((name for name in fitting if all(f"{other}-".startswith(f"{name}-") for other in fitting)), None)
    if base is None:
        several = f"{url} serves [{in_short(models)}], which several profiles deploy"
        raise UsageProblem(f"{source}: {several}; {_name_one(fitting)}")
    variants = ", ".join(other for other in fitting if other != base)
    return Chosen(base, f"{url} serves its model{variants and f', which is also that of {variants}'}")


def deploying(models: Sequence[str]) -> list[str]:
    """The profiles that deploy one of these models."""
    return [name for name in profile_names(PROFILES) if _deploys(name, models)]


def _require_tls(client: Client) -> None:
    """UsageProblem when a TLS handshake shows that the URL or the trusted certificates are wrong; nothing is sent."""
    wrong = tls_obstacle(client)
    if wrong is not None and wrong.by_option:
        raise UsageProblem(f"--vlm-base-url: {wrong}")


def _name_one(names: Sequence[str]) -> str:
    return f"name the profile with --vlm-profile: {', '.join(names)}"


def _deploys(name: str, models: Sequence[str]) -> bool:
    model = load_profile(name, PROFILES).profile.model
    return not {model.id, *model.aliases}.isdisjoint(models)

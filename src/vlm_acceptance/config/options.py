"""The suite's options, in one table. The command line replaces the environment, which replaces the profile."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vlm_acceptance.config.paths import ROOT, default_reports, input_file, output_file, resolve_existing
from vlm_acceptance.config.profile_file import Loaded, load_profile
from vlm_acceptance.core.errors import UsageProblem, nearest
from vlm_acceptance.core.files import expanded, is_file
from vlm_acceptance.core.logprobs import is_baseline
from vlm_acceptance.core.masking import secrets_in
from vlm_acceptance.core.text import trimmed

PROFILES = ROOT / "fixtures" / "profiles"
EVIDENCE = ("failed", "all", "none")
LARGEST_SEED = 2**63
# a drawn seed is read and typed by people, and exact in every JSON reader
DRAWN_BITS = 40
# what else is given as the name of a variable may be the key itself
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")
# what is copied together with an address
ROUTES = ("/v1/chat/completions", "/v1/completions", "/v1/models", "/health", "/metrics", "/docs")
# keys of options that only a launched engine has
_LAUNCHED_ONLY = ("engine.", "model.path")


@dataclass(frozen=True, slots=True)
class Option:
    """One `--vlm-…` option; `key` is the profile key it overrides, if any."""

    name: str
    help: str
    key: str = ""
    metavar: str = "X"
    many: bool = False
    flag: bool = False

    @property
    def dest(self) -> str:
        """Its attribute in pytest's options."""
        return self.name.replace("-", "_")

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return self.dest.upper()


OPTIONS = (
    Option("vlm-profile", "the deployment's profile, by name or file", metavar="NAME"),
    Option("vlm-base-url", "test the endpoint at this URL instead of launching an engine", metavar="URL"),
    Option("vlm-set", "override a profile key, e.g. engine.port=8001 (repeatable)", metavar="KEY=VALUE", many=True),
    Option("vlm-show-profile", "print the effective profile with the source of each value, and stop", flag=True),
    Option("vlm-plan", "print what the run would do and what it leaves out, and stop", flag=True),
    Option("vlm-engine-python", "interpreter that holds vLLM", key="engine.python", metavar="PATH"),
    Option("vlm-engine", "the vllm executable", key="engine.executable", metavar="PATH"),
    Option("vlm-model", "the model's folder", key="model.path", metavar="PATH"),
    Option("vlm-port", "port of the launched engine, 0 for a free one", key="engine.port", metavar="N"),
    Option("vlm-api-key-env", "name of the variable that holds the endpoint's API key", metavar="NAME"),
    Option("vlm-reports", "folder for reports (default: reports/)", metavar="DIR"),
    Option("vlm-evidence", "keep requests, pictures and answers of: failed, all, none", metavar="WHICH"),
    Option("vlm-mmmu-data", "the prepared MMMU data", key="mmmu.data", metavar="DIR"),
    Option("vlm-mmmu-engine", "the engine that answers MMMU: server or offline", key="mmmu.engine", metavar="WHICH"),
    Option("vlm-mmmu-protocol", "the prompts of MMMU, e.g. vlmevalkit", key="mmmu.protocol", metavar="NAME"),
    Option("vlm-soak-s", "duration of the soak in seconds", key="load.soak_s", metavar="N"),
    Option("vlm-seed", "repeat a run: the seed of its pictures, texts and other random choices", metavar="N"),
    Option("vlm-resume", "resume an unfinished accuracy run: its folder, or latest", metavar="RUN"),
    Option("vlm-baseline", "compare with stored answers of an accuracy run, or log probabilities", metavar="FILE"),
    Option(
        "vlm-calibrate", "record what this run calibrates as a profile that extends the present one", metavar="FILE"
    ),
    Option("vlm-lang", "language of texts for people: en or zh (default: that of the locale)", metavar="LANG"),
    Option("vlm-judge", "judge this stored run again; no engine is started, no server asked", metavar="RUN"),
    Option(
        "vlm-record-baseline",
        "record latencies (.yaml) or log probabilities (.jsonl; given again: extended)",
        metavar="FILE",
    ),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The values of all options of a run."""

    loaded: Loaded
    base_url: str | None
    api_key_env: str | None
    api_key: str | None
    reports: Path
    evidence: str
    calibrate: Path | None
    record_baseline: Path | None
    resume: str | None
    baseline: Path | None
    profile_reason: str
    logprobs_baseline: Path | None = None
    record_logprobs: Path | None = None
    seed: int = 0
    judged: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The API key, and keys in the environment and in the arguments that the profile gives its engine."""
        engine = self.loaded.profile.engine
        given = [value for name, value in pairwise(engine.args) if name == "--api-key"]
        given += [word.removeprefix("--api-key=") for word in engine.args if word.startswith("--api-key=")]
        return tuple(filter(None, (self.api_key, *self.headers.values(), *secrets_in(engine.env), *given)))

    @property
    def launched(self) -> bool:
        return self.base_url is None


def given(option: Option, value: object, env: Mapping[str, str]) -> tuple[str | None, str]:
    """The value of an option and where it came from; (None, '') without one, UsageProblem for an empty one."""
    if value == "":
        raise UsageProblem(f"--{option.name}: the value is empty")
    if value not in (None, False, []):
        return str(value), f"--{option.name}"
    if env.get(option.variable):
        return env[option.variable], option.variable
    return None, ""


def unknown_option(args: Sequence[str]) -> str | None:
    """One line about the first `--vlm-…` argument that is not an option, or None."""
    names = [f"--{option.name}" for option in OPTIONS]
    for arg in args:
        word = arg.partition("=")[0]
        if word.startswith("--vlm") and word not in names:
            return f"unknown option {word!r}; there are: {', '.join(names)}.{nearest(word, names)}"
    return None


def overrides(values: Mapping[str, object], env: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """(profile key, YAML text, source) of every override; the environment comes first, the command line replaces it."""
    found: list[tuple[str, str, str]] = []
    listed: Any = values.get("vlm_set") or []
    pairs = [(text, "VLM_SET") for text in env.get("VLM_SET", "").split(";") if text.strip()]
    pairs += [(text, "--vlm-set") for text in listed]
    for text, source in pairs:
        key, equals, value = str(text).strip().partition("=")
        if not equals:
            raise UsageProblem(f"{source}: {text!r} is not KEY=VALUE, for example engine.port=8001")
        found.append((key.strip(), value, source))
    own = [(option.key, *given(option, values.get(option.dest), env)) for option in OPTIONS if option.key]
    return found + [(key, value, source) for key, value, source in own if value is not None]


def checked_url(url: str, source: str) -> str:
    """A base URL without trailing slash or /v1; UsageProblem when it is not a valid URL."""
    if "@" in url.partition("://")[2].partition("/")[0]:
        # checked first: all other messages repeat the URL
        raise UsageProblem(f"{source}: the URL carries credentials; give the key with --vlm-api-key-env NAME")
    before = re.split("[?#]", url, maxsplit=1)[0]
    if before != url:  # a query may hold a key, and the messages below repeat the URL
        what = "the URL has a query or fragment, which is not shown"
        raise UsageProblem(f"{source}: {what}; give the address only: {before}")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as broken:
        raise UsageProblem(f"{source}: {url!r} is not a URL: {str(broken).lower()}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise UsageProblem(f"{source}: {url!r} is not an http(s) URL, for example http://127.0.0.1:8000")
    address = url.rstrip("/")
    if route := next((route for route in ROUTES if address.endswith(route)), ""):
        base = address.removesuffix(route)
        raise UsageProblem(f"{source}: {url!r} ends with the route {route!r}; give the address only: {base}")
    return address.removesuffix("/v1")


def api_key(name: str | None, source: str, env: Mapping[str, str]) -> str | None:
    """The key in the named variable; UsageProblem when the variable is not set, or no header can carry the key."""
    if name is None:
        return None
    if not env.get(name) and not _VARIABLE.fullmatch(name):
        what = "the value, which is not shown, is not the name of an environment variable that is set"
        raise UsageProblem(f"{source}: {what}; put the key into a variable and give its name")
    if not env.get(name):
        raise UsageProblem(f"{source}: the environment variable {name!r} is not set or empty")
    if wrong := unsendable(env[name]):
        allowed = "a key is printable text of Latin-1 without spaces around it"
        raise UsageProblem(f"{source}: the key in {name!r} cannot be sent in a header: {wrong}; {allowed}")
    return env[name]


def further_headers(names: Mapping[str, str], env: Mapping[str, str]) -> dict[str, str]:
    """The profile's headers with the values of their variables; UsageProblem as for a key."""
    return {name: api_key(variable, f"endpoint.headers.{name}", env) or "" for name, variable in names.items()}


def seed_of(text: str | None, source: str) -> int:
    """The seed of a run, a drawn one without `text`; UsageProblem when it is not a whole number of 0 to 2^63."""
    if text is None:
        return secrets.randbits(DRAWN_BITS)
    is_whole = text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST_SEED))
    if not is_whole or int(text) > LARGEST_SEED:
        shown = trimmed(text, 60)
        raise UsageProblem(f"{source}: {shown} is not a seed; it is a whole number from 0 to {LARGEST_SEED}")
    return int(text)


def unsendable(key: str) -> str:
    """Why a key cannot be the value of a header, without showing the key; '' if it can."""
    if key != key.strip(" "):
        return "a space stands at its beginning or end"
    for place, char in enumerate(key, start=1):
        if not char.isprintable() and char != "\xa0":
            return f"character {place} is {_named(char)}"
        if char > "\xff":
            return f"character {place} is outside Latin-1"
    return ""


def _named(char: str) -> str:
    return {"\n": "a line feed", "\r": "a carriage return", "\t": "a tab"}.get(char, f"U+{ord(char):04X}")


def recording_file(value: str | None, source: str) -> Path | None:
    """A file to record into: a new one, or a recording of log probabilities that this run extends."""
    if value is not None and value.endswith(".jsonl") and is_file(expanded(value)) and is_baseline(expanded(value)):
        return expanded(value)
    return output_file(value, source)


def require_use(values: Mapping[str, object], url_source: str) -> None:
    """UsageProblem when the command line has options of a launched engine, which an attached endpoint does not obey."""
    for option in OPTIONS:
        if option.key.startswith(_LAUNCHED_ONLY) and values.get(option.dest) is not None:
            what = "is for an engine that this run starts, but"
            raise UsageProblem(
                f"--{option.name} {what} {url_source} names one that runs already; leave one of them out"
            )


def load(values: Mapping[str, object], env: Mapping[str, str], profile: str, reason: str) -> Settings:
    """Settings from option values (by dest), the environment and the chosen profile."""
    picked = {option.dest: given(option, values.get(option.dest), env) for option in OPTIONS}
    url, url_source = picked["vlm_base_url"]
    if url:
        require_use(values, url_source)
    loaded = load_profile(profile, PROFILES, overrides(values, env))
    loaded.profile.check(launched=not url)
    key_name, key_source = picked["vlm_api_key_env"]
    judged = picked["vlm_judge"][0] is not None  # nothing is sent: no variable is read
    stored, own = input_file(*picked["vlm_baseline"]), loaded.profile.logprobs.baseline
    stored_logprobs = stored if stored is not None and is_baseline(stored) else None
    record = recording_file(*picked["vlm_record_baseline"])
    of_logprobs = record is not None and record.suffix == ".jsonl"
    reports, _ = picked["vlm_reports"]
    evidence, source = picked["vlm_evidence"]
    if evidence is not None and evidence not in EVIDENCE:
        allowed = f"{', '.join(EVIDENCE)}.{nearest(evidence, EVIDENCE)}"
        raise UsageProblem(f"{source}: {evidence!r} is not allowed; it is one of: {allowed}")
    return Settings(
        loaded=loaded,
        base_url=checked_url(url, url_source) if url else None,
        api_key_env=key_name,
        api_key=None if judged else api_key(key_name, key_source, env),
        # absolute: the lines that repeat a request must work from anywhere
        reports=expanded(reports).absolute() if reports else default_reports(),
        evidence=evidence or "failed",
        calibrate=output_file(*picked["vlm_calibrate"]),
        record_baseline=None if of_logprobs else record,
        resume=picked["vlm_resume"][0],
        baseline=None if stored_logprobs else stored,
        profile_reason=reason,
        logprobs_baseline=stored_logprobs or (resolve_existing(own, "logprobs.baseline") if own else None),
        record_logprobs=record if of_logprobs else None,
        seed=seed_of(*picked["vlm_seed"]),
        judged=judged,
        headers=further_headers(loaded.profile.endpoint.headers, env) if url and not judged else {},
    )

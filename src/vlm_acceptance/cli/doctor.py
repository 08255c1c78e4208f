"""What can be known in seconds before a run, of this machine or of a running endpoint.

    vlm-acceptance doctor [URL] [--json] [options of a run]

Each line is ok, a warning or a failure, with its remedy. Nothing is started, downloaded or reserved.
Exit code: 0, 10 with a failure, 4 for a wrong option.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NoReturn

from vlm_acceptance.config.options import OPTIONS, PROFILES, api_key, given, overrides, require_use
from vlm_acceptance.config.profile_file import Loaded, load_profile
from vlm_acceptance.core.errors import UsageProblem, nearest
from vlm_acceptance.core.files import expanded
from vlm_acceptance.core.help_text import HelpText
from vlm_acceptance.core.language import tr
from vlm_acceptance.core.masking import Mask, secrets_in
from vlm_acceptance.core.text import filled_up, printable
from vlm_acceptance.core.verdict import EXIT
from vlm_acceptance.engine import machine
from vlm_acceptance.engine.diagnosis import FAILURE, LIMIT_S, OK, WARNING, Line, Probe, examine
from vlm_acceptance.run import profile_choice
from vlm_acceptance.run.doctor import LaunchDoctor, of_suite
from vlm_acceptance.run.doctor_endpoint import EndpointDoctor

USAGE = 4
SCHEMA = 1
TAKEN = (
    "vlm-profile", "vlm-base-url", "vlm-set", "vlm-engine-python", "vlm-engine", "vlm-model", "vlm-port",
    "vlm-api-key-env", "vlm-reports",
)  # fmt: skip


class Doctor:
    """One examination: of the endpoint of --vlm-base-url if there is one, else of this machine.

    UsageProblem for what a run refuses, too. `source` is what gave the URL, if not its option.
    No secret is in its lines and its proposal.
    """

    def __init__(self, values: Mapping[str, object], env: Mapping[str, str], source: str = "") -> None:
        picked = {option.dest: given(option, values.get(option.dest), env) for option in OPTIONS}
        self.url, url_source = picked["vlm_base_url"]
        self.name, reason = picked["vlm_profile"]
        key = api_key(*picked["vlm_api_key_env"], env)
        self._secrets = [key, *secrets_in(env)]
        reports = picked["vlm_reports"][0]
        folder = expanded(reports or "reports").absolute()  # that of a run of the command in this folder
        self.endpoint: EndpointDoctor | None = None
        if self.url:
            require_use(values, source or url_source)
            attached = self._of_endpoint(values, env, source or url_source)
            self.probes = of_suite(folder, env, machine.ATTACHED_GIB) + attached
            return
        if self.name is None:
            chosen = profile_choice.of_machine(env)
            self.name, reason = chosen.name, chosen.reason
        loaded = self._loaded(values, env, self.name)
        launch = LaunchDoctor(loaded, reason, key, env)
        self.probes = of_suite(folder, env, machine.LAUNCHED_GIB) + launch.probes()

    def lines(self) -> Iterator[Line]:
        """The lines of all probes, as they are found."""
        for probe in self.probes:
            for line in examine(probe, LIMIT_S):
                yield Line(line.check, line.status, self._mask(printable(" ".join(line.message.split()))))

    @property
    def proposal(self) -> str | None:
        """A profile of two lines for a model without a profile, after the lines were read."""
        proposed = self.endpoint.proposed if self.endpoint else None
        return None if proposed is None else self._mask(proposed)

    def _mask(self, text: str) -> str:
        return Mask(*self._secrets)(text)

    def _loaded(self, values: Mapping[str, object], env: Mapping[str, str], name: str) -> Loaded:
        loaded = load_profile(name, PROFILES, overrides(values, env))
        if self.name:
            loaded.profile.check(launched=not self.url)
        self._secrets += secrets_in(loaded.profile.engine.env)
        return loaded

    def _of_endpoint(self, values: Mapping[str, object], env: Mapping[str, str], source: str) -> list[Probe]:
        client = profile_choice.client_of(values, env, self.name or "", source)
        self._secrets += client.gateway.headers.values()
        # without a profile the overrides alone are checked, with that of the control
        loaded = self._loaded(values, env, self.name or profile_choice.CONTROL)
        profile = loaded.profile if self.name else None
        only_v1 = profile_choice.reached_by(values, env, self.name or "").only_v1
        self.endpoint = EndpointDoctor(client, profile, profile_choice.deploying, only_v1)
        return self.endpoint.probes()


def main(args: Sequence[str] | None = None) -> int:
    """Examine and print; 0, 10 when a line is a failure, 4 for a wrong option or profile."""
    try:
        options = vars(_parser().parse_args(args))
        is_argument = options["url"] is not None
        if is_argument:
            if not options["url"]:
                raise UsageProblem("URL: the value is empty")
            if options["vlm_base_url"]:
                raise UsageProblem("URL and --vlm-base-url are both given; give one")
            options["vlm_base_url"] = options["url"]
        doctor = Doctor(options, os.environ, "URL" if is_argument else "")
    except UsageProblem as wrong:
        sys.stderr.write(f"{tr('error')}: {tr(str(wrong))}\n")
        return USAGE
    return _as_json(doctor) if options["json"] else _as_text(doctor)


def _as_text(doctor: Doctor) -> int:
    lines = []
    for line in doctor.lines():
        check = filled_up(tr(line.check), -15)
        sys.stdout.write(f"{filled_up(tr(line.status), -8)} {check} {tr(line.message)}\n")
        sys.stdout.flush()
        lines.append(line)
    counts = _counts(lines)
    counted = {"ok": counts[OK], "warnings": counts[WARNING], "failures": counts[FAILURE]}
    sys.stdout.write(tr("{ok} ok, {warnings} warning(s), {failures} failure(s)\n", **counted))
    return _exit_code(counts)


def _as_json(doctor: Doctor) -> int:
    lines = list(doctor.lines())
    counts = _counts(lines)
    document = {
        "schema": SCHEMA,
        "examined": "endpoint" if doctor.url else "machine",
        "url": doctor.url,
        "profile": doctor.name,
        "lines": [asdict(line) for line in lines],
        "counts": counts,
        "proposed_profile": doctor.proposal,
        "exit_code": _exit_code(counts),
    }
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=1) + "\n")
    return _exit_code(counts)


def _counts(lines: Sequence[Line]) -> dict[str, int]:
    found = [line.status for line in lines]
    return {status: found.count(status) for status in (OK, WARNING, FAILURE)}


def _exit_code(counts: Mapping[str, int]) -> int:
    return EXIT["environment"] if counts[FAILURE] else EXIT["accepted"]


class _Parser(argparse.ArgumentParser):
    """Reports a wrong argument as a UsageProblem that names the nearest option."""

    def error(self, message: str) -> NoReturn:
        raise UsageProblem(f"vlm-acceptance doctor: {message}; --help lists the options")

    def parse_args(self, *args: Any, **options: Any) -> Any:
        found, unknown = self.parse_known_args(*args, **options)
        if unknown:
            word = unknown[0].partition("=")[0]
            names = [name for action in self._actions for name in action.option_strings]
            raise UsageProblem(f"unknown argument {word!r}; --help lists the options.{nearest(word, names)}")
        return found


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="vlm-acceptance doctor",
        description=__doc__,
        formatter_class=HelpText,
        allow_abbrev=False,
    )
    parser.add_argument("url", nargs="?", metavar="URL", help="examine the endpoint at this URL, not this machine")
    parser.add_argument("--json", action="store_true", help="one JSON document in place of lines")
    for option in (option for option in OPTIONS if option.name in TAKEN):
        names = (f"--{option.name}", f"--{option.name.removeprefix('vlm-')}")
        action = "append" if option.many else "store"
        parser.add_argument(*names, dest=option.dest, metavar=option.metavar, help=option.help, action=action)
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""The files of deploy/, and a bench where their commands run, with stand-ins for the suite and for docker."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.runs import ROOT

DEPLOY = ROOT / "deploy"
LIMIT_S = 180

# writes what a run leaves, and ends with the next of $CODES (the last one again and again); `hang` waits for SIGTERM
SUITE = """#!/bin/bash
echo "vlm-acceptance $*" >>"$BENCH/calls"
reports=${VLM_REPORTS:-reports}
for word in "$@"; do
    case $word in --vlm-reports=*) reports=${word#*=} ;; esac
done
codes=($CODES)
attempt=$(wc -l <"$BENCH/calls")
code=${codes[attempt - 1]:-${codes[-1]}}
echo "$ASCEND_TOOLKIT $ATB" >"$BENCH/cann"
echo "$HOME" >"$BENCH/home"
end() {
    mkdir -p "$reports/runs/$attempt"
    echo "<testsuites/>" >"$reports/junit.xml"
    case $1 in
        0) word=ACCEPTED ;; 1) word=REJECTED ;; *) word=INCONCLUSIVE ;;
    esac
    echo "$word  InternVL2-2B" >"$reports/runs/$attempt/verdict.txt"
    ln -sfn "runs/$attempt" "$reports/latest"
    exit "$1"
}
if [ "$code" = hang ]; then
    trap 'kill $!; end 11' TERM
    sleep 600 &
    wait $!
fi
end "$code"
"""
# refuses the arguments of the script that sources it, as the file of ATB would misread them
SET_ENV = """if [ $# != 0 ]; then echo "set_env.sh was given: $*" >&2; exit 99; fi
export {name}=sourced
"""
# runs the command that follows the image in the same way as the image would
DOCKER = """#!/bin/bash
printf '%s\\n' "$@" >"$BENCH/docker"
while [ "$1" != run ]; do shift; done
shift
while [[ $1 == -* ]]; do shift; done
shift
exec with-cann "$@"
"""
SLEEP = """#!/bin/bash
if [ "$1" = 60 ]; then echo pause >>"$BENCH/pauses"; else exec /bin/sleep "$@"; fi
"""


def documents(name: str) -> list[dict[str, Any]]:
    """The YAML documents of a recipe. `on`, which YAML 1.1 reads as true, is the text again."""
    found = list(yaml.safe_load_all((DEPLOY / name).read_text("utf-8")))
    return [{"on" if key is True else key: value for key, value in document.items()} for document in found]


def job_spec(name: str) -> dict[str, Any]:
    """The specification of the Job in a recipe for Kubernetes."""
    (document,) = documents(name)
    spec: dict[str, Any] = document["spec"]
    return spec["jobTemplate"]["spec"] if document["kind"] == "CronJob" else spec


def gitlab_jobs() -> dict[str, dict[str, Any]]:
    """The jobs of the recipe for GitLab, each with what it extends."""
    (document,) = documents(".gitlab-ci.yml")
    jobs = {name: job for name, job in document.items() if isinstance(job, dict)}
    found = {}
    for name, job in jobs.items():
        if not name.startswith("."):
            own = {key: value for key, value in job.items() if key != "extends"}
            found[name] = {**jobs.get(job.get("extends", ""), {}), **own}
    return found


def instructions() -> list[tuple[str, str]]:
    """(instruction, its text) of the Dockerfile, continued lines joined."""
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    lines = re.sub(r"\\\n\s*", "", "\n".join(line for line in text.splitlines() if not line.startswith("#")))
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines.splitlines() if line]


@dataclass(frozen=True, slots=True)
class Done:
    """Exit code and output of a script."""

    code: int
    output: str


class Bench:
    """A folder with a machine's parts that recipes name by absolute paths, and programs that stand in for others."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.work = folder / "work"
        for made in (self.bin, self.work, folder / "dev"):
            made.mkdir(parents=True)
        for name, text in {"vlm-acceptance": SUITE, "docker": DOCKER, "sleep": SLEEP}.items():
            self.program(name, text)
        for part, name in {"ascend-toolkit": "ASCEND_TOOLKIT", "nnal/atb": "ATB"}.items():
            file = self.path(f"/usr/local/Ascend/{part}/set_env.sh")
            file.parent.mkdir(parents=True)
            file.write_text(SET_ENV.format(name=name), "utf-8")
        self.program("with-cann", (DEPLOY / "with-cann.sh").read_text("utf-8"))

    def path(self, absolute: str) -> Path:
        """Where a path of the machine or of the image is on this bench."""
        return self.folder / absolute.lstrip("/")

    def placed(self, text: str) -> str:
        """A script with the paths of the machine and the image replaced by those of this bench."""
        return re.sub(r"(?<![\w./}])/(?=(usr/local|dev|etc|opt|root|reports)\b(?!/null))", f"{self.folder}/", text)

    def program(self, name: str, text: str) -> None:
        """Put a program on the PATH of this bench."""
        file = self.bin / name
        file.write_text(self.placed(text) if name == "with-cann" else text, "utf-8")
        file.chmod(0o755)

    def run(self, script: str, codes: str, args: Sequence[str] = (), **env: str) -> Done:
        """Run a script with bash as GitLab and GitHub do; `codes` are the exit codes of the suite, one a call."""
        argv = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", self.placed(script), "script", *args]
        known = {"PATH": f"{self.bin}:{os.environ['PATH']}", "HOME": str(self.folder / "root")}
        given = {**known, "BENCH": str(self.folder), "CODES": codes, **env}
        done = subprocess.run(
            argv, env=given, cwd=self.work, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip
        return Done(done.returncode, done.stdout)

    def lines(self, name: str) -> list[str]:
        """The lines of a file that a stand-in wrote: calls, cann, docker, home, pauses."""
        file = self.folder / name
        return file.read_text("utf-8").splitlines() if file.exists() else []

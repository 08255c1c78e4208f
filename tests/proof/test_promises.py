"""Engines that start, answer and end, but do not do what their profile states."""

from __future__ import annotations

import pytest
from check_ids import FIGURES, GUIDE, LEAK, OFFLINE, node

from vlm_acceptance.cases.picture_servers import serve_pictures
from vlm_acceptance.config.paths import ROOT

IMAGES = ROOT / "fixtures" / "images"
LOGO = "--vlm-set=capability.url_picture"
LAUNCHED = ("--vlm-profile=control-cpu", "--vlm-set=offline.enabled=false", "-m", "smoke or slow")


@pytest.mark.fault("memory-leaked")
def test_engine_that_keeps_a_megabyte_of_every_request_is_rejected(accept, stand_in_engine, prove):
    args = (*LAUNCHED, "--vlm-soak-s=20", node(LEAK), f"--vlm-engine={stand_in_engine}")
    assert accept(*args, env={"VLM_STANDIN": "answers-slowly"}).refused_by == set()
    run = accept(*args, env={"VLM_STANDIN": "leaks"})
    assert "at most 64 KB more a request" in run.messages
    prove("memory-leaked", run)


@pytest.mark.fault("log-of-another-model")
def test_engine_whose_log_shows_another_model_is_rejected(accept, stand_in_engine, prove):
    args = (*LAUNCHED, node(FIGURES), f"--vlm-engine={stand_in_engine}")
    right = accept(*args, "--vlm-set=model_memory_gib={value: 4.12, tolerance: 0.1}", env={"VLM_STANDIN": "ready"})
    assert right.refused_by == set()
    run = accept(*args, "--vlm-set=model_memory_gib={value: 15.5, tolerance: 0.1}", env={"VLM_STANDIN": "ready"})
    assert "model memory in GiB: 15.5" in run.messages
    prove("log-of-another-model", run)


@pytest.mark.fault("logo-exclaimed")
def test_engine_that_answers_the_guides_request_with_no_text_is_rejected(accept, stand_in_engine, prove):
    with serve_pictures(IMAGES) as url:
        args = (*LAUNCHED, f"{LOGO}={url}/probe/red.png", node(GUIDE), f"--vlm-engine={stand_in_engine}")
        right = accept(*args, env={"VLM_STANDIN": "reads-logo"})
        run = accept(*args, env={"VLM_STANDIN": "exclaims"})
    (test,) = right.summary["tests"]
    assert (test["outcome"], test["properties"]["answer"]) == ("passed", "TONGYI Qwen"), right.out
    assert "times in a row" in run.messages
    prove("logo-exclaimed", run)


@pytest.mark.fault("logo-replaced")
def test_guides_request_about_another_picture_is_rejected(accept, stand_in_engine, prove):
    # the stand-in counts every picture as one tile; this one has more
    with serve_pictures(IMAGES) as url:
        args = (*LAUNCHED, f"{LOGO}={url}/description/receipt-1.png", node(GUIDE), f"--vlm-engine={stand_in_engine}")
        run = accept(*args, env={"VLM_STANDIN": "reads-logo"})
    assert "448x448: 0 more; expected " in run.messages
    prove("logo-replaced", run)


@pytest.mark.fault("offline-differs")
def test_offline_engine_that_answers_otherwise_than_the_server_is_rejected(accept, prove):
    # another epsilon in the offline engine alone: its texts and log probabilities differ from the server's
    other = '--vlm-set=offline.llm.hf_overrides={"llm_config": {"rms_norm_eps": 0.5}}'
    run = accept("-m", "smoke or slow", "--vlm-profile=control-cpu", other, *map(node, OFFLINE))
    prove("offline-differs", run)

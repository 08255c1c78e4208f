"""`vllm bench serve`: its command line, its result, and its failures."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

from vlm_acceptance.engine.process import run_tag
from vlm_acceptance.engine.serve_benchmark import Bench, argv, beside, figures, measure

WANTED = Bench("http://127.0.0.1:1", "a/model", Path("/models/a"), 4, 20)
RESULT = {
    "completed": 32,
    "failed": 0,
    "max_concurrency": 4,
    "request_throughput": 25.0,
    "output_throughput": 799.86,
    **{f"{share}_{name}_ms": 1000.0 for share in ("p50", "p90", "p99") for name in ("ttft", "tpot")},
}
TOOL = """
import json, os, sys
options = dict(zip(sys.argv[3::2], sys.argv[4::2]))
assert sys.argv[1:3] == ["bench", "serve"]
{act}
with open(os.path.join(options["--result-dir"], options["--result-filename"]), "w") as file:
    json.dump({result}, file)
"""
WRITES = (
    "path = os.path.join(options['--result-dir'], options['--result-filename']); open(path, 'w').write({}); sys.exit(0)"
)


def measured(folder: Path, act: str = "", result: object = RESULT, wanted: Bench = WANTED) -> dict[str, str]:
    tool = folder / "tool.py"
    tool.write_text(TOOL.format(act=act, result=repr(result)), "utf-8")
    return measure((sys.executable, str(tool)), wanted, {}, folder, run_tag(), "sk-1")


def test_nothing_is_downloaded_and_no_key_is_on_the_command_line() -> None:
    line = argv(("vllm",), WANTED, Path("/reports"))
    assert line[:3] == ["vllm", "bench", "serve"]
    assert line[line.index("--tokenizer") + 1] == "/models/a"
    assert line[line.index("--dataset-name") + 1] == "random"
    assert line[line.index("--num-prompts") + 1] == "32"


def test_its_figures_have_our_names() -> None:
    assert figures(RESULT) == {
        "vllm_bench": "32 answers, 0 failed; random text, 64 in and 32 out, 4 at once",
        "vllm_bench_requests_per_s": "25.00",
        "vllm_bench_output_tokens_per_s": "799.86",
        "vllm_bench_ttft": "p50 1, p90 1, p99 1 s",
        "vllm_bench_tpot": "p50 1, p90 1, p99 1 s",
    }


@pytest.mark.parametrize(
    "bad", [math.nan, math.inf, -math.inf, 10**400, True, "25", None], ids=lambda bad: str(bad)[:8]
)
def test_a_figure_that_is_no_number_is_left_out(bad: object) -> None:
    seen = figures({**RESULT, "request_throughput": bad, "p90_ttft_ms": bad})
    assert seen.keys() == figures(RESULT).keys() - {"vllm_bench_requests_per_s", "vllm_bench_ttft"}


def test_its_result_is_read_and_its_environment_has_the_key(tmp_path: Path) -> None:
    seen = measured(tmp_path, "assert os.environ['OPENAI_API_KEY'] == 'sk-1' and 'sk-1' not in sys.argv")
    assert seen == figures(RESULT)


@pytest.mark.parametrize(
    ("act", "result", "says"),
    [
        ("sys.exit('no such command')", RESULT, "no such command"),
        ("import time; time.sleep(60)", RESULT, "not done after 2 s"),
        ("", [], "not a JSON object"),
        ("sys.exit(0)", RESULT, "vllm-bench.json"),
        (WRITES.format("'[' * 100_000"), RESULT, "recursion"),
        (WRITES.format("'[' + '1,' * (20 << 20)"), RESULT, "more than"),
    ],
)
def test_its_failure_is_reported(tmp_path: Path, act: str, result: object, says: str) -> None:
    wanted = Bench("http://127.0.0.1:1", "a/model", tmp_path, 4, 2 if "sleep" in act else 20)
    seen = measured(tmp_path, act, result, wanted)
    assert list(seen) == ["vllm_bench"]
    assert seen["vllm_bench"].startswith("no figure: ")
    assert says in seen["vllm_bench"]


def test_one_line_compares_it_with_ours() -> None:
    assert beside(figures(RESULT), 12.8, 100).endswith(
        "4 at once: 25.00 requests/s, 799.86 output tokens/s; "
        "the soak, pictures and texts: 12.80 requests/s, 100.00 output tokens/s"
    )
    assert beside({"vllm_bench": "no figure: x"}, 1, 1).startswith("vllm bench serve: no figure: x; the soak")

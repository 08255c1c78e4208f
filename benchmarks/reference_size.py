"""Memory and time of the own route at InternVL2-2B's real size, with random weights (`scripts/random_checkpoint.py`).

`python benchmarks/reference_size.py MODEL [--stream-layers] [--prompts 12] [--threads 2]` answers prompts of
fixtures/baselines with the pictures of two enlarged to 12 tiles and the thumbnail. Exit code 1: more memory than
11 GB, with --stream-layers more than 6 GB, or a prompt without the tiles that were asked for. One run at a time, and
nothing else on the machine: the seconds are its own.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src")]

import torch  # noqa: E402
from PIL import Image  # noqa: E402

from vlm_acceptance.core.logprobs import LogProbPrompt, read_prompts  # noqa: E402
from vlm_acceptance.reference.own import OwnRoute  # noqa: E402
from vlm_acceptance.reference.prompts import Prompter  # noqa: E402
from vlm_acceptance.reference.route import Asked  # noqa: E402
from vlm_acceptance.reference.shape import Shape, read_shape  # noqa: E402

IMAGES = ROOT / "fixtures" / "images"
PROMPTS = ROOT / "fixtures" / "baselines" / "prompts.jsonl"
ENLARGED = 2
MOST_GB = {False: 11.0, True: 6.0}
GB = 1e9


def chosen(count: int) -> list[LogProbPrompt]:
    """Prompts of the file at equal distances; the first ones have pictures."""
    prompts = read_prompts(PROMPTS)
    with_picture = [prompt for prompt in prompts if prompt.pictures]
    rest = [prompt for prompt in prompts if not prompt.pictures]
    return [*with_picture[:: max(1, len(with_picture) // (count - 2))][: count - 2], *rest[:2]]


def asked(model: Path, shape: Shape, prompts: Sequence[LogProbPrompt], temp: Path) -> list[Asked]:
    """The prompts as the network gets them; pictures of the first two have 12 tiles."""
    prompter = Prompter(model, shape)
    found = []
    for number, prompt in enumerate(prompts):
        names = []
        for name in prompt.pictures:
            with Image.open(IMAGES / name) as picture:
                side = shape.rule.tile_px
                large = picture.convert("RGB").resize((4 * side, 3 * side)) if number < ENLARGED else picture.copy()
            names.append(f"{number}-{len(names)}.png")
            large.save(temp / names[-1])
        found.append(prompter.asked(replace(prompt, pictures=tuple(names)), temp))
    return found


def memory(key: str) -> float:
    """A figure of this process in GB, by its name in /proc/self/status."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:")) * 1024 / GB


def main() -> int:
    """Prints tokens, seconds and memory."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("model", type=Path)
    options.add_argument("--stream-layers", action="store_true")
    options.add_argument("--prompts", type=int, default=12)
    options.add_argument("--max-tokens", type=int, default=80)
    options.add_argument("--arithmetic", default="float32")
    options.add_argument("--threads", type=int, default=2)
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    shape = read_shape(given.model)
    with tempfile.TemporaryDirectory(prefix="reference-size-") as temp:
        prompts = [replace(each, max_tokens=given.max_tokens) for each in chosen(given.prompts)]
        questions = asked(given.model, shape, prompts, Path(temp))
        lengths = [len(each.tokens) for each in questions]
        start, load = time.monotonic(), os.getloadavg()[0]
        route = OwnRoute(given.model, arithmetic=given.arithmetic, stream_layers=given.stream_layers)
        answers = route.answer(questions, 20)
    seconds = time.monotonic() - start
    peak = memory("VmHWM")
    print(f"prompt tokens {lengths}; answer tokens {[len(each.tokens) for each in answers]}")
    print(f"{seconds:.0f} s, {seconds / len(answers):.1f} s a prompt, {time.process_time():.0f} s of CPU")
    print(f"load average {load:.1f} before, {os.getloadavg()[0]:.1f} after, {given.threads} threads")
    most = MOST_GB[given.stream_layers]
    print(f"peak memory {peak:.2f} GB of at most {most:.0f} GB; anonymous at the end {memory('RssAnon'):.2f} GB")
    tokens = (12 + shape.rule.thumbnail) * shape.tile_tokens
    is_large = all(length > tokens for length in lengths[:ENLARGED])
    return int(peak > MOST_GB[given.stream_layers] or not is_large)


if __name__ == "__main__":
    sys.exit(main())

"""Each mutant of the control has exactly the fault that its line states; read without an engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jinja2
import mutant_engine
import mutants
import owners
import pytest
from PIL import Image

MODEL = mutants.MODEL
WEIGHTS, CONFIG, TEMPLATE = {"model.safetensors"}, {"config.json"}, {"tokenizer_config.json"}
CHANGED: dict[str, set[str]] = {
    **dict.fromkeys(("blind", "blind-mlp1", "bgr", "mean-std"), WEIGHTS),
    **dict.fromkeys(("int3", "int4", "int8", "fp8", "noise1", "noise5"), WEIGHTS),
    **dict.fromkeys(("layer-dropped", "vision-layer-dropped"), WEIGHTS | CONFIG),
    **dict.fromkeys(("no-thumbnail", "no-tiling", "pixel-shuffle-v1", "rope-base", "norm-eps", "norm-eps-10"), CONFIG),
    **dict.fromkeys(("no-role-newline", "no-newline", "no-bos", "no-generation-prompt", "foreign-system"), TEMPLATE),
    "tokenizer": {"tokenizer.json"},
}
SAID = "<|im_start|>user\nhello<|im_end|>\n"


def made(name: str, tmp_path: Path) -> Path:
    """A mutant's folder; skips where its weights cannot be written."""
    if WEIGHTS & CHANGED[name]:
        pytest.importorskip("torch")
        pytest.importorskip("safetensors")
    mutants.make(name, tmp_path / name)
    return tmp_path / name


def config(folder: Path) -> dict[str, Any]:
    """The configuration in a folder."""
    return json.loads((folder / "config.json").read_text("utf-8"))


def weights(folder: Path) -> dict[str, Any]:
    """Tensors in a folder, in fp32."""
    loaded = pytest.importorskip("safetensors.torch").load_file(str(folder / "model.safetensors"))
    return {name: tensor.float() for name, tensor in loaded.items()}


def prompt(folder: Path) -> str:
    """One short message in the template of the folder."""
    settings = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    template = jinja2.Environment(autoescape=False).from_string(settings["chat_template"])
    said = [{"role": "user", "content": "hello"}]
    return template.render(messages=said, bos_token=settings["bos_token"], add_generation_prompt=True)


def test_every_mutant_has_an_owner_and_says_which_files_it_changes() -> None:
    made = set(mutants.MAKERS) | set(mutant_engine.FAULTS)
    assert set(owners.MUTANTS) | set(owners.DISTANT) == made
    assert not set(owners.MUTANTS) & set(owners.DISTANT)
    assert set(CHANGED) == set(mutants.MAKERS)


@pytest.mark.parametrize("name", CHANGED)
def test_a_mutant_changes_its_files_and_no_other(name: str, tmp_path: Path) -> None:
    folder = made(name, tmp_path)
    changed = {file.name for file in MODEL.iterdir() if file.read_bytes() != (folder / file.name).read_bytes()}
    assert changed == CHANGED[name]


def test_the_sound_template_is_the_one_the_control_was_taught() -> None:
    assert prompt(MODEL) == f"<s>{SAID}<|im_start|>assistant\n"


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("no-role-newline", "<s><|im_start|>userhello<|im_end|>\n<|im_start|>assistant\n"),
        ("no-newline", "<s><|im_start|>user\nhello<|im_end|><|im_start|>assistant\n"),
        ("no-bos", f"{SAID}<|im_start|>assistant\n"),
        ("no-generation-prompt", f"<s>{SAID}"),
        (
            "foreign-system",
            f"<s><|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{SAID}<|im_start|>assistant\n",
        ),
    ],
)
def test_a_mutant_of_the_template_is_wrong_at_one_place(name: str, wrong: str, tmp_path: Path) -> None:
    assert prompt(made(name, tmp_path)) == wrong


@pytest.mark.parametrize(
    ("name", "part", "key", "value"),
    [
        ("no-thumbnail", None, "use_thumbnail", False),
        ("no-tiling", None, "max_dynamic_patch", 1),
        ("pixel-shuffle-v1", None, "ps_version", "v1"),
        ("rope-base", "llm_config", "rope_theta", 5e5),
        ("norm-eps", "llm_config", "rms_norm_eps", 1e-2),
        ("norm-eps-10", "llm_config", "rms_norm_eps", 1e-4),
        ("layer-dropped", "llm_config", "num_hidden_layers", 3),
        ("vision-layer-dropped", "vision_config", "num_hidden_layers", 2),
    ],
)
def test_a_mutant_of_the_configuration_differs_in_one_value(
    name: str, part: str | None, key: str, value: object, tmp_path: Path
) -> None:
    right, wrong = config(MODEL), config(made(name, tmp_path))
    (right[part] if part else right)[key] = value
    assert wrong == right


def test_a_value_that_is_set_already_is_no_mutant(tmp_path: Path) -> None:
    folder = made("no-tiling", tmp_path)
    with pytest.raises(ValueError, match="already"):
        mutants.no_tiling(folder)


def test_the_tokenizer_of_a_mutant_exchanges_two_digits(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    right, wrong = (
        tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        for folder in (MODEL, made("tokenizer", tmp_path))
    )
    assert wrong.decode(right.encode("7.25 and hello").ids) == "7.52 and hello"


@pytest.mark.parametrize(("name", "values"), [("int3", 7), ("int4", 15)])
def test_rounded_weights_have_few_values_in_a_group(name: str, values: int, tmp_path: Path) -> None:
    rounded = weights(made(name, tmp_path))["language_model.model.layers.0.feed_forward.w1.weight"]
    groups = rounded.reshape(-1, mutants.GROUP)
    counts = [len(group.unique()) for group in groups]
    assert max(counts) <= values
    assert max(counts) > values // 2


@pytest.mark.parametrize(("name", "least", "most"), [("int8", 128, 255), ("fp8", 80, 255)])
def test_weights_of_eight_bits_have_many_values_in_an_output(name: str, least: int, most: int, tmp_path: Path) -> None:
    layer = "language_model.model.layers.0.feed_forward.w2.weight"
    right, wrong = weights(MODEL)[layer], weights(made(name, tmp_path))[layer]
    assert max(len(output.unique()) for output in wrong) in range(least, most + 1)
    assert 0 < (wrong - right).abs().mean() / right.abs().mean() < 0.03


@pytest.mark.parametrize(("name", "share"), [("noise1", 0.01), ("noise5", 0.05)])
def test_shaken_weights_are_off_by_their_share(name: str, share: float, tmp_path: Path) -> None:
    layer = "language_model.model.layers.0.feed_forward.w1.weight"
    right, wrong = weights(MODEL)[layer], weights(made(name, tmp_path))[layer]
    off = (wrong / right - 1)[right.abs() > 1e-3]
    assert 0.9 * share < off.std() < 1.2 * share


def test_blind_mutants_let_nothing_of_a_picture_through(tmp_path: Path) -> None:
    assert not weights(made("blind", tmp_path))[f"{mutants.EMBED}.weight"].any()
    last = weights(made("blind-mlp1", tmp_path))
    assert not (last["mlp1.3.weight"].any() or last["mlp1.3.bias"].any())


def test_the_layers_of_a_mutant_are_the_others_in_their_order(tmp_path: Path) -> None:
    right, wrong = weights(MODEL), weights(made("layer-dropped", tmp_path))
    name = "feed_forward.w1.weight"
    assert [key for key in sorted(wrong) if key.endswith(name)] == [f"{mutants.SPEAKS}{n}.{name}" for n in (0, 1, 2)]
    assert (wrong[f"{mutants.SPEAKS}1.{name}"] == right[f"{mutants.SPEAKS}2.{name}"]).all()


@pytest.mark.parametrize("name", ["bgr", "mean-std"])
def test_a_mutant_of_the_pixels_embeds_them_as_if_they_were_fed_wrongly(name: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    right, wrong = weights(MODEL), weights(made(name, tmp_path))
    pixels = torch.rand(1, 3, 14, 14, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (mutants.MEAN, mutants.STD))
    fed = (pixels.flip(1) - mean) / std if name == "bgr" else (pixels - 0.5) / 0.5

    def embedded(model: dict[str, Any], values: Any) -> Any:
        kernel, bias = model[f"{mutants.EMBED}.weight"], model[f"{mutants.EMBED}.bias"]
        return torch.nn.functional.conv2d(values, kernel, bias, stride=14)

    # the mutant's weights are stored in bf16
    torch.testing.assert_close(embedded(wrong, (pixels - mean) / std), embedded(right, fed), atol=0.03, rtol=0.02)
    assert not torch.allclose(embedded(right, (pixels - mean) / std), embedded(right, fed), atol=0.1)


class Picture:
    """Remembers how it was resized."""

    size = (300, 200)

    def __init__(self) -> None:
        self.resized: list[tuple[object, ...]] = []

    def resize(self, *asked: object) -> str:
        self.resized.append(asked)
        return "resized"


def cut(image: object, *, use_thumbnail: bool, tiles: int = 3) -> list[object]:
    """Numbered tiles and the thumbnail, as an engine cuts them."""
    return [*range(tiles), *(["thumbnail"] if use_thumbnail and tiles > 1 else [])]


@pytest.mark.parametrize(
    ("name", "wrong"), [("tiles-reversed", [2, 1, 0, "thumbnail"]), ("thumbnail-first", ["thumbnail", 0, 1, 2])]
)
def test_a_mutant_of_the_tiles_orders_them_wrongly(name: str, wrong: list[object]) -> None:
    broken = mutant_engine.FAULTS[name](cut)
    assert broken(None, use_thumbnail=True) == wrong
    assert broken(None, use_thumbnail=True, tiles=1) == [0]
    assert sorted(broken(None, use_thumbnail=False)) == [0, 1, 2]


def shades(tiles: list[Any]) -> list[object]:
    return [tile.getpixel((0, 0)) for tile in tiles]


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("tiles-grey", [0, 128, 128, 3]), ("thumbnail-grey", [0, 1, 2, 128]), ("tiles-dropped", [0])],
)
def test_a_mutant_of_the_tiles_loses_what_they_show(name: str, wrong: list[object]) -> None:
    def cut(*, use_thumbnail: bool, tiles: int = 3) -> list[Any]:
        count = tiles + (use_thumbnail and tiles > 1)
        return [Image.new("L", (4, 4), shade) for shade in range(count)]

    broken = mutant_engine.FAULTS[name](cut)

    assert shades(broken(use_thumbnail=True)) == wrong
    assert shades(broken(use_thumbnail=True, tiles=1)) == [0]
    bare = {"tiles-grey": [0, 128, 128], "thumbnail-grey": [0, 1, 2], "tiles-dropped": [0]}
    assert shades(broken(use_thumbnail=False)) == bare[name]


@pytest.mark.parametrize(("name", "number"), [("nearest", 0), ("bilinear", 2)])
def test_a_coarse_mutant_resizes_by_its_filter_and_changes_nothing_else(name: str, number: int) -> None:
    picture = Picture()
    seen = []

    def resizing(image: Any, **options: Any) -> list[object]:
        seen.append((image.size, options))
        return [image.resize((112, 112))]

    assert mutant_engine.FAULTS[name](resizing)(picture, use_thumbnail=True) == ["resized"]
    assert seen == [((300, 200), {"use_thumbnail": True})]
    assert picture.resized == [((112, 112), number)]

"""The changes of which a reference measures the distance: what right arithmetic may change, and faults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from vlm_acceptance.reference.arithmetic import Arithmetic
from vlm_acceptance.reference.changed_weights import ChangedWeights, eight_bit_floats, noise, whole_numbers
from vlm_acceptance.reference.other_arithmetic import (
    OtherAttention,
    OtherNorms,
    OtherOrder,
    OtherRounding,
    SmallCache,
    cached_as_floats,
    cached_as_whole_numbers,
)
from vlm_acceptance.reference.picture_form import PictureForm
from vlm_acceptance.reference.prompt_form import PromptForm
from vlm_acceptance.reference.shape import Shape
from vlm_acceptance.reference.weights import Weights

FLOAT32 = "float32"
FOREIGN = "You are a helpful assistant."  # as another family's chat template begins
HALF = (0.5, 0.5, 0.5)
INT8, INT4 = 127, 7
RIGHT_PICTURES = PictureForm()


def _same_weights(weights: Weights) -> Weights:
    return weights


def _same_shape(shape: Shape) -> Shape:
    return shape


def _same_form(form: PromptForm) -> PromptForm:
    return form


@dataclass(frozen=True, slots=True)
class Variant:
    """A reference with one thing changed; what is not named stays. `arithmetic` makes one from a type's name."""

    name: str
    floor: bool = False
    type: str | None = None
    arithmetic: Callable[[str], Arithmetic] = Arithmetic
    weights: Callable[[Weights], Weights] = _same_weights
    shape: Callable[[Shape], Shape] = _same_shape
    prompt: Callable[[PromptForm], PromptForm] = _same_form
    pictures: PictureForm = RIGHT_PICTURES


# the answer at once in place of token by token: it also shows that the file is of this model
AGAIN = Variant("again", True)


def variants(arithmetic: str) -> dict[str, Variant]:
    """Every change of a reference in this arithmetic, by name, the floor first.

    A reference in float32 serves engines of any type, so 16 bits are its floor. One in 16 bits serves engines of that
    type: its floor is the same type rounded at other places, and the other types are changes.
    """
    floors = _types(arithmetic) if arithmetic == FLOAT32 else [*_elsewhere(), *_types(arithmetic)]
    return {each.name: each for each in [AGAIN, *floors, *_FAULTS]}


def _types(base: str) -> list[Variant]:
    names = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
    return [Variant(name, base == FLOAT32, type=kind) for kind, name in names.items() if kind != base]


def _elsewhere() -> list[Variant]:
    return [
        Variant("other-order", True, arithmetic=OtherOrder),
        Variant("other-norms", True, arithmetic=OtherNorms),
        Variant("other-attention", True, arithmetic=OtherAttention),
        Variant("other-rounding", True, arithmetic=OtherRounding),
    ]


def _rounded(largest: int, group: int | None = None) -> Callable[[Weights], Weights]:
    return partial(ChangedWeights, change=whole_numbers(largest, group))


def _noisy(share: float) -> Callable[[Weights], Weights]:
    return partial(ChangedWeights, change=noise(share))


def _eps(factor: float) -> Callable[[Shape], Shape]:
    return lambda shape: replace(shape, language=replace(shape.language, eps=shape.language.eps * factor))


def _half_base(shape: Shape) -> Shape:
    rope = replace(shape.language.rope, theta=shape.language.rope.theta / 2)
    return replace(shape, language=replace(shape.language, rope=rope))


def _shorter(shape: Shape) -> Shape:
    return replace(shape, language=replace(shape.language, layers=_without_second(shape.language.layers)))


def _shorter_sight(shape: Shape) -> Shape:
    return replace(shape, vision=replace(shape.vision, layers=_without_second(shape.vision.layers)))


def _without_second(layers: tuple[int, ...]) -> tuple[int, ...]:
    """The second is missing, or the only one."""
    return layers[:1] + layers[2:] if len(layers) > 1 else ()


def _pictures(**changed: object) -> PictureForm:
    return replace(PictureForm(), **changed)  # type: ignore[arg-type]


_FAULTS = (
    Variant("int8", weights=_rounded(INT8)),
    Variant("int8-g128", weights=_rounded(INT8, 128)),
    Variant("int8-g32", weights=_rounded(INT8, 32)),
    Variant("fp8", weights=partial(ChangedWeights, change=eight_bit_floats)),
    Variant("int4-channel", weights=_rounded(INT4)),
    Variant("int4-g128", weights=_rounded(INT4, 128)),
    Variant("int4", weights=_rounded(INT4, 32)),
    Variant("noise1", weights=_noisy(0.01)),
    Variant("noise2", weights=_noisy(0.02)),
    Variant("noise5", weights=_noisy(0.05)),
    Variant("kv-int8", arithmetic=partial(SmallCache, stored=cached_as_whole_numbers)),
    Variant("kv-fp8", arithmetic=partial(SmallCache, stored=cached_as_floats)),
    Variant("layer-dropped", shape=_shorter),
    Variant("vision-layer-dropped", shape=_shorter_sight),
    Variant("norm-eps-10", shape=_eps(10)),
    Variant("norm-eps", shape=_eps(1000)),
    Variant("rope-base", shape=_half_base),
    Variant("no-bos", prompt=partial(replace, start=False)),
    Variant("no-role-newline", prompt=partial(replace, role_line_feed=False)),
    Variant("foreign-system", prompt=partial(replace, system=FOREIGN)),
    Variant("bgr", pictures=_pictures(channels="BGR")),
    Variant("mean-std", pictures=_pictures(mean=HALF, std=HALF)),
    Variant("nearest", pictures=_pictures(resample="nearest")),
    Variant("bilinear", pictures=_pictures(resample="bilinear")),
    Variant("no-thumbnail", pictures=_pictures(thumbnail="none")),
    Variant("thumbnail-first", pictures=_pictures(thumbnail="first")),
    Variant("tiles-reversed", pictures=_pictures(tiles="reversed")),
)

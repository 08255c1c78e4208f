"""The machine, the installation and the weights, before an engine is started. A problem here is an error."""

from pathlib import Path

import pytest

from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.errors import EnvironmentProblem
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.engine import device as devices
from vlm_acceptance.engine import installation, machine, tiling, weights

pytestmark = [pytest.mark.smoke, pytest.mark.needs("launched")]


def require(problems):
    """EnvironmentProblem when there are problems."""
    if problems:
        raise EnvironmentProblem("; ".join(problems))


def test_engine_is_installed(context, findings):
    """The engine's interpreter MUST be found and hold vLLM."""
    engine = context.preflight.engine
    findings.note(engine=" ".join(engine.command), kind=engine.kind, **engine.versions)


@pytest.mark.needs("versions")
def test_versions_are_the_expected_ones(context, profile, findings):
    """The engine MUST have the versions of the profile, compared by their public part."""
    engine = context.preflight.engine
    if engine.python is None:
        require([f"the interpreter behind {engine.command[0]} is not known: name it with --vlm-engine-python=PATH"])
    problems = installation.version_problems(profile.versions, engine.versions)
    findings.add([Finding(kinds.VERSIONS, "the profile's versions", problem) for problem in problems])


def test_port_is_free(context):
    """Nothing MUST listen on the engine's port; it is looked at before anything that takes minutes."""
    context.observed("free_port", None, context.require_free_port)


@pytest.mark.needs("npu")
# sourcing, import and the first operation of an impaired card have limits of their own
@pytest.mark.timeout(0)
def test_torch_npu_imports(context):
    """`import torch_npu` MUST work in the engine's interpreter, and a card of doubtful health MUST answer it."""
    context.observed("torch_npu", None, context.preflight.require_torch_npu)


@pytest.mark.needs("npu")
def test_device_is_present_and_free(context, findings):
    """The card MUST be the card of the profile, healthy, and not in use."""
    device = context.preflight.device
    findings.note(device=device.name, used_mb=device.used_mb, total_mb=device.total_mb, detail=device.detail)
    if impaired := devices.impaired(device):  # an error only if it does not answer torch_npu
        findings.note(health="; ".join(impaired))


@pytest.mark.needs("npu")
def test_image_fits_the_chip(context, findings):
    """Driver, CANN and the target chip of the image MUST fit the card."""

    def seen():
        problems = machine.image_problems(context.preflight.env, context.preflight.device.name)
        return machine.cann_version(), machine.driver_version(), problems

    cann, driver, problems = context.observed("image", tuple[str | None, str | None, list[str]], seen)
    findings.note(cann=cann, driver=driver)
    require(problems)


def test_limits_are_sufficient(context, findings):
    """Open files and disk space MUST suffice; shared memory is reported."""

    def seen():
        return machine.limit_problems(context.store.folder), machine.shared_memory_problems()

    limits, shared_memory = context.observed("limits", tuple[list[str], list[str]], seen)
    require(limits)
    findings.note(shared_memory="; ".join(shared_memory) or "sufficient")


# a download has its own deadline, longer than that of a test
@pytest.mark.timeout(0)
def test_weights_are_whole(context, findings):
    """The model's folder MUST hold every file, complete, before an engine is started on it."""
    folder: Path = context.preflight.folder
    seen = context.observed("weights_bytes", int | None, lambda: weights.fingerprint(folder).weights_bytes)
    findings.note(folder=folder, weights_bytes=seen)


@pytest.mark.needs("oracle")
@pytest.mark.timeout(0)
def test_tiles_are_the_served_models(context, profile, findings):
    """The profile MUST NOT contradict the tiles of a picture in the served model's config.json."""
    served = context.served_tiling()
    findings.note(**served)
    if not served:
        pytest.skip("the served config.json is of another kind of model, or has no tile size")
    require(tiling.contradictions(profile.model.pictures, served, profile.engine.args))

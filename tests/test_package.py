"""Names that are public, which room may import which, and the shapes of the code."""

import ast
import graphlib
import importlib
import pkgutil
from pathlib import Path

import pytest

import explicit_softmax

ROOT = Path(explicit_softmax.__file__).parent
PUBLIC = {
    "ContextWindowTransformer",
    "ExplicitLanguageModel",
    "ExplicitSoftmaxClassifier",
    "ExplicitSoftmaxClassifierCV",
    "ExplicitSoftmaxNetworkClassifier",
    "ExplicitTextClassifier",
    "LossCurveDisplay",
    "PositiveFeatures",
    "PrimingNumberDisplay",
    "Refinement",
    "ReliabilityDisplay",
    "TopFeaturesDisplay",
    "__version__",
    "context_windows",
    "expected_calibration_error",
    "read_labeled_text",
    "register_onnx_converters",
    "skops_trusted_types",
}
# Lowest first; the estimators stand above all of them.
ROOMS = ["solution", "training", "calibration", "text", "estimators"]
LONGEST_BODY = 65
MODULES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts): path
    for path in sorted(ROOT.rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text()) for name, path in MODULES.items()}


def nodes(kind):
    return [
        (name, node)
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, kind)
    ]


def imports(name):
    """Modules that a module imports, and the names that it takes from them."""
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module, alias.name) for alias in node.names)


def room(module):
    parts = module.split(".")
    return ROOMS.index(parts[1] if parts[1:2] and parts[1] in ROOMS else "estimators")


def test_public_names():
    assert set(explicit_softmax.__all__) == PUBLIC
    visible = {name for name in vars(explicit_softmax) if not name.startswith("_")}
    modules = {module.name for module in pkgutil.iter_modules([str(ROOT)])}
    assert visible - modules == PUBLIC - {"__version__"}


@pytest.mark.parametrize("name", MODULES)
def test_modules_import_downward(name):
    importlib.import_module(name.removesuffix(".__init__"))
    for module, taken in imports(name):
        library = module.split(".")[0]
        if library == "explicit_softmax":
            assert room(module) <= room(name), module
        elif room(name) <= ROOMS.index("training"):
            assert library not in ("sklearn", "joblib", "matplotlib")
        if library == "sklearn" and not name.endswith("._sklearn"):
            assert not any(p.startswith("_") for p in [*module.split("."), taken])


def test_no_modules_import_each_other():
    graph = {name: {module for module, _ in imports(name)} for name in MODULES}
    graphlib.TopologicalSorter(graph).prepare()


def test_a_class_is_one_file():
    classes = {node.name: node for _, node in nodes(ast.ClassDef)}
    bases = {
        name: [ast.unparse(b) for b in node.bases if ast.unparse(b) in classes]
        for name, node in classes.items()
    }
    used = [base for taken in bases.values() for base in taken]
    assert [base for base in set(used) if used.count(base) == 1] == []

    def depth(name):
        return 1 + max((depth(base) for base in bases[name]), default=-1)

    # The classifiers derive from ExplicitSoftmaxBase, and it from two mixins.
    assert max(map(depth, classes)) <= 2


def test_functions_are_short():
    long = {}
    for name, node in nodes(ast.FunctionDef):
        body = node.body[1:] if ast.get_docstring(node) else node.body
        n_lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
        if n_lines > LONGEST_BODY:
            long[f"{name}.{node.name}"] = n_lines
    assert long == {}


def test_functions_know_what_they_take():
    # scikit-learn's ways to read an attribute or to draw take any estimator.
    excused = ("__get__", "from_estimator", "from_estimators", "_fitted_step")
    untyped = [
        f"{name}.{node.name}({argument.arg})"
        for name, node in nodes(ast.FunctionDef)
        if not name.endswith("._sklearn") and node.name not in excused
        for argument in [*node.args.args, *node.args.kwonlyargs]
        if argument.arg in ("estimator", "model")
        and "Any" in ast.unparse(argument.annotation or ast.Name("Any"))
    ]
    assert untyped == []

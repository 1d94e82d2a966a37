"""Documentation and package name the same things.

The build of the documentation runs the examples of the gallery.
"""

import doctest
import inspect
import re
import tomllib
from pathlib import Path

import pytest
from sklearn.base import BaseEstimator

import explicit_softmax
from explicit_softmax._sklearn import DOCUMENTATION

ROOT = Path(__file__).parents[1]
ESTIMATORS = [
    value
    for value in vars(explicit_softmax).values()
    if inspect.isclass(value) and issubclass(value, BaseEstimator)
]
EXAMPLES = sorted((ROOT / "examples").rglob("plot_*.py"))


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def test_every_public_name_is_in_the_reference_once():
    listed = re.findall(r"^   ([A-Za-z]\w*)$", read("docs/api.rst"), re.MULTILINE)
    assert sorted([*listed, "__version__"]) == sorted(explicit_softmax.__all__)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda cls: cls.__name__)
def test_html_links_to_the_reference(estimator):
    page = f"{DOCUMENTATION}generated/explicit_softmax.{estimator.__name__}.html"
    html = estimator()._repr_html_()
    assert f'href="{page}"' in html
    assert "https://scikit-learn.org" not in html


def test_html_of_derived_estimators_has_no_link():
    class Derived(explicit_softmax.ExplicitSoftmaxClassifier):
        """Not on any page."""

    assert DOCUMENTATION not in Derived()._repr_html_()


def test_links_lead_to_the_declared_documentation():
    urls = tomllib.loads(read("pyproject.toml"))["project"]["urls"]
    assert urls["Documentation"] == DOCUMENTATION


def test_versions_agree():
    version = explicit_softmax.__version__
    assert f"\nversion: {version}\n" in read("CITATION.cff")
    newest = re.search(r"^(\S+) \((\S+)\)\n-+$", read("CHANGELOG.rst"), re.MULTILINE)
    assert newest[1] == version
    released = f"\ndate-released: {newest[2]}\n" in read("CITATION.cff")
    assert released or newest[2] == "unreleased"


def test_code_of_the_page_on_texts_runs():
    found = doctest.testfile(str(ROOT / "docs/text.rst"), module_relative=False)
    assert found.attempted
    assert not found.failed


def test_there_are_examples():
    assert EXAMPLES

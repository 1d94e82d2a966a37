"""Documentation and package name the same things.

The build of the documentation runs the examples of the gallery.
"""

import doctest
import inspect
import re
import textwrap
import tomllib
from pathlib import Path

import numpy as np
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


def test_code_of_the_landing_page_runs():
    block = re.search(
        r"code-block:: python\n\n((?:   .*\n|\n)+)", read("docs/index.rst")
    )
    names = {}
    exec(textwrap.dedent(block[1]), names)
    rest = slice(10, None)
    rows = [
        np.concatenate([names[f"{x}_train"], names[f"{x}_test"][rest]]) for x in "Xy"
    ]
    whole = explicit_softmax.ExplicitSoftmaxClassifier().fit(*rows)
    assert (names["clf"].coef_ == whole.coef_).all()


def test_messages_of_the_questions_are_those_of_the_package():
    source = "".join(path.read_text() for path in ROOT.glob("explicit_softmax/**/*.py"))
    # Strings over several lines, as one.
    source = re.sub(r'"\s*\n\s*f?"', "", source)
    page = read("docs/questions.rst").partition("By question")[0]
    messages = re.findall(r"^``(.+)``$", page, re.MULTILINE)
    assert len(messages) > 10
    for message in messages:
        # Numbers and dots stand for what the message fills in.
        part = max(re.split(r"\.\.\. |=?\d+|: ", message), key=len)
        assert part in source, message


def test_there_are_examples():
    assert EXAMPLES

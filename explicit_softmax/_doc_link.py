"""Where the HTML representation of an estimator links to."""

from __future__ import annotations

# The same as `Documentation` under [project.urls] in pyproject.toml.
DOCUMENTATION = "https://explicit-softmax.readthedocs.io/en/stable/"


class DocumentationLinkMixin:
    """Makes scikit-learn link an estimator and its parameters to our API pages.

    To be inherited from before BaseEstimator, whose links lead to scikit-learn's pages.
    Classes that others derive from these estimators get no link.
    """

    _doc_link_module = "explicit_softmax"
    _doc_link_template = (
        DOCUMENTATION + "generated/{estimator_module}.{estimator_name}.html"
    )

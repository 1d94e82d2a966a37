"""Sphinx: python -m sphinx -W --keep-going -b html docs build/docs."""

import os
import re
from pathlib import Path

import latex2mathml.converter

# Examples draw without a screen.
os.environ.setdefault("MPLBACKEND", "Agg")

from docutils.nodes import SkipNode, reference

import explicit_softmax

html_math_renderer = "mathml"

project = "explicit_softmax"
author = "The explicit_softmax developers"
project_copyright = author
release = version = explicit_softmax.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = [
    "_build",
    "_templates",
    # Tables of running times, which load scripts from the network.
    "sg_execution_times.rst",
    "auto_examples/**/sg_execution_times.rst",
]
default_role = "py:obj"
# Literals and types keep their straight quotes, so that they can be pasted.
smartquotes = False
toc_object_entries_show_parents = "hide"
copybutton_exclude = ".linenos, .gp, .go"

html_theme = "pydata_sphinx_theme"
html_title = f"explicit_softmax {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/favicon.svg"
html_show_sourcelink = False
# Pages of no section have nothing to show in a left column.
html_sidebars = {
    page: [] for page in ("index", "start", "benchmarks", "changelog", "contributing")
}
html_theme_options = {
    "header_links_before_dropdown": 8,
    "navbar_align": "left",
    "navigation_with_keys": False,
    "show_prev_next": True,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "github_url": "https://github.com/explicit-softmax/explicit_softmax",
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
}

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    # Other examples take files of the reader and are not run here.
    "ignore_pattern": r"(?:^|/)(?!plot_)[^/]*\.py$",
    # What a cell evaluates to is shown only if the page prints it.
    "capture_repr": (),
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("explicit_softmax",),
    "within_subsection_order": "FileNameSortKey",
    "nested_sections": True,
    # Twice the size at which the style sheet shows them.
    "thumbnail_size": (560, 400),
    "download_all_examples": False,
    "show_signature": False,
    "remove_config_comments": True,
    "min_reported_time": 20,
}


REPORT = """
.. toctree::
   :maxdepth: 2

   reproduction/report
"""


def skip_member(app, what, name, item, skip, options):
    """Leave out what estimators inherit from scikit-learn, which documents it."""
    module = getattr(item, "__module__", None) or ""
    request = name.startswith("set_") and name.endswith("_request")
    inherited = module.startswith("sklearn.") and name != "score"
    return True if request or inherited else None


def escape_shapes(app, what, name, item, options, lines):
    """Names in shapes, as in (n_features_in_,), and scikit-learn labels are plain."""
    for i, line in enumerate(lines):
        lines[i] = re.sub(
            r"shape \(.*?\)",
            lambda match: re.sub(r"(?<=\w)_(?!\w)", r"\\_", match[0]),
            re.sub(r":ref:`([^<`]+?) ?<[^>]*>`", r"\1", line),
        )


def link_to_scikit_learn(app, env, node, contnode):
    """Link names of scikit-learn, without reading its inventory from the network."""
    target = node.get("reftarget", "")
    if target.startswith("sklearn.") and target.count(".") >= 2:
        page = f"https://scikit-learn.org/stable/modules/generated/{target}.html"
        return reference("", "", contnode, internal=False, refuri=page)
    return None


def math_in_html(translator, node):
    """Write a formula as MathML, which browsers draw without scripts or a network."""
    block = node.tagname == "math_block"
    markup = latex2mathml.converter.convert(
        node.astext().strip(), display="block" if block else "inline"
    )
    # A thin space between the name of a function and its argument, as TeX has it.
    markup = re.sub(
        r"(<mi>(log|exp|softmax)</mi>)", r"\1<mspace width='0.17em'/>", markup
    )
    markup = markup.replace("<mo>&#x0007C;</mo>", "<mo stretchy='false'>|</mo>")
    if block:
        number = (
            f"<span class='eqno'>({node['number']})</span>" if node["number"] else ""
        )
        name = f" id='{node['ids'][0]}'" if node["ids"] else ""
        markup = f"<div class='formula'{name}>{markup}{number}</div>"
    translator.body.append(markup)
    raise SkipNode


def add_report(app, docname, source):
    """List the report of the reproduction where there is one."""
    if docname == "reproduction":
        found = Path(app.srcdir, "reproduction", "report.rst").is_file()
        source[0] += REPORT if found else "There is none in this copy.\n"


def setup(app):
    """Connect to Sphinx."""
    app.add_html_math_renderer("mathml", (math_in_html, None), (math_in_html, None))
    app.connect("source-read", add_report)
    app.connect("autodoc-skip-member", skip_member)
    app.connect("missing-reference", link_to_scikit_learn)
    # Before numpydoc, which connects at the default priority of 500.
    app.connect("autodoc-process-docstring", escape_shapes, priority=400)

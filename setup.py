"""What pyproject.toml cannot say: the long description is the README without figures.

Package indexes have no place for the files that its images name.
"""

import re
from pathlib import Path

from setuptools import setup

README = Path(__file__).parent.joinpath("README.rst").read_text(encoding="utf-8")
# An image, its options, and the blank lines after it.
TEXT = re.sub(r"^\.\. image::.*\n(?:[ \t]+.*\n|\n)*", "", README, flags=re.MULTILINE)

setup(long_description=TEXT, long_description_content_type="text/x-rst")

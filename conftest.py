"""Examples in docstrings that need an extra are left out where it is missing."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("skl2onnx") else ["explicit_softmax/_onnx.py"]

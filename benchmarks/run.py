"""Benchmarks of explicit_softmax: python benchmarks/run.py PROBLEM [options].

python benchmarks/run.py PROBLEM --help tells what a problem measures and its options,
which always include --fast, --threads N, and --json FILE. Data are looked for in the
folder that the environment variable EXPLICIT_SOFTMAX_DATA names, then downloaded or
replaced by small sets that come with scikit-learn and Python; each run says which.
"""

import json
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

# The checkout, in place of this folder.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

PROBLEMS = {
    "images": "MNIST: the theorem, defaults, cold and warm starts, beside peers",
    "text": "bags of words: log-loss, accuracy, and calibration, beside peers",
    "raw_text": "strings in, vectorising included, beside the usual text classifiers",
    "text_growth": "time and memory of text classifiers from 10,000 to a million texts",
    "many_classes": "time and memory with many classes and sparse features",
    "priming": "time to choose a priming number, and what is found",
    "positive": "features that may be negative, made positive in several ways",
    "layers": "several layers, by what the hidden one predicts, beside an MLP",
    "language": "language models of windows: the paper's Table 1, and n-gram peers",
    "scale_out": "fits on processes of Dask, beside a loop of partial_fit and Spark",
    "counting": "time and memory of counting and streaming windows",
    "paper": "all numbers and claims of the paper beside ours, in one report",
}


def main(argv: list[str]) -> Any:
    """Run one problem; its records."""
    if argv[:1] == ["--job"]:
        # The other end of `harness.timing.in_own_process`.
        module, name, arguments = argv[1:]
        found = getattr(import_module(module), name)(**json.loads(arguments))
        return print(json.dumps(found))
    if not argv or argv[0] not in PROBLEMS:
        names = (f"  {name:<13}{told}" for name, told in PROBLEMS.items())
        print(f"{__doc__}\nProblems:\n" + "\n".join(names))
        if argv and argv[0] not in ("-h", "--help"):
            raise SystemExit(f"there is no problem {argv[0]!r}")
        return []
    # Imported late: the help needs none of it.
    from threadpoolctl import threadpool_limits

    from benchmarks.harness.figures import matplotlib_is_there
    from benchmarks.harness.options import parse
    from benchmarks.harness.records import write_json
    from benchmarks.harness.timing import threads_line

    room = "paper.reproduce" if argv[0] == "paper" else f"problems.{argv[0]}"
    problem = import_module(f"benchmarks.{room}")
    options = parse(argv[0], problem.__doc__, problem.OPTIONS, argv[1:])
    options.announce, options.command = announcer(), " ".join(argv)
    with threadpool_limits(options.threads):
        records = problem.measure(options)
    if options.fast:
        print("--fast: a toy run, whose figures mean nothing")
    print(threads_line(options.threads))
    print(problem.report(records, options))
    if options.json:
        write_json(options.json, records)
    if getattr(options, "figure", None):
        if matplotlib_is_there():
            problem.draw(options.figure, records)
        else:
            print("matplotlib is not installed: no figure is drawn")
    return records


def announcer() -> Any:
    """A function that says on stderr what begins, and when."""
    since = time.perf_counter()
    return lambda text: print(
        f"[{time.perf_counter() - since:7.1f} s] {text}", file=sys.stderr
    )


if __name__ == "__main__":
    main(sys.argv[1:])

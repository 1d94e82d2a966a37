"""NaiveBayes of Spark MLlib on two cores, in a process and an environment of its own.

Run by `problems.scale_out` with the Python that has pyspark.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.data.blocks import make_words


def fit(
    n_blocks: int, shape: dict[str, int], test: dict[str, int], memory: str
) -> dict[str, Any]:
    """Seconds of a fit to rows that are in memory before, and log-loss of others."""
    from pyspark.ml.classification import NaiveBayes
    from pyspark.ml.linalg import SparseVector
    from pyspark.sql import SparkSession

    def rows(block: dict[str, int]) -> Iterator[tuple[float, SparseVector]]:
        for words, label in zip(*make_words(**shape | block), strict=True):
            features, counts = np.unique(words, return_counts=True)
            counts = counts.astype(float)
            yield float(label), SparseVector(shape["n_features"], features, counts)

    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.memory", memory)
        .config("spark.ui.enabled", "false")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    blocks = [{"number": number} for number in range(n_blocks)]
    numbers = session.sparkContext.parallelize(blocks, n_blocks)
    names = ["label", "features"]
    train = numbers.flatMap(rows).toDF(names).cache()
    train.count()
    start = time.perf_counter()
    model = NaiveBayes(modelType="multinomial", smoothing=1.0).fit(train)
    seconds = time.perf_counter() - start
    held_out = session.sparkContext.parallelize([test], 1).flatMap(rows).toDF(names)
    found = model.transform(held_out).select("label", "probability").collect()
    with np.errstate(divide="ignore"):
        losses = [-np.log(row[1][int(row[0])]) for row in found]
    session.stop()
    return {"fit_seconds": seconds, "test_log_loss": float(np.mean(losses))}


if __name__ == "__main__":
    print(json.dumps(fit(**json.loads(sys.argv[1]))))

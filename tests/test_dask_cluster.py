"""What may go wrong on a cluster: the model is the same to the last bit, or none."""

import os
import signal
import threading
import time
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp

from explicit_softmax import (
    ExplicitLanguageModel,
    ExplicitSoftmaxClassifier,
    ExplicitTextClassifier,
    _dask,
)
from tests.text.test_ngrams import assert_equal

pytestmark = pytest.mark.slow
dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")

N_BLOCKS, N_ROWS, N_CLASSES, N_FEATURES = 12, 300, 5, 200


def documents_of(number, flag=None):
    """Documents of ids; with `flag`, what happens to the worker before, once."""
    strike(flag)
    rng = np.random.default_rng(number)
    return [rng.integers(40, size=50).tolist() for _ in range(20)]


def strike(flag):
    if flag is not None and not os.path.exists(flag.path):
        open(flag.path, "x").close()
        flag.action()


def make_block(number, flag=None):
    """Rows and labels; with `flag`, what happens to the worker before, once."""
    strike(flag)
    rng = np.random.default_rng(number)
    y = rng.integers(N_CLASSES, size=N_ROWS)
    rates = np.random.default_rng(99).gamma(0.1, size=(N_CLASSES, N_FEATURES))
    return sp.csr_array(rng.poisson(rates[y]).astype(float)), y


class Flag:
    def __init__(self, path, action):
        self.path, self.action = str(path), action


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def wait():
    time.sleep(5)


def collection(flag=None):
    parts = [
        dask.delayed(make_block)(i, flag if i == N_BLOCKS // 2 else None)
        for i in range(N_BLOCKS)
    ]
    return [part[0] for part in parts], [part[1] for part in parts]


@pytest.fixture(scope="module")
def rows():
    blocks = [make_block(i) for i in range(N_BLOCKS)]
    X, y = zip(*blocks, strict=True)
    return sp.csr_array(sp.vstack(X)), np.concatenate(y)


@pytest.fixture(scope="module")
def expected(rows):
    X, y = rows
    return ExplicitSoftmaxClassifier().fit(X, y).predict_proba(X)


@pytest.fixture(scope="module")
def cluster():
    """Two processes that write to disk what goes beyond 2 KiB."""
    config = {
        "logging.distributed": "critical",
        "distributed.worker.memory.target": 2**-20,
    }
    options = {"n_workers": 2, "threads_per_worker": 1, "memory_limit": "2 GiB"}
    with (
        dask.config.set(config),
        distributed.LocalCluster(**options, dashboard_address=":0") as found,
        distributed.Client(found) as client,
    ):
        yield client


@pytest.mark.parametrize("n_workers", [1, 2])
def test_any_number_of_workers_and_order_of_blocks(cluster, rows, expected, n_workers):
    X, y = collection()
    order = np.random.default_rng(0).permutation(N_BLOCKS)
    clf = ExplicitSoftmaxClassifier()
    with dask.annotate(workers=list(cluster.run(os.getpid))[:n_workers]):
        clf.fit([X[i] for i in order], [y[i] for i in order])
        assert clf.score(X, y) == clf.score(*rows)
    np.testing.assert_array_equal(clf.predict_proba(rows[0]), expected)


def names_of_tasks(client, X, y, clf=None):
    """How often each kind of task runs in a fit, and the fitted classifier."""
    clf = ExplicitSoftmaxClassifier() if clf is None else clf
    with distributed.get_task_stream(client) as stream:
        clf.partial_fit(X, y, classes=range(N_CLASSES))
    names = [str(task["key"]).partition("-")[0] for task in stream.data]
    return {name: names.count(name) for name in set(names)}, clf


def test_runs_of_blocks_are_one_task_where_nothing_else_needs_them(
    cluster, rows, expected
):
    X, y = collection()
    shared = dask.delayed(np.asarray)(rows[1])
    stops = np.arange(N_BLOCKS + 1) * N_ROWS
    parts = [shared[a:b] for a, b in pairwise(stops)]
    with dask.annotate(retries=1):
        annotated = collection()
    found, clf = names_of_tasks(cluster, X, y)
    assert found["count"] == 8  # of one or two blocks: there are too few for sixteen
    assert found["merge"] == 7
    assert set(found) == {"count", "merge"}
    np.testing.assert_array_equal(clf.predict_proba(rows[0]), expected)
    for apart in [(X, parts), annotated, dask.persist(X, y)]:
        found, clf = names_of_tasks(cluster, *apart)
        assert found["count"] == N_BLOCKS
        np.testing.assert_array_equal(clf.predict_proba(rows[0]), expected)


def test_arrays_that_lie_on_the_workers(cluster, rows):
    import dask.array as da

    dense = rows[0].toarray()
    expected = ExplicitSoftmaxClassifier().fit(dense, rows[1]).predict_proba(dense)
    X = da.from_array(dense, chunks=(N_ROWS, -1)).persist()
    y = da.from_array(rows[1], chunks=N_ROWS)
    for blocks in [(X, y), (X * 1, y.persist()), (X.map_blocks(np.copy), y)]:
        found, clf = names_of_tasks(cluster, *blocks)
        assert found["count"] == N_BLOCKS
        np.testing.assert_array_equal(clf.predict_proba(dense), expected)


def test_runs_of_blocks_of_texts(cluster):
    texts = [dask.delayed(list)(["ham jam", "spam"]) for _ in range(N_BLOCKS)]
    labels = [dask.delayed(np.array)([0, 1]) for _ in range(N_BLOCKS)]
    clf = ExplicitTextClassifier(hashing=64)
    found, _ = names_of_tasks(cluster, texts, labels, clf)
    assert found == {"count": 8, "merge": 7}
    assert clf.predict(["ham", "spam"]).tolist() == [0, 1]


def test_a_worker_spills(cluster, rows, expected):
    X, y = dask.persist(*collection())
    distributed.wait([X, y])
    on_disk = cluster.run(lambda dask_worker: len(dask_worker.data.slow))
    assert sum(on_disk.values()) > 0
    clf = ExplicitSoftmaxClassifier().fit(X, y)
    np.testing.assert_array_equal(clf.predict_proba(rows[0]), expected)


def test_a_worker_is_killed(cluster, rows, expected, tmp_path):
    before = set(cluster.run(os.getpid).values())
    flag = Flag(tmp_path / "killed", die)
    clf = ExplicitSoftmaxClassifier().fit(*collection(flag))
    np.testing.assert_array_equal(clf.predict_proba(rows[0]), expected)
    cluster.wait_for_workers(2)
    assert len(before & set(cluster.run(os.getpid).values())) == 1


def test_a_worker_is_killed_while_ngrams_are_counted(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(_dask, "_N_PARTS", 4)  # few tasks
    flag = Flag(tmp_path / "killed", die)
    blocks = [
        dask.delayed(documents_of)(i, flag if i == N_BLOCKS // 2 else None)
        for i in range(N_BLOCKS)
    ]
    model = ExplicitLanguageModel(vocabulary_size=42).fit(blocks)
    documents = [document for i in range(N_BLOCKS) for document in documents_of(i)]
    local = ExplicitLanguageModel(vocabulary_size=42).fit(documents)
    assert_equal(model._model.counts, local._model.counts)
    cluster.wait_for_workers(2)
    before = dict(vars(model))
    blocks[7] = dask.delayed([[1, 2], [3, -4]])
    with pytest.raises(ValueError, match=r"^block 7 of .*-4") as info:
        model.fit(blocks)
    assert vars(model) == before
    # Nothing is kept or goes on, though the error still refers to what was asked for.
    for _ in range(100):
        left = [*cluster.who_has().values(), *cluster.processing().values()]
        if not any(left):
            break
        time.sleep(0.1)
    assert info.tb is not None
    assert not any(left)


def test_a_block_raises(cluster, rows, expected):
    X, y = collection()
    X[7] = -X[7]
    clf = ExplicitSoftmaxClassifier().fit(*rows)
    with pytest.raises(ValueError, match=r"^block 7 of .*: row \d+ contains -\d"):
        clf.fit(X, y)
    np.testing.assert_array_equal(clf.predict_proba(rows[0]), expected)


def test_the_client_is_interrupted(cluster, rows, expected, tmp_path):
    flag = Flag(tmp_path / "waits", wait)
    clf = ExplicitSoftmaxClassifier().fit(*rows)
    before = dict(vars(clf))

    def interrupt():
        while not os.path.exists(flag.path):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        clf.fit(*collection(flag))
    thread.join()
    assert vars(clf) == before
    np.testing.assert_array_equal(clf.predict_proba(rows[0]), expected)
    clf.fit(*collection())  # the cluster is free again
    np.testing.assert_array_equal(clf.predict_proba(rows[0]), expected)

"""ARPA files against the real KenLM."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from explicit_softmax import ExplicitLanguageModel
from tests.text.test_kneser_ney import corpus


@pytest.mark.parametrize("context_size", [1, 2, 4])
@pytest.mark.parametrize("suffix", ["arpa", "arpa.gz"])
@pytest.mark.parametrize("ends", [True, False])
def test_kenlm_gives_the_same_probabilities(tmp_path, context_size, suffix, ends):
    kenlm = pytest.importorskip("kenlm")
    documents = corpus()
    model = ExplicitLanguageModel(
        context_size=context_size, aggregation="ngram", predict_end=ends
    ).fit(documents)
    path = tmp_path / f"model.{suffix}"
    model.to_arpa(path)
    other = kenlm.Model(str(path))
    oov = model._encoder.ids.oov
    new = [*corpus(seed=1), [oov, 0, oov, 1]]
    for document, logs in zip(new, model.log_proba(new), strict=True):
        text = " ".join("?" if t == oov else str(t) for t in document)
        found = [p for p, _, _ in other.full_scores(text, bos=True, eos=ends)]
        assert_allclose(found, logs / np.log(10), atol=1e-4)

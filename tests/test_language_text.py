"""ExplicitLanguageModel: text, its byte-pair encoding, and what it generates."""

import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from explicit_softmax import ExplicitLanguageModel
from explicit_softmax._token_ids import TokenIds
from tests.test_language_model import DOCUMENTS, assert_same_counts, make

class TestGenerate:
    def test_seed_and_length(self, id_model):
        first, again, other = (
            id_model.generate([0], 40, random_state=seed) for seed in (0, 0, 1)
        )
        assert_array_equal(first, again)
        assert (first != other).any()
        assert first.dtype == np.int32
        assert len(first) == 40
        assert id_model.generate([0], 0).shape == (0,)

    def test_temperature_zero_is_greedy_and_so_is_one_candidate(self, id_model):
        greedy = id_model.generate([0, 3], 12, temperature=0)
        history = [0, 3]
        for token in greedy:
            assert token == id_model.predict_proba([history])[0, :-1].argmax()
            history.append(int(token))
        for how in ({"top_k": 1}, {"temperature": 1e-320}, {"top_k": np.int64(1)}):
            drawn = id_model.generate([0, 3], 12, random_state=0, **how)
            assert_array_equal(drawn, greedy)

    def test_candidates_are_no_more_than_asked_for_where_many_are_equal(self):
        even = make(inverse_temperature=0.0).fit([[0, 1, 2, 3, 4, 5]])
        drawn = even.generate([], 200, top_k=2, random_state=0)
        assert set(drawn.tolist()) == {0, 1}
        assert set(even.generate([], 5, top_k=1, random_state=0).tolist()) == {0}

    def test_only_the_last_tokens_of_the_prompt_count(self, id_model):
        long = id_model.generate([*DOCUMENTS[0], 1, 2], 9, random_state=0)
        assert_array_equal(long, id_model.generate([1, 2], 9, random_state=0))
        for empty in ("", [], np.zeros(0, dtype=int)):
            assert_array_equal(
                id_model.generate(empty, 9, random_state=0),
                id_model.generate(n_tokens=9, random_state=0),
            )

    def test_never_out_of_vocabulary_and_as_often_as_probable(self):
        model = make(context_size=1).fit([[6] * 9 + [0], [6, 1, 1]])
        drawn = [id_model.generate([], 1, random_state=seed)[0] for seed in range(400)]
        assert max(drawn) < 6
        expected = model.predict_proba([[]])[0, :6]
        observed = np.bincount(drawn, minlength=6) / 400
        assert_allclose(observed, expected / expected.sum(), atol=0.08)

    @pytest.mark.parametrize(
        "how",
        [{"n_tokens": -1}, {"n_tokens": 2.5}, {"temperature": -1}, {"top_k": 0}]
        + [{"temperature": value} for value in (np.nan, np.inf, "1")],
    )
    def test_bad_numbers_are_named(self, id_model, how):
        (name,) = how
        with pytest.raises(ValueError, match=f"^{name} must be"):
            id_model.generate([0], **how)

    def test_prompts_are_checked(self, id_model):
        with pytest.raises(ValueError, match="token id 9"):
            id_model.generate([9])
        with pytest.raises(TypeError, match="is a string"):
            id_model.generate("a")
        with pytest.raises(ValueError, match="bits_per_byte needs a model of strings"):
            model.bits_per_byte(DOCUMENTS)

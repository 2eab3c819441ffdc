"""Sampling and beam search against their definitions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.models.generation import beam_search, generate, restrict, sample


def probabilities(logits, **settings):
    return minidl.softmax(restrict(minidl.tensor(logits), **settings), -1).numpy()


def test_restrict_by_hand():
    logits = np.log([0.5, 0.3, 0.15, 0.05])
    np.testing.assert_allclose(probabilities(logits), [0.5, 0.3, 0.15, 0.05])
    np.testing.assert_allclose(probabilities(logits, top_k=2), [0.625, 0.375, 0, 0])
    np.testing.assert_allclose(probabilities(logits, top_p=0.79), [0.625, 0.375, 0, 0])
    np.testing.assert_allclose(probabilities(logits, top_p=0.81)[3], 0)
    np.testing.assert_allclose(probabilities(logits, top_p=0.01), [1, 0, 0, 0])
    squares = np.array([0.5, 0.3, 0.15, 0.05]) ** 2
    np.testing.assert_allclose(probabilities(logits, temperature=0.5), squares / squares.sum())
    np.testing.assert_allclose(probabilities(logits, top_k=3, top_p=0.6), [0.625, 0.375, 0, 0])


@pytest.mark.parametrize("seed", range(10))
def test_restrict_keeps_the_likeliest(seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(2, 3, 9))
    k, p = int(rng.integers(1, 12)), float(rng.uniform(0.05, 1))
    kept = probabilities(logits, top_k=k) > 0
    assert (kept.sum(-1) == min(k, 9)).all()
    whole = probabilities(logits)
    kept = probabilities(logits, top_p=p) > 0
    for row, mask in zip(whole.reshape(-1, 9), kept.reshape(-1, 9)):
        order = np.argsort(-row)
        needed = int(np.searchsorted(np.cumsum(row[order]), p)) + 1
        np.testing.assert_array_equal(np.flatnonzero(mask), np.sort(order[:needed]))


def test_sample_draws_in_proportion_and_repeats_with_a_seed():
    logits = minidl.tensor(np.log([0.5, 0.3, 0.2])).expand((3000, 3))
    drawn = sample(logits, generator=minidl.Generator().manual_seed(1))
    assert drawn.shape == (3000,)
    assert drawn.dtype == minidl.int64
    np.testing.assert_allclose(np.bincount(drawn.numpy()) / 3000, [0.5, 0.3, 0.2], atol=0.03)
    again = sample(logits, generator=minidl.Generator().manual_seed(1))
    np.testing.assert_array_equal(drawn.numpy(), again.numpy())
    assert (sample(logits, top_k=1).numpy() == 0).all()
    assert (sample(logits, temperature=0).numpy() == 0).all()
    assert sample(minidl.randn(5)).shape == ()
    assert sample(minidl.randn(2, 3, 5)).shape == (2, 3)


@pytest.mark.parametrize("settings", [{"temperature": -1}, {"top_k": 0}, {"top_p": 0}, {"top_p": 1.1}])
def test_wrong_settings(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        sample(minidl.randn(3), **settings)


@pytest.mark.parametrize("temperature", [1e-30, 1e-45, 1e-300, 5e-324])
@pytest.mark.parametrize("settings", [{}, {"top_k": 2}, {"top_p": 0.5}])
def test_however_low_a_temperature_is_it_means_the_likeliest(temperature, settings):
    assert sample(minidl.tensor([[1.0, 2.0, 3.0], [3.0, 1.0, 2.0]]), temperature, **settings).tolist() == [2, 0]


@pytest.mark.parametrize("search", [lambda *a: generate(*a), lambda step, p, new: beam_search(step, p, 2, new)])
@pytest.mark.parametrize("shape", [(3,), (2, 0), (1, 2, 3)])
def test_prompts_have_two_dimensions_and_are_not_empty(search, shape):
    with pytest.raises(ValueError, match=r"a prompt is \(N, L\), L 1 or more"):
        search(Markov(0), minidl.zeros(shape, dtype=minidl.int64), 3)
    with pytest.raises(ValueError, match="max_new_tokens"):
        search(Markov(0), minidl.tensor([[1]]), -1)


class Markov:
    """A language model by a table: the logits of the next token, by the last one. Also what steps ask it."""

    def __init__(self, seed, vocabulary=4):
        self.logits = np.random.default_rng(seed).normal(size=(vocabulary, vocabulary)) * 2
        self.asked = []

    def __call__(self, tokens, beams=None):
        self.asked.append((tokens.numpy(), None if beams is None else beams.numpy()))
        return minidl.tensor(self.logits[tokens.numpy()[:, -1]])

    def log_probability(self, last, text):
        logs = self.logits - np.log(np.exp(self.logits).sum(1, keepdims=True))
        return sum(logs[a, b] for a, b in itertools.pairwise([last, *text]))

    def texts(self, length, eos):
        """All texts: those that end with eos, and those that have the full length."""
        for n in range(1, length + 1):
            for text in itertools.product(range(len(self.logits)), repeat=n):
                if eos not in text[:-1] and (text[-1] == eos or n == length):
                    yield list(text)


def test_generate_fills_up_with_eos():
    model = Markov(0)
    prompt = minidl.tensor([[1, 2], [3, 1], [0, 3]])
    texts = generate(model, prompt, 12, eos=0, generator=minidl.Generator().manual_seed(0)).numpy()
    np.testing.assert_array_equal(texts[:, :2], prompt.numpy())
    for row in texts[:, 2:]:
        ends = np.flatnonzero(row == 0)
        if len(ends):
            assert (row[ends[0] :] == 0).all()
    assert [tokens.shape[1] for tokens, _ in model.asked] == [2] + [1] * (len(model.asked) - 1)
    greedy = generate(model, prompt, 3, temperature=0).numpy()
    for row in greedy:
        for a, b in itertools.pairwise(row[1:]):
            assert b == model.logits[a].argmax()


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("eos", [0, None])
@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_wide_beams_find_the_best_texts_there_are(seed, eos, penalty):
    model, length = Markov(seed), 4
    prompt = minidl.tensor([[1], [2]])
    found = beam_search(model, prompt, 300, length, eos, penalty, num_return=5)
    for i, last in enumerate([1, 2]):
        ranked = sorted(
            ((model.log_probability(last, t) / len(t) ** penalty, t) for t in model.texts(length, eos)), reverse=True
        )[:5]
        np.testing.assert_allclose(found.scores[i].numpy(), [score for score, _ in ranked], rtol=1e-9)
        texts = []
        for j, (score, _) in enumerate(ranked):  # texts of the same transitions tie, in any order
            text = found.tokens[i, j, 1 : 1 + found.lengths[i, j].item()].tolist()
            assert model.log_probability(last, text) / len(text) ** penalty == pytest.approx(score)
            assert found.tokens[i, j, 0].item() == last
            assert (found.tokens[i, j, 1 + len(text) :] == 0).all()
            texts.append(tuple(text))
        assert len(set(texts)) == 5


@pytest.mark.parametrize("seed", range(12))
def test_one_beam_is_greedy_and_more_beams_score_no_worse_than_their_own_words_say(seed):
    model = Markov(seed, 5)
    prompt = minidl.tensor([[1], [2]])
    greedy = generate(model, prompt, 6, temperature=0).numpy()
    np.testing.assert_array_equal(beam_search(model, prompt, 1, 6).tokens[:, 0].numpy(), greedy)
    for width in (2, 3):
        found = beam_search(model, prompt, width, 6, num_return=width)
        for i, last in enumerate([1, 2]):
            for text, score in zip(found.tokens[i].tolist(), found.scores[i].tolist()):
                assert model.log_probability(last, text[1:]) == pytest.approx(score)
            assert sorted(found.scores[i].tolist(), reverse=True) == found.scores[i].tolist()


def test_beams_tell_the_step_which_rows_go_on():
    """A step that keeps its own history by the rows it is told sees the very texts that are returned."""
    model, history = Markov(3, 6), []

    def step(tokens, beams):
        nonlocal history
        history = (
            [*tokens.tolist()] if beams is None else [history[b] + t for b, t in zip(beams.tolist(), tokens.tolist())]
        )
        return model(tokens, beams)

    found = beam_search(step, minidl.tensor([[1, 2], [3, 4]]), 3, 5, num_return=3)
    before = {tuple(text) for text in history}
    assert {tuple(text[:-1]) for row in found.tokens.tolist() for text in row} <= before


def test_beam_search_with_a_cache_finds_what_it_finds_without():
    minidl.manual_seed(0)
    embed, attend, out = nn.Embedding(7, 8), nn.GroupedQueryAttention(8, 4, 2), nn.Linear(8, 7)
    cache, texts = nn.KVCache(), None

    def cached(tokens, beams):
        if beams is not None:
            cache.reorder(beams)
        return out(attend(embed(tokens), cache=cache))[:, -1] * 5

    def whole(tokens, beams):
        nonlocal texts
        texts = tokens if beams is None else minidl.cat([texts[beams], tokens], 1)
        return out(attend(embed(texts)))[:, -1] * 5

    prompt = minidl.tensor([[1, 2, 3], [3, 4, 5]])
    a, b = (beam_search(step, prompt, 3, 20, eos=0, length_penalty=0.7, num_return=2) for step in (cached, whole))
    np.testing.assert_array_equal(a.tokens.numpy(), b.tokens.numpy())
    np.testing.assert_allclose(a.scores.numpy(), b.scores.numpy(), rtol=1e-4)


def test_wrong_numbers_of_beams():
    for wrong in ((0, 3, 1), (2, 0, 1), (2, 3, 0), (2, 3, 3)):
        with pytest.raises(ValueError, match="beam_search"):
            beam_search(Markov(0), minidl.tensor([[1]]), wrong[0], wrong[1], num_return=wrong[2])

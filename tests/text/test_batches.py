"""Windows, streams, masks and n-grams, by hand and by their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl.data import DataLoader
from minidl.text import LengthBatches, MaskedText, NGram, RandomWindows, Streams, Windows, pad


def test_windows_lie_side_by_side_and_know_what_follows():
    windows = Windows(range(10), 3)
    assert len(windows) == 3
    assert [[t.tolist() for t in windows[i]] for i in (0, 2, -1)] == [
        [[0, 1, 2], [1, 2, 3]],
        [[6, 7, 8], [7, 8, 9]],
        [[6, 7, 8], [7, 8, 9]],
    ]
    assert windows[0][0].dtype == minidl.int64
    assert len(Windows(range(3), 3)) == len(Windows([], 1)) == 0
    assert Windows(range(10), 3, offset=2)[0][0].tolist() == [2, 3, 4]
    with pytest.raises(IndexError, match="window 3 of 3"):
        windows[3]
    with pytest.raises(ValueError, match="length must be 1"):
        Windows([1], 0)
    x, y = next(iter(DataLoader(windows, 2)))
    assert (x + 1).tolist() == y.tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Windows(range(9), 2, offset=-2),
        lambda: RandomWindows(range(9), 0, 1, 1),
        lambda: MaskedText(range(9), 0, 1, 9),
        lambda: LengthBatches([3, 4], 0),
    ],
)
def test_batches_of_nothing_are_refused(make):
    with pytest.raises(ValueError, match=r"(length|batch_size) must be 1 or more"):
        make()


def test_random_windows_come_from_anywhere():
    minidl.manual_seed(0)
    batches = list(RandomWindows(range(100), 7, 16, 50))
    assert len(batches) == 50
    assert all(x.shape == (16, 7) and (x + 1).tolist() == y.tolist() for x, y in batches)
    starts = {int(row[0]) for x, _ in batches for row in x.tolist()}
    assert starts == set(range(93))
    assert all(x.max() <= 98 for x, _ in batches)
    with pytest.raises(ValueError, match="do not fit a text of 7"):
        RandomWindows(range(7), 7, 1, 1)


@given(st.integers(0, 60), st.integers(1, 5), st.integers(1, 4))
def test_streams_go_on_where_they_ended(length, span, rows):
    streams = Streams(range(length), span, rows)
    batches = list(streams)
    assert len(batches) == len(streams) == max(length - 1, 0) // (span * rows)
    if batches:
        x, y = (np.concatenate([b[i].numpy() for b in batches], 1) for i in (0, 1))
        np.testing.assert_array_equal(x + 1, y)
        assert (np.diff(x, axis=1) == 1).all()
        np.testing.assert_array_equal(x[1:, 0], y[:-1, -1])  # together the streams are the text


def test_masks_follow_the_recipe():
    minidl.manual_seed(0)
    tokens = np.random.default_rng(0).integers(10, 1000, 100_000)
    data = MaskedText(tokens, 500, mask=3, vocab_size=1000)
    shown, hidden = (np.concatenate([row.numpy() for row in rows]) for rows in zip(*data))
    chosen = hidden != -100
    np.testing.assert_array_equal(hidden[chosen], tokens[chosen])
    np.testing.assert_array_equal(shown[~chosen], tokens[~chosen])
    assert abs(chosen.mean() - 0.15) < 0.005
    assert abs((shown[chosen] == 3).mean() - 0.8) < 0.02
    assert abs((shown[chosen] == tokens[chosen]).mean() - 0.1) < 0.02


def test_fixed_masks_are_the_same_each_time_and_none_is_empty():
    fixed = MaskedText(range(4, 24), 2, mask=0, vocab_size=24, share=0.01, fixed=True)
    assert [[t.tolist() for t in pair] for pair in fixed] == [[t.tolist() for t in pair] for pair in fixed]
    assert all((hidden != -100).any() for _, hidden in fixed)
    with pytest.raises(ValueError, match="share"):
        MaskedText([1], 1, 0, 1, share=0.0)


def test_rows_are_padded():
    rows, lengths = pad([[1, 2, 3], [], [4]], 9)
    assert rows.tolist() == [[1, 2, 3], [9, 9, 9], [4, 9, 9]]
    assert lengths.tolist() == [3, 0, 1]
    assert pad([[1]], 0, 3)[0].tolist() == [[1, 0, 0]]
    assert pad([], 0)[0].shape == (0, 0)
    with pytest.raises(ValueError, match="a row has 3 tokens, more than length=2"):
        pad([[1, 2, 3]], 0, 2)


def by_definition(tokens, order, vocab, d):
    """Interpolated Kneser-Ney with dictionaries, straight from the formula."""

    def counts(length):
        grams = [tuple(tokens[i : i + order]) for i in range(len(tokens) - order + 1)]
        if length == order:
            return grams
        longer = set(counts(length + 1))
        return [g[1:] for g in longer]

    tables = {n: counts(n) for n in range(1, order + 1)}

    def p(w, h):
        below = 1 / vocab if not h else p(w, h[1:])
        after = [g[-1] for g in tables[len(h) + 1] if g[:-1] == h]
        if not after:
            return below
        return max(after.count(w) - d, 0) / len(after) + d * len(set(after)) / len(after) * below

    return p


@given(st.lists(st.integers(0, 2), max_size=25), st.integers(1, 3))
def test_ngrams_follow_the_formula(tokens, order):
    model, p = NGram(tokens, order, 3, 0.6), by_definition(tokens, order, 3, 0.6)
    for w in range(3):
        for h in ((), (0,), (2, 1), (1, 1, 0)):
            recent = h[max(len(h) - order + 1, 0) :]
            assert model.probability(w, h) == pytest.approx(p(w, recent))
    assert sum(model.probability(w, (2, 1)) for w in range(3)) == pytest.approx(1)


def test_longer_contexts_predict_better_what_they_saw():
    text = [0, 1, 2, 3] * 50
    bits = [NGram(text, n, 4).bits(text) for n in (1, 2, 3)]
    assert bits[0] == pytest.approx(2.0)
    assert bits[1] < 0.3
    with pytest.raises(ValueError, match="at least one token"):
        NGram(text, 1, 4).bits([])
    with pytest.raises(ValueError, match="from 0 to 3"):
        NGram([4], 1, 4)
    with pytest.raises(ValueError, match="63 bits"):
        NGram([0], 7, 1000)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=30), st.lists(st.integers(0, 2), max_size=8))
def test_ngrams_guess_what_mostly_followed(tokens, text):
    def guess(context):
        """Counted by hand, of the longest context that occurs; shorter contexts count each token before them once."""
        for n in range(min(2, len(context)), -1, -1):
            recent = tuple(context[len(context) - n :])
            grams = {tuple(tokens[i : i + 3]): 0 for i in range(len(tokens) - 2)}
            for i in range(len(tokens) - 2):
                grams[tuple(tokens[i : i + 3])] += 1
            for _ in range(2 - n):
                shorter = {}
                for gram in grams:
                    shorter[gram[1:]] = shorter.get(gram[1:], 0) + 1
                grams = shorter
            after = {gram[-1]: count for gram, count in grams.items() if gram[:-1] == recent}
            if after:
                return max(sorted(after), key=lambda token: after[token])
        return 0

    found = NGram(tokens, 3, 3).guesses(text)
    assert found.tolist() == [guess(text[:i]) for i in range(len(text))]

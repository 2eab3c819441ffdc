"""Random numbers: their distributions, seeds, states, generators, and filling tensors in place."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
import torch

import minidl
from minidl import random
from minidl.tensor import wrap

N = 20_000


@pytest.fixture(autouse=True)
def seeded():
    with random.fork_rng():
        minidl.manual_seed(0)
        yield


def same(a, b):
    return a.shape == b.shape and bool((a._data == b._data).all())


# ------------------------------------------------------------------------------------------------------- distributions

# name, draw, mean, variance
DISTRIBUTIONS = [
    ("rand", lambda: minidl.rand(N), 1 / 2, 1 / 12),
    ("rand half", lambda: minidl.rand(N, dtype=minidl.float16), 1 / 2, 1 / 12),
    ("rand bfloat16", lambda: minidl.rand(N, dtype=minidl.bfloat16), 1 / 2, 1 / 12),
    ("rand double", lambda: minidl.rand(N, dtype=minidl.float64), 1 / 2, 1 / 12),
    ("randn", lambda: minidl.randn(N), 0, 1),
    ("randn half", lambda: minidl.randn(N, dtype=minidl.float16), 0, 1),
    ("randint", lambda: minidl.randint(-3, 4, (N,)), 0, 4),
    ("normal", lambda: minidl.normal(3.0, 2.0, (N,)), 3, 4),
    ("normal mean", lambda: minidl.normal(minidl.full((N,), 3.0), 2.0), 3, 4),
    ("normal std", lambda: minidl.normal(3.0, minidl.full((N,), 2.0)), 3, 4),
    ("normal both", lambda: minidl.normal(minidl.full((N,), 3.0), minidl.full((1,), 2.0)), 3, 4),
    ("uniform_", lambda: minidl.empty(N).uniform_(-1, 3), 1, 16 / 12),
    ("normal_", lambda: minidl.empty(N).normal_(1.0, 3.0), 1, 9),
    ("log_normal_", lambda: minidl.empty(N).log_normal_(0.0, 0.25), math.exp(1 / 32), 0.0666),
    ("exponential_", lambda: minidl.empty(N).exponential_(0.5), 2, 4),
    ("geometric_", lambda: minidl.empty(N).geometric_(0.5), 2, 2),
    ("bernoulli_", lambda: minidl.empty(N).bernoulli_(0.25), 1 / 4, 3 / 16),
    ("bernoulli_ ints", lambda: minidl.empty(N, dtype=int).bernoulli_(0.25), 1 / 4, 3 / 16),
    ("bernoulli", lambda: minidl.full((N,), 0.25).bernoulli(), 1 / 4, 3 / 16),
    ("bernoulli p", lambda: minidl.bernoulli(minidl.zeros(N), 0.25), 1 / 4, 3 / 16),
    ("poisson", lambda: minidl.poisson(minidl.full((N,), 4.0)), 4, 4),
    ("random_", lambda: minidl.empty(N).random_(-3, 4), 0, 4),
    ("multinomial", lambda: minidl.multinomial(minidl.tensor([1.0, 0.0, 3.0]), N, True), 1.5, 0.75),
]


@pytest.mark.parametrize(
    ("draw", "mean", "variance"), [d[1:] for d in DISTRIBUTIONS], ids=[d[0] for d in DISTRIBUTIONS]
)
def test_mean_and_variance(draw, mean, variance):
    """Within five standard errors of the mean, and a tenth of the variance."""
    values = draw()._data.astype(np.float64)
    assert abs(values.mean() - mean) < 5 * math.sqrt(variance / N)
    assert values.var() == pytest.approx(variance, rel=0.1)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_rand_is_below_1(dtype):
    values = minidl.rand(200_000, dtype=getattr(minidl, dtype))._data.astype(np.float64)
    assert values.min() >= 0
    assert values.max() < 1


def test_cauchy_has_its_quartiles():
    values = minidl.empty(N).cauchy_(2.0, 3.0)._data
    assert np.quantile(values, [0.25, 0.5, 0.75]) == pytest.approx([-1, 2, 5], abs=0.2)


def test_randint_reaches_both_ends_and_no_further():
    assert set(minidl.randint(3, 6, (1000,)).tolist()) == {3, 4, 5}
    assert set(minidl.randint(2, (1000,)).tolist()) == {0, 1}
    assert set(minidl.zeros(1000, dtype=minidl.bool).random_().tolist()) == {False, True}
    assert set(minidl.randint(-(2**63), 2**63 - 1, (3,)).tolist()) != set()


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int64", "float16", "float32", "float64"])
def test_random_fills_the_whole_range_of_a_type(dtype):
    ours = minidl.zeros(N, dtype=getattr(minidl, dtype)).random_()._data.astype(np.float64)
    theirs = torch.zeros(N, dtype=getattr(torch, dtype)).random_().double().numpy()
    assert ours.min() >= 0
    assert ours.max() == pytest.approx(theirs.max(), rel=0.02)
    assert ours.mean() == pytest.approx(theirs.mean(), rel=0.05)


def test_randperm_is_a_permutation_and_every_order_comes():
    assert sorted(minidl.randperm(100).tolist()) == list(range(100))
    assert len({tuple(minidl.randperm(3).tolist()) for _ in range(200)}) == 6


def test_multinomial_without_replacement_draws_each_once_by_weight():
    weights = minidl.tensor([[1.0, 2.0, 0.0, 5.0]]).expand(4000, 4)
    drawn = minidl.multinomial(weights, 2)._data
    assert (drawn[:, 0] != drawn[:, 1]).all()
    assert not (drawn == 2).any()
    first = np.bincount(drawn[:, 0], minlength=4) / 4000
    assert first == pytest.approx([1 / 8, 2 / 8, 0, 5 / 8], abs=0.04)
    with pytest.raises(RuntimeError, match="not enough non-negative category"):
        minidl.multinomial(weights, 4)


def test_bernoulli_with_a_tensor_of_chances_broadcasts():
    x = minidl.zeros(50, 3).bernoulli_(minidl.tensor([0.0, 1.0, 0.5]))
    assert x[:, 0].sum().item() == 0
    assert x[:, 1].sum().item() == 50


# --------------------------------------------------------------------------------------------------- seeds and states


def test_a_seed_gives_the_same_numbers():
    minidl.manual_seed(7)
    a = [minidl.rand(3), minidl.randn(3), minidl.randint(9, (3,)), minidl.randperm(5)]
    minidl.manual_seed(7)
    b = [minidl.rand(3), minidl.randn(3), minidl.randint(9, (3,)), minidl.randperm(5)]
    assert all(same(x, y) for x, y in zip(a, b))
    minidl.manual_seed(8)
    assert not same(a[0], minidl.rand(3))


def test_seeds_are_64_bits():
    for library in (minidl, torch):
        for seed, expected in ((3, 3), (-1, 2**64 - 1), (2**64 - 1, 2**64 - 1), (-(2**63), 2**63)):
            assert library.Generator().manual_seed(seed).initial_seed() == expected
    assert minidl.manual_seed(5).initial_seed() == minidl.initial_seed() == 5
    for wrong in (2**64, -(2**63) - 1):
        with pytest.raises(RuntimeError, match="64 bits"):
            minidl.manual_seed(wrong)
    with pytest.raises(TypeError):
        minidl.manual_seed("a")


def test_seed_is_a_new_one_every_time():
    a, b = minidl.seed(), minidl.seed()
    assert a != b
    assert minidl.initial_seed() == b


@pytest.mark.parametrize("between", [lambda: minidl.randn(3), lambda: minidl.rand(1), lambda: minidl.randint(3, (1,))])
def test_a_state_can_be_kept_and_restored(between):
    between()
    state = minidl.get_rng_state()
    assert state.dtype is minidl.uint8
    a = [minidl.randn(5), minidl.randint(0, 2**20, (3,)), minidl.rand(2)]
    kept = wrap(np.array(state._data))  # as from a file
    minidl.manual_seed(99)
    minidl.set_rng_state(kept)
    assert all(same(x, y) for x, y in zip(a, [minidl.randn(5), minidl.randint(0, 2**20, (3,)), minidl.rand(2)]))


def test_a_state_that_is_none():
    for wrong in (minidl.zeros(45), [1, 2], None):
        with pytest.raises(TypeError, match="uint8"):
            minidl.set_rng_state(wrong)
    with pytest.raises(RuntimeError, match="RNG state is wrong size"):
        minidl.set_rng_state(minidl.zeros(3, dtype=minidl.uint8))


def test_fork_rng_leaves_no_trace():
    state = minidl.get_rng_state()
    with random.fork_rng():
        minidl.manual_seed(1)
        minidl.rand(100)
    assert same(state, minidl.get_rng_state())
    with pytest.raises(ZeroDivisionError), random.fork_rng():
        minidl.rand(minidl.randint(1, (1,)).item() or 1 // 0)
    assert same(state, minidl.get_rng_state())
    with random.fork_rng(enabled=False):
        minidl.rand(1)
    assert not same(state, minidl.get_rng_state())


# ---------------------------------------------------------------------------------------------------------- generators

DRAWS = {
    "rand": lambda g: minidl.rand(4, generator=g),
    "randn": lambda g: minidl.randn(4, generator=g),
    "rand_like": lambda g: minidl.rand_like(minidl.zeros(4), generator=g),
    "randn_like": lambda g: minidl.randn_like(minidl.zeros(4), generator=g),
    "randint": lambda g: minidl.randint(1000, (4,), generator=g),
    "randint_like": lambda g: minidl.randint_like(minidl.zeros(4), 1000, generator=g),
    "randperm": lambda g: minidl.randperm(20, generator=g),
    "normal": lambda g: minidl.normal(0.0, 1.0, (4,), generator=g),
    "bernoulli": lambda g: minidl.bernoulli(minidl.full((40,), 0.5), generator=g),
    "multinomial": lambda g: minidl.multinomial(minidl.ones(50), 9, generator=g),
    "poisson": lambda g: minidl.poisson(minidl.full((9,), 50.0), generator=g),
    "uniform_": lambda g: minidl.zeros(4).uniform_(generator=g),
    "normal_": lambda g: minidl.zeros(4).normal_(generator=g),
    "log_normal_": lambda g: minidl.zeros(4).log_normal_(generator=g),
    "exponential_": lambda g: minidl.zeros(4).exponential_(generator=g),
    "cauchy_": lambda g: minidl.zeros(4).cauchy_(generator=g),
    "geometric_": lambda g: minidl.zeros(40).geometric_(0.1, generator=g),
    "random_": lambda g: minidl.zeros(4).random_(generator=g),
    "bernoulli_": lambda g: minidl.zeros(40).bernoulli_(generator=g),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_a_generator_of_ones_own(draw):
    before = minidl.get_rng_state()
    generator = minidl.Generator().manual_seed(3)
    a, b = draw(generator), draw(generator)
    assert same(before, minidl.get_rng_state()), "the default generator is left alone"
    assert not same(a, b)
    assert same(a, draw(minidl.Generator().manual_seed(3)))
    assert not same(draw(None), draw(None))
    with pytest.raises(TypeError, match=r"generator must be a minidl\.Generator"):
        draw(3)


def test_generators_can_be_copied_and_sent_to_other_processes():
    generator = minidl.Generator().manual_seed(3)
    minidl.rand(3, generator=generator)
    twins = [copy.deepcopy(generator), pickle.loads(pickle.dumps(generator)), generator.clone_state()]
    expected = minidl.rand(3, generator=generator)
    assert all(same(expected, minidl.rand(3, generator=g)) for g in twins)
    assert all(g.initial_seed() == 3 for g in twins)


def test_new_generators_begin_alike():
    assert minidl.Generator().initial_seed() == torch.Generator().initial_seed()
    assert str(minidl.Generator().device) == "cpu"
    generator = minidl.Generator()
    assert generator.seed() == generator.initial_seed()


def test_the_numpy_generator_is_at_hand():
    minidl.manual_seed(3)
    a = random.generator().random(3)
    minidl.manual_seed(3)
    np.testing.assert_array_equal(a, minidl.rand(3, dtype=minidl.float64)._data)
    mine = minidl.Generator()
    assert random.generator(mine) is mine.numpy


# ------------------------------------------------------------------------------------------------------------- in place

FILLS = ["uniform_", "normal_", "log_normal_", "exponential_", "cauchy_", "random_", "bernoulli_"]


@pytest.mark.parametrize("name", FILLS)
def test_filling_is_in_place_whatever_the_layout(name):
    base = minidl.zeros(6, 8)
    view = base[::2].T
    assert getattr(view, name)() is view
    assert not base._data[1::2].any()
    assert base._version > 0
    assert len(np.unique(base._data[::2])) > 1


@pytest.mark.parametrize("name", FILLS)
def test_filling_on_the_tape(name):
    x = minidl.ones(5, requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf Variable"):
        getattr(x, name)()
    with minidl.no_grad():
        assert getattr(x, name)() is x
    y = x * 2
    getattr(y, name)()
    (y * 3).sum().backward()
    assert x.grad.tolist() == [0] * 5, "what it held before does not matter any more"


def test_bernoulli_passes_no_gradient():
    p = minidl.full((4,), 0.5, requires_grad=True)
    minidl.bernoulli(p).sum().backward()
    assert p.grad.tolist() == [0] * 4


def test_half_precision_fills():
    for dtype in (minidl.float16, minidl.bfloat16):
        for name in FILLS:
            x = minidl.zeros(100, dtype=dtype)
            getattr(x, name)()
            assert x.dtype is dtype
            assert len(set(x.tolist())) > 1
        assert minidl.zeros(9, dtype=dtype).uniform_(5, 6).float().min().item() >= 5


WRONG = [
    ("uniform_", (1, 0), {}, RuntimeError, r"from=1 > to=0"),
    ("normal_", (0, -1), {}, RuntimeError, "std >= 0.0, but found std -1"),
    ("log_normal_", (0, 0), {}, RuntimeError, "std > 0.0, but found std=0"),
    ("exponential_", (0,), {}, RuntimeError, "lambda > 0.0, but found lambda=0"),
    ("cauchy_", (0, 0), {}, RuntimeError, "sigma > 0.0, but found sigma=0"),
    ("geometric_", (0,), {}, RuntimeError, r"p to be in \(0, 1\), but got p=0"),
    ("random_", (3, 3), {}, RuntimeError, "from=3 >= to=3"),
    ("bernoulli_", (2.0,), {}, RuntimeError, r"p to be in \[0, 1\], but got p=2"),
]


@pytest.mark.parametrize(("name", "args", "kwargs", "error", "message"), WRONG)
def test_wrong_distributions(name, args, kwargs, error, message):
    for library in (torch, minidl):
        with pytest.raises(error, match=message):
            getattr(library.zeros(2), name)(*args, **kwargs)


@pytest.mark.parametrize("name", ["uniform_", "normal_", "log_normal_", "exponential_", "cauchy_"])
def test_real_values_need_a_floating_type(name):
    for library in (torch, minidl):
        with pytest.raises((NotImplementedError, RuntimeError)):
            getattr(library.zeros(2, dtype=library.int64), name)()


@pytest.mark.parametrize("name", ["rand", "randn"])
def test_new_real_values_need_a_floating_type(name):
    for library in (torch, minidl):
        with pytest.raises(NotImplementedError, match="not implemented for"):
            getattr(library, name)(2, dtype=library.int64)


def test_arguments_by_name():
    assert minidl.zeros(2).uniform_(**{"from": 5, "to": 6})._data.min() >= 5
    assert minidl.zeros(2).random_(**{"from": 5, "to": 6}).tolist() == [5, 5]
    assert minidl.zeros(2).random_(1).tolist() == [0, 0]
    with pytest.raises(TypeError, match="unexpected arguments"):
        minidl.zeros(2).uniform_(nothing=1)
    with pytest.raises(TypeError, match="takes to, or from and to"):
        minidl.zeros(2).random_(1, 2, 3)
    with pytest.raises(RuntimeError, match="to - 1 is out of bounds"):
        minidl.zeros(2, dtype=minidl.uint8).random_(300)

"""The data loader: PyTorch's batches, with and without worker processes, and what happens when something goes wrong."""

from __future__ import annotations

import collections
import os
import signal
import time

import numpy as np
import pytest
import torch

import minidl
from minidl.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    get_worker_info,
    random_split,
)


class Squares(Dataset):
    def __init__(self, n=10):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        if not 0 <= i < self.n:
            raise IndexError(i)
        return {"x": np.float32(i), "pair": (i, [i * i, float(i)]), "name": f"n{i}"}


class Breaks(Squares):
    def __getitem__(self, i):
        if i == 5:
            raise KeyError("sample 5 is broken")
        return i


class Dies(Squares):
    def __getitem__(self, i):
        if i == 5 and get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return i


class Sleeps(Squares):
    def __getitem__(self, i):
        time.sleep(30)
        return i


class Flow(IterableDataset):
    def __iter__(self):
        info = get_worker_info()
        start, step = (0, 1) if info is None else (info.id, info.num_workers)
        return iter(range(start, 10, step))


class Noise(Squares):
    def __getitem__(self, i):
        return minidl.rand(2)


def plain(value):
    """A batch as plain Python values, whichever library made it."""
    if isinstance(value, (minidl.Tensor, torch.Tensor)):
        return (str(value.dtype).rpartition(".")[2], value.tolist())
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("drop_last", [False, True])
def test_batches_are_pytorchs(workers, drop_last):
    ours = DataLoader(Squares(), 4, drop_last=drop_last, num_workers=workers)
    theirs = torch.utils.data.DataLoader(Squares(), 4, drop_last=drop_last)
    assert len(ours) == len(theirs)
    assert [plain(b) for b in ours] == [plain(b) for b in theirs]


@pytest.mark.parametrize("batch_size", [None, 3])
@pytest.mark.parametrize("workers", [0, 2])
def test_the_seed_decides_the_order_however_many_workers(workers, batch_size):
    data = TensorDataset(minidl.arange(20))

    def epochs(loader):
        minidl.manual_seed(7)
        return [[plain(b) for b in loader] for _ in range(2)]

    reference = epochs(DataLoader(data, batch_size, shuffle=True))
    assert reference[0] != reference[1]
    assert epochs(DataLoader(data, batch_size, shuffle=True, num_workers=workers)) == reference


def test_a_generator_of_its_own():
    data = TensorDataset(minidl.arange(20))

    def order():
        generator = minidl.Generator().manual_seed(3)
        return [plain(b) for b in DataLoader(data, 4, shuffle=True, generator=generator)]

    first = order()
    minidl.rand(5)
    assert order() == first


def test_random_numbers_in_workers_repeat_and_differ_between_workers():
    def draw():
        minidl.manual_seed(1)
        return [plain(b) for b in DataLoader(Noise(4), 1, num_workers=2)]

    first = draw()
    assert draw() == first
    assert len({str(b) for b in first}) == 4


@pytest.mark.parametrize("workers", [0, 2])
def test_iterable_data(workers):
    batches = list(DataLoader(Flow(), 3, num_workers=workers))
    assert sorted(i for b in batches for i in b.tolist()) == list(range(10))
    assert [b.item() for b in DataLoader(Flow(), None) if isinstance(b, minidl.Tensor)] == []
    assert list(DataLoader(Flow(), None)) == list(range(10))


def test_persistent_workers_live_on_and_others_end():
    loader = DataLoader(Squares(), 2, num_workers=2, persistent_workers=True)
    assert len(list(loader)) == 5
    workers = [p.pid for p in loader._workers.processes]
    assert len(list(loader)) == 5
    assert [p.pid for p in loader._workers.processes] == workers
    loader._workers.close()
    plainly = DataLoader(Squares(), 2, num_workers=2)
    list(plainly)
    assert not plainly._workers.alive()


def test_leaving_an_epoch_in_the_middle():
    loader = DataLoader(Squares(), 2, num_workers=2, persistent_workers=True)
    next(iter(loader))
    assert len(list(loader)) == 5
    loader._workers.close()


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_in_a_sample_reaches_the_caller(workers):
    with pytest.raises(KeyError, match="sample 5 is broken") as error:
        list(DataLoader(Breaks(), 2, num_workers=workers))
    if workers:
        message = str(error.value)
        assert "DataLoader worker process" in message
        assert "__getitem__" in message, "the worker's traceback is shown"


def test_a_worker_that_dies_is_named_at_once():
    began = time.monotonic()
    with pytest.raises(
        RuntimeError, match=r"worker \d \(pid \d+\) exited unexpectedly with exit code -9.*num_workers=0"
    ):
        list(DataLoader(Dies(), 2, num_workers=2))
    assert time.monotonic() - began < 20


def test_a_worker_that_is_too_slow():
    with pytest.raises(RuntimeError, match=r"timed out after 0.5 seconds waiting for worker 0"):
        list(DataLoader(Sleeps(), 2, num_workers=1, timeout=0.5))


def test_worker_init_fn_and_its_errors():
    def fail(number):
        raise ValueError(f"no start for {number}")

    with pytest.raises(ValueError, match="no start for 0"):
        list(DataLoader(Squares(), 2, num_workers=1, worker_init_fn=fail))


WRONG = {
    "negative workers": ({"num_workers": -1}, "non-negative"),
    "negative timeout": ({"timeout": -1}, "non-negative"),
    "shuffle and sampler": ({"shuffle": True, "sampler": [1]}, "mutually exclusive"),
    "batch sampler and size": ({"batch_sampler": [[1]], "batch_size": 2}, "mutually exclusive"),
    "drop_last without batches": ({"batch_size": None, "drop_last": True}, "mutually exclusive"),
    "prefetch without workers": ({"prefetch_factor": 2}, "num_workers > 0"),
    "persistent without workers": ({"persistent_workers": True}, "num_workers > 0"),
    "batch size 0": ({"batch_size": 0}, "positive integer"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG)
def test_arguments_are_checked_as_pytorch_does(arguments, message):
    with pytest.raises(ValueError, match=r".") as theirs:
        torch.utils.data.DataLoader(Squares(), **arguments)
    with pytest.raises(type(theirs.value), match=message):
        DataLoader(Squares(), **arguments)


def test_an_empty_data_set():
    assert list(DataLoader(Squares(0), 2)) == []
    with pytest.raises(ValueError, match="num_samples=0"):
        DataLoader(Squares(0), 2, shuffle=True)


def test_collation_errors():
    with pytest.raises(RuntimeError, match=r"equal size.*\(2,\).*\(3,\)"):
        default_collate([minidl.ones(2), minidl.ones(3)])
    with pytest.raises(TypeError, match="collate_fn"):
        default_collate([object()])
    Pair = collections.namedtuple("Pair", "a b")
    batch = default_collate([Pair(1, 2.0), Pair(3, 4.0)])
    assert isinstance(batch, Pair)
    assert batch.a.tolist() == [1, 3]


def test_data_sets():
    both = ConcatDataset([Squares(3), Squares(4)])
    assert len(both) == 7
    assert both[3]["name"] == "n0"
    assert both[-1]["name"] == "n3"
    with pytest.raises(IndexError, match="out of range"):
        both[7]
    a, b = random_split(Squares(10), [0.7, 0.3])
    assert sorted([*a.indices, *b.indices]) == list(range(10))
    with pytest.raises(ValueError, match="add up to 9"):
        random_split(Squares(10), [4, 5])
    with pytest.raises(AssertionError, match=r"\(2,\).*\(3,\)"):
        TensorDataset(minidl.ones(2), minidl.ones(3))
    part = Subset(TensorDataset(minidl.arange(10)), [2, 4, 6])
    assert [b[0].tolist() for b in DataLoader(part, 2)] == [[2, 4], [6]]


def test_samplers():
    assert list(BatchSampler(range(5), 2, False)) == [[0, 1], [2, 3], [4]]
    assert sorted(SubsetRandomSampler([3, 1, 7])) == [1, 3, 7]
    minidl.manual_seed(0)
    draws = list(WeightedRandomSampler([0.0, 1.0, 3.0], 4000))
    counts = np.bincount(draws, minlength=3)
    assert counts[0] == 0
    assert 2.6 < counts[2] / counts[1] < 3.4
    assert sorted(WeightedRandomSampler([1.0, 2.0, 3.0], 3, replacement=False)) == [0, 1, 2]
    with pytest.raises(RuntimeError, match="without replacement"):
        WeightedRandomSampler([1.0, 0.0], 2, replacement=False)

"""The data loader: batches from a data set, made here or by worker processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from minidl import random
from minidl.data.collate import default_collate, default_convert
from minidl.data.dataset import IterableDataset, Subset
from minidl.data.sampler import BatchSampler, RandomSampler, SequentialSampler
from minidl.data.workers import END, Workers

_FIXED = ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers")


class DataLoader:
    """Batches of ``dataset``, in an order that the seed alone decides.

    Args:
        dataset: anything with ``__getitem__`` and ``__len__``, or an :class:`IterableDataset`.
        batch_size: samples in a batch; None hands out single samples.
        shuffle: a new random order every epoch.
        sampler, batch_sampler: the order, or whole batches of indices, instead of the above.
        num_workers: processes that load batches ahead of time; 0 loads them here. The batches are the same.
        collate_fn: from a list of samples to a batch.
        drop_last: leave out the last batch if it is smaller.
        timeout: seconds to wait for a worker's batch; 0 waits for ever (a worker that dies is noticed all the same).
        worker_init_fn: called with the worker's number when it starts.
        generator: what the order is drawn from; minidl's default generator if None.
        prefetch_factor: batches that each worker loads ahead (2 if there are workers).
        persistent_workers: keep the workers from one epoch to the next.

    An error in a worker is raised here, with the worker's traceback. ``pin_memory`` and ``multiprocessing_context`` are
    accepted as in PyTorch; the first changes nothing, the second names a start method.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Any = None,
        batch_sampler: Any = None,
        num_workers: int = 0,
        collate_fn: Callable[[list], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
    ) -> None:
        self.dataset, self.num_workers, self.timeout = dataset, num_workers, timeout
        self.worker_init_fn, self.generator = worker_init_fn, generator
        self.multiprocessing_context = multiprocessing_context
        self.persistent_workers, self.pin_memory = persistent_workers, pin_memory
        self._iterable = isinstance(dataset, IterableDataset)
        self._check(shuffle, sampler, batch_sampler, batch_size, drop_last, prefetch_factor)
        self.prefetch_factor = 2 if prefetch_factor is None and num_workers else prefetch_factor
        if batch_sampler is not None:
            batch_size, drop_last = None, False
        elif sampler is None and not self._iterable:
            sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        if batch_sampler is None and batch_size is not None and not self._iterable:
            batch_sampler = BatchSampler(sampler or (), batch_size, drop_last)
        self.batch_size, self.drop_last, self.sampler, self.batch_sampler = (
            batch_size,
            drop_last,
            sampler,
            batch_sampler,
        )
        self._batches = batch_size is not None or batch_sampler is not None
        self.collate_fn = collate_fn or (default_collate if self._batches else default_convert)
        self._workers: Workers | None = None

    def _check(
        self, shuffle: Any, sampler: Any, batch_sampler: Any, batch_size: Any, drop_last: Any, ahead: Any
    ) -> None:
        if self.num_workers < 0:
            raise ValueError("num_workers option should be non-negative; use num_workers=0 to disable multiprocessing.")
        if (start := self.multiprocessing_context) is not None:
            if not self.num_workers:
                raise ValueError(
                    "multiprocessing_context can only be used with multi-process loading (num_workers > 0)"
                )
            if isinstance(start, str) and start not in multiprocessing.get_all_start_methods():
                raise ValueError(
                    "multiprocessing_context option should specify a valid start method in "
                    f"{multiprocessing.get_all_start_methods()}, but got {start!r}"
                )
        if self.timeout < 0:
            raise ValueError("timeout option should be non-negative")
        if not self.num_workers and ahead is not None:
            raise ValueError("prefetch_factor could only be specified with num_workers > 0")
        if ahead is not None and ahead < 1:
            raise ValueError("prefetch_factor option should be positive")
        if not self.num_workers and self.persistent_workers:
            raise ValueError("persistent_workers option needs num_workers > 0")
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
            raise ValueError(
                "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last"
            )
        if batch_size is None and drop_last:
            raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")
        if self._iterable and (shuffle or sampler is not None or batch_sampler is not None):
            raise ValueError("DataLoader with IterableDataset: expected unspecified shuffle, sampler and batch_sampler")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FIXED and "_workers" in self.__dict__:
            raise ValueError(f"{name} attribute should not be set after DataLoader is initialized; make another one")
        super().__setattr__(name, value)

    def __len__(self) -> int:
        if self._iterable:
            n = len(self.dataset)
            if self.batch_size is None:
                return n
            return n // self.batch_size if self.drop_last else -(-n // self.batch_size)
        return len(self._order())

    def _order(self) -> Any:
        return self.batch_sampler if self._batches else self.sampler

    def __iter__(self) -> Iterator[Any]:
        seed = int(random.generator(self.generator).integers(2**62))  # drawn without workers too: the order is the same
        if not self.num_workers:
            return self._load_here()
        if self._workers is None or not self.persistent_workers or not self._workers.alive():
            self._workers = Workers(self)
        return self._workers.epoch(self._jobs(), seed)

    def _jobs(self) -> Iterator[Any]:
        """What to load, batch by batch: indices, or None for the next ones of an iterable data set."""
        return iter(self._order()) if not self._iterable else iter(lambda: None, 0)

    def _load_here(self) -> Iterator[Any]:
        fetch = Fetcher(self)
        if not self._iterable:
            for indices in self._order():
                yield fetch(indices)
            return
        while (batch := fetch(None)) is not END:
            yield batch


class Fetcher:
    """Turns indices into a batch: the part of loading that workers do."""

    def __init__(self, loader: DataLoader) -> None:
        self.dataset, self.collate = loader.dataset, loader.collate_fn
        self.batch_size, self.drop_last, self.batches = loader.batch_size, loader.drop_last, loader._batches
        self.iterator = iter(loader.dataset) if loader._iterable else None
        self.take = _take(loader.dataset) if loader.collate_fn is default_collate and self.batches else None

    def __call__(self, indices: Any) -> Any:
        if self.iterator is not None:
            return self._next()
        if not self.batches:
            return self.collate(self.dataset[indices])
        if self.take is not None:
            return self.take(indices)
        many = getattr(self.dataset, "__getitems__", None)
        return self.collate(many(indices) if many is not None else [self.dataset[i] for i in indices])

    def _next(self) -> Any:
        assert self.iterator is not None
        if not self.batches:
            sample = next(self.iterator, END)
            return sample if sample is END else self.collate(sample)  # type: ignore[arg-type]
        samples = list(islice(self.iterator, self.batch_size))
        if not samples or (self.drop_last and len(samples) < (self.batch_size or 0)):
            return END
        return self.collate(samples)


def _take(dataset: Any) -> Callable[[Any], Any] | None:
    """The data set's own way to make a batch at once, if it has one; seen through a Subset as well."""
    if isinstance(dataset, Subset):
        inner = _take(dataset.dataset)
        return None if inner is None else lambda indices: inner([dataset.indices[i] for i in indices])
    return getattr(dataset, "take", None)

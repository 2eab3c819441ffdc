"""Worker processes of a data loader.

Each worker has a pipe, through which jobs go (a number and the indices of a batch) and answers come back (the number
and the batch, or an error). Jobs are dealt out in turn and batches handed over by number, so their order is that of
loading without workers. The parent waits on the pipe *and* on the process, so a worker that dies is noticed at once.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import traceback
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any

from minidl import random
from minidl.backends import use_backend

END = "the end of an iterable data set"
_EPOCH = "a new epoch"


@dataclass
class WorkerInfo:
    """What a worker knows of itself: its number, how many there are, its seed and its copy of the data set."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """Inside a worker process, who it is; None in the main process."""
    return _info


@dataclass
class Failure:
    """An error on its way from a worker to the caller."""

    worker: int
    error: BaseException | None
    kind: str
    text: str

    def reraise(self) -> None:
        """Raise an error of the same type, with the worker's traceback in its message."""
        message = f"Caught {self.kind} in DataLoader worker process {self.worker}.\nOriginal {self.text}"
        if self.error is None:
            raise RuntimeError(message)
        try:
            again = type(self.error)(message)
        except Exception:  # a type whose constructor wants something else
            again = RuntimeError(message)
        raise again from None


def _failure(number: int, error: BaseException) -> Failure:
    import pickle

    try:
        pickle.loads(pickle.dumps(error))
        carried: BaseException | None = error
    except Exception:
        carried = None
    return Failure(number, carried, type(error).__name__, traceback.format_exc())


def _work(number: int, count: int, jobs: Any, fetcher_of: Any, loader: Any, initialise: Any) -> None:
    """The life of a worker: until the pipe closes, load what is asked for and send it back."""
    global _info
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle; it closes the pipe
    fetch = failure = None
    while True:
        try:
            kind, job = jobs.recv()
        except (EOFError, OSError):
            return
        try:
            if kind == _EPOCH:
                fetch, failure = None, None
                random.manual_seed(job + number)
                _info = WorkerInfo(number, count, job + number, loader.dataset)
                if initialise is not None:
                    initialise(number)
                fetch = fetcher_of(loader)
                continue
            result: Any = failure if fetch is None else fetch(job)
        except Exception as error:
            failure = result = _failure(number, error)
            if kind == _EPOCH:
                continue
        try:
            jobs.send((kind, result))
        except (BrokenPipeError, OSError):
            return
        except Exception as error:  # a batch that cannot be sent
            jobs.send((kind, _failure(number, error)))


class Workers:
    """The worker processes of one loader."""

    def __init__(self, loader: Any) -> None:
        from minidl.data.loader import Fetcher

        method = loader.multiprocessing_context
        # fork starts in milliseconds and shares the data set's memory; where it is missing, spawn copies the data set.
        if method is None:
            method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
        context: Any = multiprocessing.get_context(method) if isinstance(method, str) else method
        self.timeout, self.count = loader.timeout, loader.num_workers
        self.ahead, self.persistent = loader.prefetch_factor, loader.persistent_workers
        self.pipes, self.processes = [], []
        kept, loader._workers = loader._workers, None  # what is sent to a worker must not hold pipes
        for number in range(self.count):
            here, there = context.Pipe()
            process = context.Process(
                target=_child,
                args=(number, self.count, there, [*self.pipes, here], Fetcher, loader, loader.worker_init_fn),
                daemon=True,
            )
            process.start()
            there.close()
            self.pipes.append(here)
            self.processes.append(process)
        del kept
        self._close = weakref.finalize(self, _stop, self.pipes, self.processes)

    def alive(self) -> bool:
        return self._close.alive and all(p.is_alive() for p in self.processes)

    def epoch(self, jobs: Iterator[Any], seed: int) -> Iterator[Any]:
        """The batches of one epoch, in order. Worker i draws its random numbers from seed + i."""
        for pipe in self.pipes:
            pipe.send((_EPOCH, seed))
        return self._batches(iter(enumerate(jobs)))

    def _batches(self, jobs: Iterator[tuple[int, Any]]) -> Iterator[Any]:
        open_workers = list(range(self.count))
        sent: list[int] = []  # which worker has the jobs under way, oldest first
        ready: dict[int, Any] = {}
        turn = first = 0
        try:
            while True:
                while open_workers and len(sent) < self.ahead * self.count:
                    job = next(jobs, None)
                    if job is None:
                        break
                    worker = open_workers[turn % len(open_workers)]
                    turn += 1
                    self.pipes[worker].send(job)
                    sent.append(worker)
                if not sent:
                    return
                while first not in ready:
                    number, result = self._receive(sent[0])
                    ready[number] = result
                result, worker = ready.pop(first), sent.pop(0)
                first += 1
                if isinstance(result, Failure):
                    result.reraise()
                if isinstance(result, str) and result == END:
                    if worker in open_workers:
                        open_workers.remove(worker)
                    continue
                yield result
        finally:
            if sent or not self.persistent:  # left in the middle: answers under way would confuse the next epoch
                self.close()

    def _receive(self, worker: int) -> tuple[int, Any]:
        """The next answer of a worker. RuntimeError if it has died, or does not answer in time."""
        pipe, process = self.pipes[worker], self.processes[worker]
        ready = wait([pipe, process.sentinel], self.timeout or None)
        if not ready:
            raise RuntimeError(f"DataLoader timed out after {self.timeout} seconds waiting for worker {worker}")
        if pipe in ready:
            with contextlib.suppress(EOFError, ConnectionResetError):
                return pipe.recv()
        process.join(1)
        raise RuntimeError(
            f"DataLoader worker {worker} (pid {process.pid}) exited unexpectedly with exit code {process.exitcode}"
            + (" (killed by the system: perhaps out of memory)" if process.exitcode == -signal.SIGKILL else "")
            + ". Run with num_workers=0 to see the error itself."
        )

    def close(self) -> None:
        """Stop the workers and wait for them."""
        self._close()


def _child(number: int, count: int, pipe: Any, others: list, fetcher_of: Any, loader: Any, initialise: Any) -> None:
    for other in others:  # ends that belong to the parent: held open here, nobody would notice it closing them
        other.close()
    use_backend("numpy")  # a forked process cannot use the parent's GPU
    _work(number, count, pipe, fetcher_of, loader, initialise)


def _stop(pipes: list, processes: list) -> None:
    for pipe in pipes:
        pipe.close()
    for process in processes:
        process.join(0.5)
        if process.is_alive():
            process.terminate()
            process.join(2)
        if process.is_alive():
            process.kill()
            process.join()
        process.close()

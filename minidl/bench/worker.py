"""One case of the CPU benchmark in a process of its own: ``python -m minidl.bench.worker CASE LIBRARY BACKEND THREADS``.

It prints the first loss, then for each number read the seconds a step takes, over so many steps.
"""

from __future__ import annotations

import sys

import minidl
from minidl.bench import cpu
from minidl_kernels.threads import set_num_threads


def main(case: str, library: str, backend: str, threads: str) -> None:
    set_num_threads(int(threads))
    minidl.use_backend(backend)
    runner = cpu.Here(case, cpu.libraries(None if library == "minidl" else "torch")[library])
    print(runner.first, flush=True)
    for line in sys.stdin:
        print(runner.seconds(int(line)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""What the compilers make of every GPU kernel, found out without a GPU: registers, spilled bytes, shared memory.

    python -m minidl_kernels.compile_check softmax triton sm_90        # one room's kernels, as JSON

Triton compiles with its own tools; CUDA C is compiled by NVRTC, the compiler that CuPy uses, from NVIDIA's wheels
(nvidia-cuda-nvrtc, nvidia-cuda-runtime). A kernel that spills registers to memory, or asks for more shared memory than the
processor has, is not fit to ship.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minidl_kernels.installing import how_to_install

TARGETS = ("sm_80", "sm_90")
SHARED_LIMIT = {"sm_80": 163 << 10, "sm_90": 227 << 10}  # bytes a block may have: CUDA C++ Programming Guide, table 21


@dataclass
class Compiled:
    """One kernel in one configuration for one processor."""

    room: str
    backend: str
    kernel: str
    settings: str
    target: str
    registers: int
    spilled: int
    shared: int

    @property
    def fit(self) -> bool:
        """No spilled registers, and shared memory within the processor's limit."""
        return self.spilled == 0 and self.shared <= SHARED_LIMIT[self.target]


def check(room: str, backend: str, target: str, timeout: float = 900.0) -> list[Compiled]:
    """Compile the kernels of a room, in a process of its own, for Triton's mode is chosen when it is imported.

    Raises:
        RuntimeError: a kernel does not compile, or not within ``timeout`` seconds.
    """
    command = [sys.executable, "-m", "minidl_kernels.compile_check", room, backend, target]
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"} | {"MINIDL_COMPILE_ONLY": target}
    environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{room}: {backend} kernels for {target} did not compile within {timeout:g} s") from None
    if run.returncode:
        raise RuntimeError(f"{room}: {backend} kernels for {target} do not compile:\n{run.stderr[-4000:]}")
    return [Compiled(**found) for found in json.loads(run.stdout.splitlines()[-1])]


def main(room: str, backend: str, target: str) -> list[Compiled]:
    module = importlib.import_module(f"minidl_kernels.{room}.with_{backend}")
    found = _cuda_c(module, target) if backend == "cupy" else _triton(module, target)
    return [Compiled(room, backend, kernel, settings, target, *used) for kernel, settings, used in found]


# -------------------------------------------------------------------------------------------------------------- Triton


def _triton(module: Any, target: str) -> list[tuple[str, str, tuple[int, int, int]]]:
    runtime = importlib.import_module("minidl_kernels.triton_runtime")
    runtime.knobs.runtime.add_stages_inspection_hook = _keep_the_report
    runtime.knobs.cache.dir = os.path.join(runtime.knobs.cache.dir, "compile_check")  # kernels made without it lack it
    for call in module.compile_cases(lambda shape, dtype="float32": np.zeros(shape, dtype)):
        call()
    found: dict[tuple[str, str], tuple[int, int, int]] = {}
    for kernel, settings, made in runtime.compiled:
        types = ",".join(str(t) for t in made.src.signature.values() if str(t).startswith("*"))
        shown = " ".join(f"{k}={v}" for k, v in settings.items()) + f" {types}"
        if (kernel, shown) not in found:
            found[kernel, shown] = (made.metadata.registers, made.metadata.spilled, made.metadata.shared)
    return [(kernel, settings, used) for (kernel, settings), used in found.items()]


def _keep_the_report(_backend: Any, stages: dict[str, Any], *_: Any) -> None:
    """Triton's last stage is ``ptxas``, whose report it throws away: here the same, and the report goes to the metadata."""

    def assemble(ptx: str, metadata: dict[str, Any]) -> bytes:
        binary, metadata["registers"], metadata["spilled"] = _assembled(ptx, metadata["target"].arch)
        return binary

    stages["cubin"] = assemble


def _assembled(ptx: str, capability: int) -> tuple[bytes, int, int]:
    """The processor's code, its registers and its spilled bytes, as ``ptxas -v`` reports them."""
    compiler = importlib.import_module("triton.backends.nvidia.compiler").get_ptxas(capability).path
    name = re.findall(r"^\.target\s+(\w+)", ptx, re.MULTILINE)[0]
    with tempfile.TemporaryDirectory() as folder:
        file, binary = Path(folder, "kernel.ptx"), Path(folder, "kernel.cubin")
        file.write_text(ptx)
        made = subprocess.run(
            [compiler, "-v", f"--gpu-name={name}", str(file), "-o", str(binary)],
            capture_output=True,
            text=True,
            check=True,
        )
        code = binary.read_bytes()
    log = made.stderr + made.stdout
    registers, spilled = re.findall(r"Used (\d+) registers", log)[0], re.findall(r"(\d+) bytes spill stores", log)
    return code, int(registers), sum(map(int, spilled))


# -------------------------------------------------------------------------------------------------------------- CUDA C

_ENTRY = re.compile(
    r"entry function '(\w+)'.*?(\d+) bytes spill stores.*?Used (\d+) registers(?:[^\n]*?(\d+) bytes smem)?", re.DOTALL
)


def _cuda_c(module: Any, target: str) -> list[tuple[str, str, tuple[int, int, int]]]:
    cuda_c = importlib.import_module("minidl_kernels.cuda_c")
    sources = [s for s in vars(module).values() if isinstance(s, cuda_c.CudaSource)]
    options = ("--std=c++17", f"-I{cuda_c.HEADERS}", "--ptxas-options=-v", f"--gpu-architecture={target}")
    found = []
    for source in sources:
        log = Nvrtc().compile(source.text, source.path.name, options)
        entries = {kernel: rest for kernel, *rest in _ENTRY.findall(log)}
        for kernel in source.parameters:
            spilled, registers, shared = entries[kernel]
            found.append((kernel, source.path.name, (int(registers), int(spilled), int(shared or 0))))
    return found


class Nvrtc:
    """NVIDIA's run-time compiler for CUDA C, called directly: it needs neither a GPU nor a driver."""

    def __init__(self) -> None:
        package = importlib.util.find_spec("nvidia")
        paths = [] if package is None else list(package.submodule_search_locations or ())
        found = [f for p in paths for f in sorted(Path(p).rglob("libnvrtc.so.*")) if "alt" not in f.name]
        if not found:
            raise RuntimeError(
                "NVRTC, the compiler of CUDA C, is not installed: "
                + how_to_install("nvidia-cuda-nvrtc==13.0.*", "nvidia-cuda-runtime==13.0.*")
            )
        for builtins in found[0].parent.glob("libnvrtc-builtins.so.*"):
            ctypes.CDLL(str(builtins))  # which NVRTC looks for by name alone
        self.library = ctypes.CDLL(str(found[0]))
        self.library.nvrtcGetErrorString.restype = ctypes.c_char_p

    def compile(self, text: str, name: str, options: tuple[str, ...]) -> str:
        """The compiler's log, its resource report included. RuntimeError, with the log, if it does not compile."""
        program = ctypes.c_void_p()
        self._check(self.library.nvrtcCreateProgram(ctypes.byref(program), text.encode(), name.encode(), 0, None, None))
        try:
            passed = (ctypes.c_char_p * len(options))(*(o.encode() for o in options))
            failed = self.library.nvrtcCompileProgram(program, len(options), passed)
            log = self._text(program, "ProgramLog")
            if failed:
                raise RuntimeError(f"{name} does not compile:\n{log}")
            return log
        finally:
            self.library.nvrtcDestroyProgram(ctypes.byref(program))

    def _text(self, program: Any, what: str) -> str:
        size = ctypes.c_size_t()
        self._check(getattr(self.library, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
        buffer = ctypes.create_string_buffer(size.value)
        self._check(getattr(self.library, f"nvrtcGet{what}")(program, buffer))
        return buffer.value.decode()

    def _check(self, code: int) -> None:
        if code:
            raise RuntimeError(self.library.nvrtcGetErrorString(code).decode())


if __name__ == "__main__":
    print(json.dumps([asdict(found) for found in main(*sys.argv[1:4])]))

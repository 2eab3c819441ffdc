"""Every kernel for a GPU compiles, for both processors, without a GPU: no spilled registers, shared memory within limits."""

import importlib.util

import pytest

from minidl_kernels.compile_check import TARGETS, check
from tests.kernels.test_every_kernel import FILES

GPU = [(room, backend, target) for room, backend in FILES if backend in ("cupy", "triton") for target in TARGETS]


@pytest.mark.slow
@pytest.mark.timeout(1000)
@pytest.mark.parametrize(("room", "backend", "target"), GPU)
def test_kernels_compile_and_are_fit(room, backend, target):
    assert importlib.util.find_spec("triton"), "the test extra installs Triton"
    found = check(room, backend, target)
    assert found, f"no kernel of room {room} was compiled: compile_cases launches none"
    unfit = [f"{k.kernel} ({k.settings}): {k.spilled} bytes spilled, {k.shared} shared" for k in found if not k.fit]
    assert not unfit, "\n".join(unfit)

"""CUDA C on the CPU: threads, barriers, shuffles and shared memory as on a GPU, and what is wrong named, not run."""

import numpy as np
import pytest

from minidl_kernels.cuda_c import CudaSource

KERNELS = r"""
#include "common.cuh"

extern "C" __global__ void coordinates(int* out) {
  int block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  int thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  out[block * blockDim.x * blockDim.y * blockDim.z + thread] = 1000 * block + thread;
}

extern "C" __global__ void reversed(const float* x, float* y, int n) {  // what a thread wrote, another reads
  __shared__ float tile[64];
  tile[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = tile[n - 1 - threadIdx.x];
}

extern "C" __global__ void folded(const float* x, float* sums, float* tops) {
  __shared__ float scratch[32];
  float sum = block_sum(x[threadIdx.x], scratch);
  float top = block_max(x[threadIdx.x], scratch);
  sums[threadIdx.x] = sum;
  tops[threadIdx.x] = top;
}

extern "C" __global__ void some_end_early(float* y) {
  if (threadIdx.x == 3) return;
  __syncthreads();
  y[threadIdx.x] = 1.f;
}

extern "C" __global__ void numbers(float* y, int i, unsigned u, bool b, long long l, double d, const float* nothing) {
  y[0] = i; y[1] = u; y[2] = b; y[3] = l; y[4] = d; y[5] = nothing == nullptr;
}

extern "C" __global__ void counted(int* total) { atomicAdd(total, 1); }
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cuda")
    (folder / "kernels.cu").write_text(KERNELS)
    return CudaSource(str(folder / "beside.py"), "kernels.cu")


def test_every_thread_knows_where_it_is(source):
    out = np.zeros((12, 24), np.int32)
    source.launch("coordinates", (2, 3, 2), (4, 3, 2), out)
    np.testing.assert_array_equal(out, 1000 * np.arange(12)[:, None] + np.arange(24))


def test_a_barrier_makes_shared_memory_whole(source):
    x, y = np.arange(64, dtype=np.float32), np.empty(64, np.float32)
    source.launch("reversed", (1,), (64,), x, y, 64)
    np.testing.assert_array_equal(y, x[::-1])


@pytest.mark.parametrize("threads", [32, 64, 256, 1024])
def test_sums_and_maxima_reach_every_thread(source, threads):
    x = np.random.default_rng(threads).integers(-99, 99, threads).astype(np.float32)
    sums, tops = np.empty_like(x), np.empty_like(x)
    source.launch("folded", (1,), (threads,), x, sums, tops)
    assert set(sums) == {x.sum()}
    assert set(tops) == {x.max()}


def test_a_maximum_keeps_nan(source):
    x = np.zeros(64, np.float32)
    x[40] = np.nan
    sums, tops = np.empty_like(x), np.empty_like(x)
    source.launch("folded", (1,), (64,), x, sums, tops)
    assert np.isnan(tops).all()


def test_a_barrier_that_a_thread_never_reaches_is_an_error(source):
    with pytest.raises(RuntimeError, match=r"some_end_early: some threads had ended.*every thread of a block"):
        source.launch("some_end_early", (1,), (32,), np.zeros(32, np.float32))


def test_numbers_take_the_declared_types(source):
    y = np.empty(6, np.float32)
    source.launch("numbers", (1,), (1,), y, -1, 7, 2, 1 << 20, 0.25, None)
    assert y.tolist() == [-1, 7, 1, 1 << 20, 0.25, 1]


def test_atomics_count_every_thread(source):
    total = np.zeros(1, np.int32)
    source.launch("counted", (5,), (33,), total)
    assert total[0] == 5 * 33


def test_nothing_is_launched_on_an_empty_grid(source):
    source.launch("coordinates", (2, 0), (4,), np.zeros(1, np.int32))


def test_wrong_arguments_are_named(source):
    y = np.zeros(6, np.float32)
    with pytest.raises(TypeError, match=r"reversed\(\) takes 3 arguments \(float\* x, float\* y, int n\), got 1"):
        source.launch("reversed", (1,), (1,), y)
    with pytest.raises(
        TypeError, match=r"float\* x takes a C-contiguous array of float32, got float64 with shape \(6,\)"
    ):
        source.launch("reversed", (1,), (1,), y.astype(float), y, 6)
    with pytest.raises(TypeError, match=r"float\* y takes a C-contiguous array .* strides \(8,\)"):
        source.launch("reversed", (1,), (1,), y, y[::2], 6)


def test_a_source_that_does_not_compile_says_where(tmp_path):
    (tmp_path / "broken.cu").write_text('extern "C" __global__ void broken(float* y) {\n  y[0] = missing;\n}\n')
    with pytest.raises(RuntimeError, match=r"(?s)broken.cu does not compile:.*broken.cu:2.*missing"):
        CudaSource(str(tmp_path / "beside.py"), "broken.cu").launch("broken", (1,), (1,), np.zeros(1, np.float32))

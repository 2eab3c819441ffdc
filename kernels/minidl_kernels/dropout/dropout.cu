// Dropout: a thread four neighbouring values, which share one counter. See with_cupy.py.
#include "common.cuh"

extern "C" __global__ void dropout_keep(const float* x, float* y, long long n, float p, float scale, unsigned long long seed) {
  long long counter = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  long long i = counter * 4;
  if (i >= n) return;
  uint4 words = philox(counter, seed);
  unsigned four[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
  for (int j = 0; j < 4; j++)
    if (i + j < n) {
      float u = (four[j] >> 8) * 5.9604644775390625e-8f;  // 2⁻²⁴
      y[i + j] = u >= p ? x[i + j] * scale : 0.f;
    }
}

// RMS normalisation: a block a row forward, a block several rows backward. See with_cupy.py.
#include "common.cuh"

extern "C" __global__ void rms_norm_forward(const float* x, const float* weight, float* y, float* rstds, int n, float eps) {
  __shared__ float scratch[32];
  const float* row = x + (long long)blockIdx.x * n;
  float* out = y + (long long)blockIdx.x * n;

  float squares = 0.f;
  for (int i = threadIdx.x; i < n; i += blockDim.x) squares += row[i] * row[i];
  float rstd = 1.f / sqrtf(block_sum(squares, scratch) / n + eps);

  for (int i = threadIdx.x; i < n; i += blockDim.x) out[i] = row[i] * rstd * (weight ? weight[i] : 1.f);
  if (threadIdx.x == 0) rstds[blockIdx.x] = rstd;
}

// `parts` (blocks, n): each block's share of the weight's gradient. A thread adds only to columns of its own, in shared
// memory where that is wide enough, so no barrier is needed, and the order of the sum is fixed.
extern "C" __global__ void rms_norm_backward(const float* g, const float* x, const float* rstds, const float* weight,
                                             float* dx, float* parts, int rows, int n, int rows_a_block, bool in_shared) {
  DYN_SHARED(float, memory);
  __shared__ float scratch[32];
  float* part = parts + (long long)blockIdx.x * n;
  float* dweight = in_shared ? memory : part;
  for (int i = threadIdx.x; i < n; i += blockDim.x) dweight[i] = 0.f;

  int begin = blockIdx.x * rows_a_block, end = min(begin + rows_a_block, rows);
  for (int r = begin; r < end; r++) {
    long long start = (long long)r * n;
    float rstd = rstds[r], along = 0.f;
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
      float gradient = g[start + i], normal = x[start + i] * rstd;
      dweight[i] += gradient * normal;
      along += gradient * (weight ? weight[i] : 1.f) * normal;
    }
    along = block_sum(along, scratch) / n;
    for (int i = threadIdx.x; i < n; i += blockDim.x)
      dx[start + i] = (g[start + i] * (weight ? weight[i] : 1.f) - x[start + i] * rstd * along) * rstd;
  }
  if (in_shared)
    for (int i = threadIdx.x; i < n; i += blockDim.x) part[i] = dweight[i];
}

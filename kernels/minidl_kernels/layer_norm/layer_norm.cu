// Layer normalisation: a block a row forward, a block several rows backward. See with_cupy.py.
#include "common.cuh"

extern "C" __global__ void layer_norm_forward(const float* x, const float* weight, const float* bias, float* y, float* means,
                                              float* rstds, int n, float eps) {
  __shared__ float scratch[32];
  const float* row = x + (long long)blockIdx.x * n;
  float* out = y + (long long)blockIdx.x * n;

  float sum = 0.f;
  for (int i = threadIdx.x; i < n; i += blockDim.x) sum += row[i];
  float mean = block_sum(sum, scratch) / n;

  float squares = 0.f;  // of the centred values: sums of plain squares would cancel at a large mean
  for (int i = threadIdx.x; i < n; i += blockDim.x) squares += (row[i] - mean) * (row[i] - mean);
  float rstd = 1.f / sqrtf(block_sum(squares, scratch) / n + eps);

  for (int i = threadIdx.x; i < n; i += blockDim.x)
    out[i] = (row[i] - mean) * rstd * (weight ? weight[i] : 1.f) + (bias ? bias[i] : 0.f);
  if (threadIdx.x == 0) {
    means[blockIdx.x] = mean;
    rstds[blockIdx.x] = rstd;
  }
}

// `parts` (blocks, 2, n): each block's share of the gradients of weight and bias. A thread adds only to columns of its own,
// in shared memory where that is wide enough, so no barrier is needed, and the order of the sum is fixed.
extern "C" __global__ void layer_norm_backward(const float* g, const float* x, const float* means, const float* rstds,
                                               const float* weight, float* dx, float* parts, int rows, int n,
                                               int rows_a_block, bool in_shared) {
  DYN_SHARED(float, memory);
  __shared__ float scratch[32];
  float* part = parts + 2LL * blockIdx.x * n;
  float* dweight = in_shared ? memory : part;
  float* dbias = dweight + n;
  for (int i = threadIdx.x; i < n; i += blockDim.x) dweight[i] = dbias[i] = 0.f;

  int begin = blockIdx.x * rows_a_block, end = min(begin + rows_a_block, rows);
  for (int r = begin; r < end; r++) {
    long long start = (long long)r * n;
    float mean = means[r], rstd = rstds[r], sum = 0.f, along = 0.f;
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
      float gradient = g[start + i], normal = (x[start + i] - mean) * rstd;
      dweight[i] += gradient * normal;
      dbias[i] += gradient;
      gradient *= weight ? weight[i] : 1.f;
      sum += gradient;
      along += gradient * normal;
    }
    sum = block_sum(sum, scratch) / n;
    along = block_sum(along, scratch) / n;
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
      float gradient = g[start + i] * (weight ? weight[i] : 1.f);
      dx[start + i] = (gradient - sum - (x[start + i] - mean) * rstd * along) * rstd;
    }
  }
  if (in_shared)
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
      part[i] = dweight[i];
      part[n + i] = dbias[i];
    }
}

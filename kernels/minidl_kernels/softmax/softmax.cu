// Softmax and log-softmax of rows: a block a row. See with_cupy.py.
#include "common.cuh"

extern "C" __global__ void softmax_forward(const float* x, float* y, int n, bool log) {
  __shared__ float scratch[32];
  const float* row = x + (long long)blockIdx.x * n;
  float* out = y + (long long)blockIdx.x * n;

  float largest = -INFINITY;
  for (int i = threadIdx.x; i < n; i += blockDim.x) largest = (row[i] > largest || row[i] != row[i]) ? row[i] : largest;
  largest = block_max(largest, scratch);

  float sum = 0.f;
  for (int i = threadIdx.x; i < n; i += blockDim.x) sum += expf(row[i] - largest);
  sum = block_sum(sum, scratch);

  float shift = logf(sum), scale = 1.f / sum;
  for (int i = threadIdx.x; i < n; i += blockDim.x) {
    float shifted = row[i] - largest;
    out[i] = log ? shifted - shift : expf(shifted) * scale;
  }
}

extern "C" __global__ void softmax_backward(const float* g, const float* y, float* dx, int n, bool log) {
  __shared__ float scratch[32];
  long long start = (long long)blockIdx.x * n;

  float sum = 0.f;
  for (int i = threadIdx.x; i < n; i += blockDim.x) sum += log ? g[start + i] : g[start + i] * y[start + i];
  sum = block_sum(sum, scratch);

  for (int i = threadIdx.x; i < n; i += blockDim.x) {
    float gi = g[start + i], yi = y[start + i];
    dx[start + i] = log ? gi - expf(yi) * sum : yi * (gi - sum);
  }
}

// RMS normalisation: a block a row; the weights' gradient in two stages, so that its sum has one order. See with_cupy.py.
#include "common.cuh"

extern "C" __global__ void rms_norm_forward(const float* x, const float* weight, float* y, float* rstd, int n, float eps) {
  __shared__ float scratch[32];
  long long start = (long long)blockIdx.x * n;
  float sum = 0.f;
  for (int i = threadIdx.x; i < n; i += blockDim.x) sum += x[start + i] * x[start + i];
  float scale = 1.f / sqrtf(block_sum(sum, scratch) / n + eps);
  for (int i = threadIdx.x; i < n; i += blockDim.x) y[start + i] = x[start + i] * scale * (weight ? weight[i] : 1.f);
  if (threadIdx.x == 0) rstd[blockIdx.x] = scale;
}

extern "C" __global__ void rms_norm_backward(const float* g, const float* x, const float* rstd, const float* weight,
                                             float* dx, int n) {
  __shared__ float scratch[32];
  long long start = (long long)blockIdx.x * n;
  float scale = rstd[blockIdx.x], along = 0.f;
  for (int i = threadIdx.x; i < n; i += blockDim.x)
    along += g[start + i] * (weight ? weight[i] : 1.f) * x[start + i] * scale;
  along = block_sum(along, scratch) / n;
  for (int i = threadIdx.x; i < n; i += blockDim.x)
    dx[start + i] = (g[start + i] * (weight ? weight[i] : 1.f) - x[start + i] * scale * along) * scale;
}

// A thread a column of a part of the rows: the partial sum of g ⊙ x̂.
extern "C" __global__ void rms_norm_weight_parts(const float* g, const float* x, const float* rstd, float* parts, int rows,
                                                 int n, int rows_a_part) {
  int column = blockIdx.x * blockDim.x + threadIdx.x;
  if (column >= n) return;
  int begin = blockIdx.y * rows_a_part, end = min(begin + rows_a_part, rows);
  float sum = 0.f;
  for (int row = begin; row < end; row++) sum += g[(long long)row * n + column] * x[(long long)row * n + column] * rstd[row];
  parts[(long long)blockIdx.y * n + column] = sum;
}

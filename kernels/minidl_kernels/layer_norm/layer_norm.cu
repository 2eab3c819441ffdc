// Layer normalisation: a block a row; the weights' gradients in two stages, so that their sums have one order.
#include "common.cuh"

extern "C" __global__ void layer_norm_forward(const float* x, const float* weight, const float* bias, float* y, float* mean,
                                              float* rstd, int n, float eps) {
  __shared__ float scratch[32];
  long long start = (long long)blockIdx.x * n;
  float sum = 0.f;
  for (int i = threadIdx.x; i < n; i += blockDim.x) sum += x[start + i];
  float middle = block_sum(sum, scratch) / n;
  sum = 0.f;
  for (int i = threadIdx.x; i < n; i += blockDim.x) sum += (x[start + i] - middle) * (x[start + i] - middle);
  float scale = 1.f / sqrtf(block_sum(sum, scratch) / n + eps);
  for (int i = threadIdx.x; i < n; i += blockDim.x)
    y[start + i] = (x[start + i] - middle) * scale * (weight ? weight[i] : 1.f) + (bias ? bias[i] : 0.f);
  if (threadIdx.x == 0) {
    mean[blockIdx.x] = middle;
    rstd[blockIdx.x] = scale;
  }
}

extern "C" __global__ void layer_norm_backward(const float* g, const float* x, const float* mean, const float* rstd,
                                               const float* weight, float* dx, int n) {
  __shared__ float scratch[32];
  long long start = (long long)blockIdx.x * n;
  float middle = mean[blockIdx.x], scale = rstd[blockIdx.x], sum = 0.f, along = 0.f;
  for (int i = threadIdx.x; i < n; i += blockDim.x) {
    float scaled = g[start + i] * (weight ? weight[i] : 1.f);
    sum += scaled;
    along += scaled * (x[start + i] - middle) * scale;
  }
  sum = block_sum(sum, scratch) / n;
  along = block_sum(along, scratch) / n;
  for (int i = threadIdx.x; i < n; i += blockDim.x) {
    float normal = (x[start + i] - middle) * scale;
    dx[start + i] = (g[start + i] * (weight ? weight[i] : 1.f) - sum - normal * along) * scale;
  }
}

// A thread a column of a part of the rows: the partial sums of g ⊙ x̂ and of g.
extern "C" __global__ void layer_norm_weight_parts(const float* g, const float* x, const float* mean, const float* rstd,
                                                   float* parts, int rows, int n, int rows_a_part) {
  int column = blockIdx.x * blockDim.x + threadIdx.x;
  if (column >= n) return;
  int begin = blockIdx.y * rows_a_part, end = min(begin + rows_a_part, rows);
  float scaled = 0.f, plain = 0.f;
  for (int row = begin; row < end; row++) {
    float gradient = g[(long long)row * n + column];
    scaled += gradient * (x[(long long)row * n + column] - mean[row]) * rstd[row];
    plain += gradient;
  }
  parts[(long long)blockIdx.y * n + column] = scaled;
  parts[(long long)(gridDim.y + blockIdx.y) * n + column] = plain;
}

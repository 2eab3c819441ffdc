// Cross-entropy of class indices: a block a row; no probabilities are kept. See with_cupy.py.
#include "common.cuh"

__device__ __forceinline__ float weight_of(const float* weight, int c) { return weight ? weight[c] : 1.f; }

extern "C" __global__ void cross_entropy_forward(const float* x, const long long* target, const float* weight,
                                                 float smoothing, float whole, float* loss, float* lse, int n) {
  __shared__ float scratch[32];
  const float* row = x + (long long)blockIdx.x * n;

  float largest = -INFINITY;
  for (int i = threadIdx.x; i < n; i += blockDim.x) largest = (row[i] > largest || row[i] != row[i]) ? row[i] : largest;
  largest = block_max(largest, scratch);

  float sum = 0.f, spread = 0.f;
  for (int i = threadIdx.x; i < n; i += blockDim.x) {
    sum += expf(row[i] - largest);
    if (smoothing > 0.f) spread += weight_of(weight, i) * (row[i] - largest);
  }
  sum = block_sum(sum, scratch);
  if (smoothing > 0.f) spread = block_sum(spread, scratch);

  if (threadIdx.x == 0) {
    int own = (int)target[blockIdx.x];
    float rest = logf(sum), result = weight_of(weight, own) * (rest - (row[own] - largest));
    if (smoothing > 0.f) result = (1.f - smoothing) * result + smoothing / n * (rest * whole - spread);
    loss[blockIdx.x] = result;
    lse[blockIdx.x] = rest + largest;
  }
}

extern "C" __global__ void cross_entropy_backward(const float* g, const float* x, const long long* target, const float* lse,
                                                  const float* weight, float smoothing, float whole, float* dx, int n) {
  long long start = (long long)blockIdx.x * n;
  int own = (int)target[blockIdx.x];
  float shift = lse[blockIdx.x], hit = g[blockIdx.x] * weight_of(weight, own) * (1.f - smoothing);
  float share = g[blockIdx.x] * smoothing / n, total = hit + share * whole;
  for (int i = threadIdx.x; i < n; i += blockDim.x)
    dx[start + i] = total * expf(x[start + i] - shift) - share * weight_of(weight, i) - (i == own ? hit : 0.f);
}

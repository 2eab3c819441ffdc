// Cross-entropy of rows of logits: a block a row. See with_cupy.py.
#include "common.cuh"

// `mean_weight`: one number, or null for 1.
extern "C" __global__ void cross_entropy_forward(const float* x, const long long* targets, const float* weight,
                                                 const float* mean_weight, float* losses, float* lses, int n,
                                                 float smoothing) {
  __shared__ float scratch[32];
  const float* row = x + (long long)blockIdx.x * n;

  float largest = -INFINITY, sum = 0.f;
  for (int i = threadIdx.x; i < n; i += blockDim.x) online(row[i], largest, sum);
  block_online(largest, sum, scratch);

  float spread = 0.f;
  if (smoothing) {
    for (int i = threadIdx.x; i < n; i += blockDim.x) spread += (row[i] - largest) * (weight ? weight[i] : 1.f);
    spread = block_sum(spread, scratch) / n;
  }
  if (threadIdx.x == 0) {
    int target = (int)targets[blockIdx.x];
    float rest = logf(sum);  // lse - largest
    float loss = (rest - (row[target] - largest)) * (weight ? weight[target] : 1.f);
    if (smoothing)
      loss = (1.f - smoothing) * loss + smoothing * (rest * (mean_weight ? mean_weight[0] : 1.f) - spread);
    losses[blockIdx.x] = loss;
    lses[blockIdx.x] = rest + largest;
  }
}

extern "C" __global__ void cross_entropy_backward(const float* g, const float* x, const long long* targets,
                                                  const float* lses, const float* weight, const float* mean_weight,
                                                  float* dx, int n, float smoothing) {
  long long start = (long long)blockIdx.x * n;
  int target = (int)targets[blockIdx.x];
  float gradient = g[blockIdx.x], lse = lses[blockIdx.x];
  float own = gradient * (1.f - smoothing) * (weight ? weight[target] : 1.f);
  float total = own + gradient * smoothing * (mean_weight ? mean_weight[0] : 1.f);
  float share = gradient * smoothing / n;
  for (int i = threadIdx.x; i < n; i += blockDim.x) {
    float slope = expf(x[start + i] - lse) * total;
    if (smoothing) slope -= share * (weight ? weight[i] : 1.f);
    dx[start + i] = i == target ? slope - own : slope;
  }
}

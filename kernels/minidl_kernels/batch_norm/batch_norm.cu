// Batch normalisation of (N, C, S) in any memory order: a value of channel c, number i of its N · S, lies at
// (i / S) step_n + c step_c + (i % S) step_s. A block a channel for sums; a thread a value for the rest. See with_cupy.py.
#include "common.cuh"

__device__ __forceinline__ long long place(long long i, int c, int positions, long long step_n, long long step_c,
                                           long long step_s) {
  return i / positions * step_n + c * step_c + i % positions * step_s;
}

extern "C" __global__ void batch_norm_statistics(const float* x, float* mean, float* var, int count, int positions,
                                                 long long step_n, long long step_c, long long step_s) {
  __shared__ float scratch[32];
  int c = blockIdx.x;
  float sum = 0.f;
  for (int i = threadIdx.x; i < count; i += blockDim.x) sum += x[place(i, c, positions, step_n, step_c, step_s)];
  float middle = block_sum(sum, scratch) / count;
  float first = 0.f, second = 0.f;
  for (int i = threadIdx.x; i < count; i += blockDim.x) {
    float centred = x[place(i, c, positions, step_n, step_c, step_s)] - middle;
    first += centred;
    second += centred * centred;
  }
  first = block_sum(first, scratch) / count;  // what rounding left of the mean
  second = block_sum(second, scratch) / count;
  if (threadIdx.x == 0) {
    mean[c] = middle + first;
    var[c] = second - first * first;
  }
}

// x and y lie alike in memory: value i of it belongs to channel (i / inner) % channels.
extern "C" __global__ void batch_norm_forward(const float* x, const float* mean, const float* scale, const float* shift,
                                              float* y, long long size, int channels, int inner) {
  long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= size) return;
  int c = (int)(i / inner % channels);
  y[i] = (x[i] - mean[c]) * scale[c] + shift[c];
}

extern "C" __global__ void batch_norm_gradient_sums(const float* g, const float* x, const float* mean, float* total,
                                                    float* along, int count, int positions, long long step_n,
                                                    long long step_c, long long step_s) {
  __shared__ float scratch[32];
  int c = blockIdx.x;
  float middle = mean[c], plain = 0.f, scaled = 0.f;
  for (int i = threadIdx.x; i < count; i += blockDim.x) {
    long long at = place(i, c, positions, step_n, step_c, step_s);
    plain += g[at];
    scaled += g[at] * (x[at] - middle);
  }
  plain = block_sum(plain, scratch);
  scaled = block_sum(scaled, scratch);
  if (threadIdx.x == 0) {
    total[c] = plain;
    along[c] = scaled;
  }
}

extern "C" __global__ void batch_norm_backward(const float* g, const float* x, const float* mean, const float* scale,
                                               const float* offset, const float* slope, float* dx, long long size,
                                               int channels, int inner) {
  long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= size) return;
  int c = (int)(i / inner % channels);
  dx[i] = (g[i] - (x[i] - mean[c]) * slope[c] - offset[c]) * scale[c];
}

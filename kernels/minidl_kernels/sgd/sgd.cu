// Stochastic gradient descent: a block a piece of one parameter, all parameters in one launch. See adam/with_cupy.py.
#include "common.cuh"

constexpr long long CHUNK = 1 << 14;

// One row of `addresses` a parameter: x, g, and the buffer (0 without momentum). `starts`: whether a buffer starts now.
extern "C" __global__ void sgd_step(const long long* addresses, const long long* sizes, const int* parameter,
                                    const long long* first, const int* starts, float lr, float momentum, float kept,
                                    float decay, float sign, bool nesterov) {
  int p = parameter[blockIdx.x];
  const long long* row = addresses + 3LL * p;
  float* x = (float*)row[0];
  const float* g = (const float*)row[1];
  float* buffer = (float*)row[2];
  bool start = starts[p];
  long long begin = first[blockIdx.x], end = begin + CHUNK < sizes[p] ? begin + CHUNK : sizes[p];
  for (long long i = begin + threadIdx.x; i < end; i += blockDim.x) {
    float gradient = sign * g[i] + decay * x[i];
    if (buffer) {
      float mean = start ? gradient : momentum * buffer[i] + kept * gradient;
      buffer[i] = mean;
      gradient = nesterov ? gradient + momentum * mean : mean;
    }
    x[i] -= lr * gradient;
  }
}

// A step of the plain recurrence, but for its product: a thread a value.
#include "common.cuh"

// y = f(product + xw); `product` may be y itself.
extern "C" __global__ void rnn_activation(const float* xw, const float* product, float* y, int size, bool relu) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= size) return;
  float a = product[i] + xw[i];
  y[i] = relu ? (a <= 0.f ? 0.f : a) : tanhf(a);
}

extern "C" __global__ void rnn_gradient(const float* gy, const float* dh, const float* y, float* dxw, int size, bool relu) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= size) return;
  float d = dh[i] + gy[i];
  dxw[i] = relu ? (y[i] > 0.f ? d : 0.f) : d * (1.f - y[i] * y[i]);
}

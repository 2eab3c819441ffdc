// A step of long short-term memory, but for its product: a thread a unit of a sequence makes all four gates and the cell.
#include "common.cuh"

__device__ __forceinline__ float sigmoid(float x) { return 1.f / (1.f + expf(-x)); }

// `product` = h W_hhᵀ (B, 4H) becomes the gates; `xw` is the input's share of this step.
extern "C" __global__ void lstm_gates(const float* xw, float* product, const float* before, float* c, float* y, int batch,
                                      int hidden) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= batch * hidden) return;
  long long row = (long long)(i / hidden) * 4 * hidden + i % hidden;
  float in = sigmoid(product[row] + xw[row]);
  float forget = sigmoid(product[row + hidden] + xw[row + hidden]);
  float candidate = tanhf(product[row + 2 * hidden] + xw[row + 2 * hidden]);
  float out = sigmoid(product[row + 3 * hidden] + xw[row + 3 * hidden]);
  float cell = forget * before[i] + in * candidate;
  product[row] = in;
  product[row + hidden] = forget;
  product[row + 2 * hidden] = candidate;
  product[row + 3 * hidden] = out;
  c[i] = cell;
  y[i] = out * tanhf(cell);
}

// `dh` and `dc` hold what comes back from the next step; `dc` becomes what goes back to the step before.
extern "C" __global__ void lstm_gate_gradients(const float* gy, const float* gc, const float* gates, const float* c,
                                               const float* before, const float* dh, float* dc, float* dxw, int batch,
                                               int hidden) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= batch * hidden) return;
  long long row = (long long)(i / hidden) * 4 * hidden + i % hidden;
  float in = gates[row], forget = gates[row + hidden], candidate = gates[row + 2 * hidden], out = gates[row + 3 * hidden];
  float t = tanhf(c[i]), state = dh[i] + gy[i];
  float cell = dc[i] + (gc ? gc[i] : 0.f) + state * out * (1.f - t * t);
  dxw[row] = cell * candidate * in * (1.f - in);
  dxw[row + hidden] = cell * before[i] * forget * (1.f - forget);
  dxw[row + 2 * hidden] = cell * in * (1.f - candidate * candidate);
  dxw[row + 3 * hidden] = state * t * out * (1.f - out);
  dc[i] = cell * forget;
}

// A step of the gated recurrent unit, but for its product: a thread a unit of a sequence makes its gates and its state.
#include "common.cuh"

__device__ __forceinline__ float sigmoid(float x) { return 1.f / (1.f + expf(-x)); }

// `u` = h W_hhᵀ (B, 3H), without its bias.
extern "C" __global__ void gru_gates(const float* xw, const float* u, const float* b_hh, const float* before, float* gates,
                                     float* hn, float* y, int batch, int hidden) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= batch * hidden) return;
  int j = i % hidden;
  long long row = (long long)(i / hidden) * 3 * hidden + j;
  float r = sigmoid(xw[row] + u[row] + (b_hh ? b_hh[j] : 0.f));
  float z = sigmoid(xw[row + hidden] + u[row + hidden] + (b_hh ? b_hh[j + hidden] : 0.f));
  float state = u[row + 2 * hidden] + (b_hh ? b_hh[j + 2 * hidden] : 0.f);
  float n = tanhf(xw[row + 2 * hidden] + r * state);
  gates[row] = r;
  gates[row + hidden] = z;
  gates[row + 2 * hidden] = n;
  hn[i] = state;
  y[i] = n + z * (before[i] - n);
}

// `dh` holds what comes back from the next step; `direct` what goes back past the product.
extern "C" __global__ void gru_gate_gradients(const float* gy, const float* gates, const float* hn, const float* before,
                                              const float* dh, float* direct, float* dxw, float* dhw, int batch,
                                              int hidden) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= batch * hidden) return;
  long long row = (long long)(i / hidden) * 3 * hidden + i % hidden;
  float r = gates[row], z = gates[row + hidden], n = gates[row + 2 * hidden], state = dh[i] + gy[i];
  float dn = state * (1.f - z) * (1.f - n * n);
  float dz = state * (before[i] - n) * z * (1.f - z);
  float dr = dn * hn[i] * r * (1.f - r);
  dxw[row] = dhw[row] = dr;
  dxw[row + hidden] = dhw[row + hidden] = dz;
  dxw[row + 2 * hidden] = dn;
  dhw[row + 2 * hidden] = r * dn;
  direct[i] = state * z;
}

// Activations with the bias before them: a thread a value. See with_cupy.py.
#include "common.cuh"

enum Kind { RELU, SILU, GELU, GELU_TANH };
constexpr float ROOT = 0.7978845608028654f, CUBE = 0.044715f, BELL = 0.3989422804014327f, HALF_ROOT = 0.7071067811865476f;

__device__ __forceinline__ float sigmoid(float x) { return 1.f / (1.f + expf(-x)); }

__device__ __forceinline__ float value(float x, int kind) {
  if (kind == RELU) return x <= 0.f ? 0.f : x;
  if (kind == SILU) return x * sigmoid(x);
  if (kind == GELU) return 0.5f * x * erfcf(-x * HALF_ROOT);
  return x * sigmoid(2.f * ROOT * x * (1.f + CUBE * x * x));  // ½ (1 + tanh u) = σ(2 u)
}

__device__ __forceinline__ float slope(float x, int kind) {
  if (kind == RELU) return x <= 0.f ? 0.f : 1.f;
  if (kind == SILU) {
    float s = sigmoid(x);
    return s * (1.f + x * sigmoid(-x));
  }
  if (kind == GELU) return 0.5f * erfcf(-x * HALF_ROOT) + x * BELL * expf(-0.5f * x * x);
  float u = 2.f * ROOT * x * (1.f + CUBE * x * x), s = sigmoid(u);
  return s * (1.f + x * sigmoid(-u) * 2.f * ROOT * (1.f + 3.f * CUBE * x * x));
}

extern "C" __global__ void activation_forward(const float* x, const float* bias, float* y, long long size, int n, int kind) {
  long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i < size) y[i] = value(bias ? x[i] + bias[i % n] : x[i], kind);
}

extern "C" __global__ void activation_backward(const float* g, const float* x, const float* bias, float* dx, long long size,
                                               int n, int kind) {
  long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i < size) dx[i] = g[i] * slope(bias ? x[i] + bias[i % n] : x[i], kind);
}

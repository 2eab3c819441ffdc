// Adam: a block a piece of 16,384 values of one parameter, all parameters in one launch. See with_cupy.py.
#include "common.cuh"

constexpr long long CHUNK = 1 << 14;

// One row of `addresses` a parameter: x, g, m, v and v_max (0 without AMSGrad). `rates` and `roots`: one a parameter, for
// parameters may have made different numbers of steps. `new1` and `new2`: 1 - β, from double precision (1 - 0.999 in
// float32 keeps four digits).
extern "C" __global__ void adam_step(const long long* addresses, const long long* sizes, const int* parameter,
                                     const long long* first, const float* rates, const float* roots, float new1,
                                     float beta2, float new2, float eps, float shrink, float decay, float sign) {
  int p = parameter[blockIdx.x];
  const long long* row = addresses + 5LL * p;
  float* x = (float*)row[0];
  const float* g = (const float*)row[1];
  float* m = (float*)row[2];
  float* v = (float*)row[3];
  float* v_max = (float*)row[4];
  float rate = rates[p], root = roots[p];
  long long begin = first[blockIdx.x], end = begin + CHUNK < sizes[p] ? begin + CHUNK : sizes[p];
  for (long long i = begin + threadIdx.x; i < end; i += blockDim.x) {
    float value = x[i], gradient = sign * g[i] + decay * value;
    float mean = m[i] + new1 * (gradient - m[i]);
    float square = beta2 * v[i] + new2 * gradient * gradient;
    m[i] = mean;
    v[i] = square;
    if (v_max) {
      square = v_max[i] >= square ? v_max[i] : square;
      v_max[i] = square;
    }
    x[i] = shrink * value - rate * mean / (sqrtf(square) * root + eps);
  }
}

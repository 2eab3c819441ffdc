// What the kernels share: sums and maxima of a warp and of a block, and counter-based random numbers.
#pragma once
#ifdef __CUDACC_RTC__  // on the CPU, on_cpu.h defines these
#define DYN_SHARED(T, name)                                  \
  extern __shared__ __align__(16) unsigned char name##_raw[]; \
  T* name = (T*)name##_raw
#define INFINITY __int_as_float(0x7f800000)
#endif

constexpr unsigned WHOLE_WARP = 0xffffffffu;

__device__ __forceinline__ float warp_sum(float x) {
  for (int step = 16; step; step >>= 1) x += __shfl_xor_sync(WHOLE_WARP, x, step);
  return x;
}

__device__ __forceinline__ float warp_max(float x) {
  for (int step = 16; step; step >>= 1) {
    float other = __shfl_xor_sync(WHOLE_WARP, x, step);
    x = (other > x || other != other) ? other : x;  // lets nan through
  }
  return x;
}

// The sum over a one-dimensional block of whole warps, for every thread of it, always in the same order.
// `scratch` is shared memory for 32 values; the block may use it again at once.
__device__ __forceinline__ float block_sum(float x, float* scratch) {
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = (blockDim.x + 31) >> 5;
  x = warp_sum(x);
  if (lane == 0) scratch[warp] = x;
  __syncthreads();
  x = warp_sum(lane < warps ? scratch[lane] : 0.f);
  __syncthreads();
  return x;
}

__device__ __forceinline__ float block_max(float x, float* scratch) {
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = (blockDim.x + 31) >> 5;
  x = warp_max(x);
  if (lane == 0) scratch[warp] = x;
  __syncthreads();
  x = warp_max(lane < warps ? scratch[lane] : -INFINITY);
  __syncthreads();
  return x;
}

// One more value for a running maximum, and for the sum of e^(value - maximum) that goes with it: both in one pass (Milakov
// & Gimelshein 2018, "Online normalizer calculation for softmax"). Begin with -INFINITY and 0.
__device__ __forceinline__ void online(float value, float& largest, float& sum) {
  if (!(value <= largest)) {  // greater, or nan
    sum = sum * expf(largest - value) + 1.f;
    largest = value;
  } else {
    sum += value == largest ? 1.f : expf(value - largest);
  }
}

// Over a block: every thread's maximum and sum become those of all.
__device__ __forceinline__ void block_online(float& largest, float& sum, float* scratch) {
  float top = block_max(largest, scratch);
  sum = block_sum(sum * expf(largest - top), scratch);
  largest = top;
}

// Philox4x32-10 (Salmon et al. 2011, "Parallel Random Numbers: As Easy as 1, 2, 3"): four words from a counter and a key.
__device__ __forceinline__ uint4 philox(unsigned long long counter, unsigned long long key) {
  unsigned a = (unsigned)counter, b = (unsigned)(counter >> 32), c = 0, d = 0;
  unsigned k0 = (unsigned)key, k1 = (unsigned)(key >> 32);
  for (int round = 0; round < 10; round++) {
    unsigned high0 = __umulhi(0xD2511F53u, a), low0 = 0xD2511F53u * a;
    unsigned high1 = __umulhi(0xCD9E8D57u, c), low1 = 0xCD9E8D57u * c;
    a = high1 ^ b ^ k0;
    b = low1;
    c = high0 ^ d ^ k1;
    d = low0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return make_uint4(a, b, c, d);
}

// The uniform number in [0, 1) that belongs to value number i under this key.
__device__ __forceinline__ float uniform(unsigned long long i, unsigned long long key) {
  uint4 words = philox(i >> 2, key);
  unsigned which = (unsigned)(i & 3);
  unsigned word = which == 0 ? words.x : which == 1 ? words.y : which == 2 ? words.z : words.w;
  return (word >> 8) * 5.9604644775390625e-8f;  // 2⁻²⁴
}

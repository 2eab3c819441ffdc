// Attention in tiles of 16 queries by 16 keys: scores live in shared memory and registers only. See with_cupy.py.
//
// A block has 16 × 16 threads: (threadIdx.y, threadIdx.x) is one score of the tile, and one row of a result with every
// sixteenth of its columns.
#include "common.cuh"

constexpr int TILE = 16, EACH = 16;  // a thread keeps up to 16 columns of a result: heads of up to 256 values

struct Shape {
  int heads, groups, queries, keys, d, e;
  int mask, causal, dropout;               // mask: 0 none, 1 boolean, 2 added
  int step_b, step_h, step_t, step_s;      // of the mask, 0 where it is broadcast
};

__device__ __forceinline__ float row_max(float x) {
  for (int step = 8; step; step >>= 1) {
    float other = __shfl_xor_sync(WHOLE_WARP, x, step);
    x = (other > x || other != other) ? other : x;
  }
  return x;
}

__device__ __forceinline__ float row_sum(float x) {
  for (int step = 8; step; step >>= 1) x += __shfl_xor_sync(WHOLE_WARP, x, step);
  return x;
}

// Rows `first` … of an array (rows, width) into shared memory (16, width), zeros beyond its end.
__device__ __forceinline__ void fetch(const float* from, float* to, int first, int rows, int width) {
  for (int i = threadIdx.y * TILE + threadIdx.x; i < TILE * width; i += TILE * TILE)
    to[i] = first + i / width < rows ? from[(long long)first * width + i] : 0.f;
}

__device__ __forceinline__ float dot(const float* a, const float* b, int n) {
  float sum = 0.f;
  for (int i = 0; i < n; i++) sum += a[i] * b[i];
  return sum;
}

// The score of query t and key s with the mask applied: -inf where it may not be seen.
__device__ __forceinline__ float seen(float score, const Shape& z, const unsigned char* visible, const float* added, int b,
                                      int h, int t, int s) {
  if (t >= z.queries || s >= z.keys || (z.causal && s > t)) return -INFINITY;
  long long place = (long long)b * z.step_b + (long long)h * z.step_h + (long long)t * z.step_t + (long long)s * z.step_s;
  if (z.mask == 1) return visible[place] ? score : -INFINITY;
  return z.mask == 2 ? score + added[place] : score;
}

// What dropout multiplies a probability by.
__device__ __forceinline__ float kept(const Shape& z, int b, int h, int t, int s, float p, float rescale,
                                      unsigned long long seed) {
  if (!z.dropout) return 1.f;
  unsigned long long number = (((unsigned long long)b * z.heads + h) * z.queries + t) * z.keys + s;
  return uniform(number, seed) >= p ? rescale : 0.f;
}

extern "C" __global__ void __launch_bounds__(256, 1)
    attention_forward(const float* q, const float* k, const float* v, const unsigned char* visible, const float* added,
                      float* y, float* lse, const int* shape, float scale, float p, float rescale, unsigned long long seed) {
  Shape z = *(const Shape*)shape;
  DYN_SHARED(float, memory);
  float *qs = memory, *ks = qs + TILE * z.d, *vs = ks + TILE * z.d, *weights = vs + TILE * z.e;
  int b = blockIdx.y / z.heads, h = blockIdx.y % z.heads, group = h / (z.heads / z.groups);
  int first = blockIdx.x * TILE, t = first + threadIdx.y;
  const float* keys = k + ((long long)b * z.groups + group) * z.keys * z.d;
  const float* values = v + ((long long)b * z.groups + group) * z.keys * z.e;
  fetch(q + (long long)blockIdx.y * z.queries * z.d, qs, first, z.queries, z.d);
  float largest = -INFINITY, sum = 0.f, result[EACH] = {};
  int last = z.causal ? min(first + TILE, z.keys) : z.keys;
  for (int begin = 0; begin < last; begin += TILE) {
    __syncthreads();
    fetch(keys, ks, begin, z.keys, z.d);
    fetch(values, vs, begin, z.keys, z.e);
    __syncthreads();
    int s = begin + threadIdx.x;
    float score = dot(qs + threadIdx.y * z.d, ks + threadIdx.x * z.d, z.d) * scale;
    score = seen(score, z, visible, added, b, h, t, s);
    float top = row_max(score);
    top = (top > largest || top != top) ? top : largest;
    float shift = top == -INFINITY ? 0.f : top, fade = expf(largest - shift), e = expf(score - shift);
    sum = sum * fade + row_sum(e);
    largest = top;
    weights[threadIdx.y * TILE + threadIdx.x] = e * kept(z, b, h, t, s, p, rescale, seed);
    __syncthreads();
    for (int i = 0; i < EACH; i++) {
      int column = threadIdx.x + TILE * i;
      if (column >= z.e) break;
      float more = 0.f;
      for (int j = 0; j < TILE; j++) more += weights[threadIdx.y * TILE + j] * vs[j * z.e + column];
      result[i] = result[i] * fade + more;
    }
  }
  if (t >= z.queries) return;
  long long row = (long long)blockIdx.y * z.queries + t;
  for (int i = 0; i < EACH && (int)threadIdx.x + TILE * i < z.e; i++)
    y[row * z.e + threadIdx.x + TILE * i] = sum == 0.f ? 0.f : result[i] / sum;
  if (threadIdx.x == 0) lse[row] = sum == 0.f ? -INFINITY : largest + logf(sum);
}

// Each thread's probability and the gradient of its score, into shared memory: P ⊙ kept, and ∂s.
__device__ __forceinline__ void gradients_of_scores(const Shape& z, const float* qs, const float* ks, const float* vs,
                                                    const float* gs, const unsigned char* visible, const float* added,
                                                    const float* lse, const float* delta, int b, int h, int row, int key,
                                                    int first, int begin, float scale, float p, float rescale,
                                                    unsigned long long seed, float* probability, float* gradient) {
  int t = first + row, s = begin + key;
  float score = seen(dot(qs + row * z.d, ks + key * z.d, z.d) * scale, z, visible, added, b, h, t, s);
  long long place = ((long long)b * z.heads + h) * z.queries + t;
  float shift = t < z.queries ? lse[place] : 0.f;
  float weight = score == -INFINITY ? 0.f : expf(score - shift);
  float keep = kept(z, b, h, t, s, p, rescale, seed);
  *probability = weight * keep;
  *gradient = weight * (dot(gs + row * z.e, vs + key * z.e, z.e) * keep - (t < z.queries ? delta[place] : 0.f));
}

// A block owns 16 keys of a group, and walks over the queries of all heads that share it.
extern "C" __global__ void __launch_bounds__(256, 1)
    attention_backward_keys(const float* g, const float* q, const float* k, const float* v, const unsigned char* visible,
                            const float* added, const float* lse, const float* delta, float* dk, float* dv,
                            const int* shape, float scale, float p, float rescale, unsigned long long seed) {
  Shape z = *(const Shape*)shape;
  DYN_SHARED(float, memory);
  float *ks = memory, *vs = ks + TILE * z.d, *qs = vs + TILE * z.e, *gs = qs + TILE * z.d, *weights = gs + TILE * z.e;
  float* scores = weights + TILE * TILE;
  int b = blockIdx.y / z.groups, group = blockIdx.y % z.groups, begin = blockIdx.x * TILE, many = z.heads / z.groups;
  fetch(k + (long long)blockIdx.y * z.keys * z.d, ks, begin, z.keys, z.d);
  fetch(v + (long long)blockIdx.y * z.keys * z.e, vs, begin, z.keys, z.e);
  float to_k[EACH] = {}, to_v[EACH] = {};
  for (int h = group * many; h < (group + 1) * many; h++) {
    long long head = (long long)b * z.heads + h;
    for (int first = z.causal ? begin : 0; first < z.queries; first += TILE) {
      __syncthreads();
      fetch(q + head * z.queries * z.d, qs, first, z.queries, z.d);
      fetch(g + head * z.queries * z.e, gs, first, z.queries, z.e);
      __syncthreads();
      int at = threadIdx.y * TILE + threadIdx.x;  // row: a key; column: a query
      gradients_of_scores(z, qs, ks, vs, gs, visible, added, lse, delta, b, h, threadIdx.x, threadIdx.y, first, begin,
                          scale, p, rescale, seed, weights + at, scores + at);
      __syncthreads();
      for (int i = 0; i < EACH; i++) {
        int column = threadIdx.x + TILE * i;
        if (column < z.d)
          for (int j = 0; j < TILE; j++) to_k[i] += scores[threadIdx.y * TILE + j] * qs[j * z.d + column];
        if (column < z.e)
          for (int j = 0; j < TILE; j++) to_v[i] += weights[threadIdx.y * TILE + j] * gs[j * z.e + column];
      }
    }
  }
  int s = begin + threadIdx.y;
  if (s >= z.keys) return;
  long long row = (long long)blockIdx.y * z.keys + s;
  for (int i = 0; i < EACH; i++) {
    int column = threadIdx.x + TILE * i;
    if (column < z.d) dk[row * z.d + column] = to_k[i] * scale;
    if (column < z.e) dv[row * z.e + column] = to_v[i];
  }
}

// A block owns 16 queries of a head, and walks over the keys.
extern "C" __global__ void __launch_bounds__(256, 1)
    attention_backward_queries(const float* g, const float* q, const float* k, const float* v, const unsigned char* visible,
                               const float* added, const float* lse, const float* delta, float* dq, const int* shape,
                               float scale, float p, float rescale, unsigned long long seed) {
  Shape z = *(const Shape*)shape;
  DYN_SHARED(float, memory);
  float *ks = memory, *vs = ks + TILE * z.d, *qs = vs + TILE * z.e, *gs = qs + TILE * z.d, *scores = gs + TILE * z.e;
  int b = blockIdx.y / z.heads, h = blockIdx.y % z.heads, group = h / (z.heads / z.groups), first = blockIdx.x * TILE;
  long long head = blockIdx.y, shared = (long long)b * z.groups + group;
  fetch(q + head * z.queries * z.d, qs, first, z.queries, z.d);
  fetch(g + head * z.queries * z.e, gs, first, z.queries, z.e);
  float to_q[EACH] = {};
  int last = z.causal ? min(first + TILE, z.keys) : z.keys;
  for (int begin = 0; begin < last; begin += TILE) {
    __syncthreads();
    fetch(k + shared * z.keys * z.d, ks, begin, z.keys, z.d);
    fetch(v + shared * z.keys * z.e, vs, begin, z.keys, z.e);
    __syncthreads();
    float unused;
    gradients_of_scores(z, qs, ks, vs, gs, visible, added, lse, delta, b, h, threadIdx.y, threadIdx.x, first, begin, scale,
                        p, rescale, seed, &unused, scores + threadIdx.y * TILE + threadIdx.x);
    __syncthreads();
    for (int i = 0; i < EACH; i++) {
      int column = threadIdx.x + TILE * i;
      if (column >= z.d) break;
      for (int j = 0; j < TILE; j++) to_q[i] += scores[threadIdx.y * TILE + j] * ks[j * z.d + column];
    }
  }
  int t = first + threadIdx.y;
  if (t >= z.queries) return;
  for (int i = 0; i < EACH && (int)threadIdx.x + TILE * i < z.d; i++)
    dq[(head * z.queries + t) * z.d + threadIdx.x + TILE * i] = to_q[i] * scale;
}

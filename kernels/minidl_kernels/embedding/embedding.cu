// Embedding: rows copied by number, and the sums of gradients that belong to one row. See with_cupy.py.
#include "common.cuh"

// A block a place: its row of the table, copied.
extern "C" __global__ void embedding_rows(const float* weight, const long long* index, float* y, int dim) {
  const float* row = weight + index[blockIdx.x] * dim;
  float* out = y + (long long)blockIdx.x * dim;
  for (int i = threadIdx.x; i < dim; i += blockDim.x) out[i] = row[i];
}

// A block a segment: the places order[starts[s]] … order[starts[s + 1] - 1] all looked up row rows[s]. Each thread sums its
// columns in the order of the places, so that the same inputs give the same bits.
extern "C" __global__ void embedding_sums(const float* g, const long long* order, const long long* starts,
                                          const long long* rows, float* total, int dim, bool by_frequency) {
  long long begin = starts[blockIdx.x], end = starts[blockIdx.x + 1];
  float* out = total + rows[blockIdx.x] * dim;
  float scale = by_frequency ? 1.f / (float)(end - begin) : 1.f;
  for (int i = threadIdx.x; i < dim; i += blockDim.x) {
    float sum = 0.f;
    for (long long place = begin; place < end; place++) sum += g[order[place] * dim + i];
    out[i] = sum * scale;
  }
}

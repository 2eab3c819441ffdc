// A matrix product in tiles, to read beside cuBLAS's, and the bias and activation that follow a product.
#include "common.cuh"

constexpr int TILE = 64, DEPTH = 16, EACH = 4;  // a block makes TILE × TILE values, a thread EACH × EACH of them

// c (rows, columns) = a (rows, depth) b (depth, columns), all contiguous. 16 × 16 threads.
//
// Slabs of a and b pass through shared memory: each value is read from memory once for 64 products. Each thread then takes
// four values of either slab into registers for sixteen products: once for four.
extern "C" __global__ void __launch_bounds__(256) matmul_tiled(const float* a, const float* b, float* c, int rows,
                                                               int columns, int depth) {
  __shared__ float as[DEPTH][TILE + 1], bs[DEPTH][TILE];
  int top = blockIdx.y * TILE, left = blockIdx.x * TILE, thread = threadIdx.y * 16 + threadIdx.x;
  float sums[EACH][EACH] = {};
  for (int begin = 0; begin < depth; begin += DEPTH) {
    for (int i = thread; i < TILE * DEPTH; i += 256) {
      int row = top + i / DEPTH, k = begin + i % DEPTH;
      as[i % DEPTH][i / DEPTH] = row < rows && k < depth ? a[(long long)row * depth + k] : 0.f;
      int column = left + i % TILE;
      k = begin + i / TILE;
      bs[i / TILE][i % TILE] = column < columns && k < depth ? b[(long long)k * columns + column] : 0.f;
    }
    __syncthreads();
    for (int k = 0; k < DEPTH; k++) {
      float left_values[EACH], right_values[EACH];
      for (int i = 0; i < EACH; i++) left_values[i] = as[k][threadIdx.y + 16 * i];
      for (int j = 0; j < EACH; j++) right_values[j] = bs[k][threadIdx.x + 16 * j];
      for (int i = 0; i < EACH; i++)
        for (int j = 0; j < EACH; j++) sums[i][j] += left_values[i] * right_values[j];
    }
    __syncthreads();
  }
  for (int i = 0; i < EACH; i++)
    for (int j = 0; j < EACH; j++) {
      int row = top + threadIdx.y + 16 * i, column = left + threadIdx.x + 16 * j;
      if (row < rows && column < columns) c[(long long)row * columns + column] = sums[i][j];
    }
}

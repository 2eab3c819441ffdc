// Convolution over (N, H, W, C), and its two gradients: three matrix products, whose operands are gathered on the way
// ("implicit GEMM"), so that the matrix of windows is never in memory. See with_cupy.py.
#include "common.cuh"

constexpr int TILE = 16;

struct Geometry {
  int images, height, width, channels, out_h, out_w, filters, kernel_h, kernel_w, stride_h, stride_w, top, left, dilation_h,
      dilation_w;  // channels and filters of one group
  int groups;
};

// A block of 16 × 16 threads makes a tile of c = Σ_k a(row, k) b(k, column), k from `begin` to `end`; slabs of both operands
// pass through shared memory, so that each value is gathered once for sixteen products.
template <class Left, class Right, class Out>
__device__ void product(Left a, Right b, Out out, long long rows, int columns, int begin, int end) {
  __shared__ float as[TILE][TILE + 1], bs[TILE][TILE + 1];
  long long row = (long long)blockIdx.y * TILE + threadIdx.y;
  int column = blockIdx.x * TILE + threadIdx.x;
  float sum = 0.f;
  for (int slab = begin; slab < end; slab += TILE) {
    int ka = slab + threadIdx.x, kb = slab + threadIdx.y;
    as[threadIdx.y][threadIdx.x] = row < rows && ka < end ? a(row, ka) : 0.f;
    bs[threadIdx.y][threadIdx.x] = column < columns && kb < end ? b(kb, column) : 0.f;
    __syncthreads();
    for (int k = 0; k < TILE; k++) sum += as[threadIdx.y][k] * bs[k][threadIdx.x];
    __syncthreads();
  }
  if (row < rows && column < columns) out(row, column, sum);
}

// The value of x that window (n, oy, ox) has at k = (a, b, c), 0 in the padding.
__device__ __forceinline__ float window(const float* x, const Geometry& s, long long position, int k, int group) {
  int c = k % s.channels, b = k / s.channels % s.kernel_w, a = k / s.channels / s.kernel_w;
  int ox = (int)(position % s.out_w), oy = (int)(position / s.out_w % s.out_h), n = (int)(position / s.out_w / s.out_h);
  int row = oy * s.stride_h - s.top + a * s.dilation_h, column = ox * s.stride_w - s.left + b * s.dilation_w;
  if (row < 0 || row >= s.height || column < 0 || column >= s.width) return 0.f;
  return x[(((long long)n * s.height + row) * s.width + column) * s.channels * s.groups + group * s.channels + c];
}

// y (N, OH, OW, G F), w (G, K C, F): a block's z is the group.
extern "C" __global__ void convolution_forward(const float* x, const float* w, const float* bias, float* y, const int* g) {
  Geometry s = *(const Geometry*)g;
  int group = blockIdx.z, depth = s.kernel_h * s.kernel_w * s.channels;
  const float* weights = w + (long long)group * depth * s.filters;
  product([&](long long row, int k) { return window(x, s, row, k, group); },
          [&](int k, int f) { return weights[(long long)k * s.filters + f]; },
          [&](long long row, int f, float sum) {
            int filter = group * s.filters + f;
            y[row * s.filters * s.groups + filter] = sum + (bias ? bias[filter] : 0.f);
          },
          (long long)s.images * s.out_h * s.out_w, s.filters, 0, depth);
}

// dx (N, H, W, G C) gathers from the windows that hold it; w (G, K F, C).
extern "C" __global__ void convolution_input_gradient(const float* dy, const float* w, float* dx, const int* g) {
  Geometry s = *(const Geometry*)g;
  int group = blockIdx.z, depth = s.kernel_h * s.kernel_w * s.filters;
  const float* weights = w + (long long)group * depth * s.channels;
  product(
      [&](long long place, int k) {
        int f = k % s.filters, b = k / s.filters % s.kernel_w, a = k / s.filters / s.kernel_w;
        int x = (int)(place % s.width), y = (int)(place / s.width % s.height), n = (int)(place / s.width / s.height);
        int row = y + s.top - a * s.dilation_h, column = x + s.left - b * s.dilation_w;
        if (row < 0 || column < 0 || row % s.stride_h || column % s.stride_w) return 0.f;
        row /= s.stride_h;
        column /= s.stride_w;
        if (row >= s.out_h || column >= s.out_w) return 0.f;
        return dy[(((long long)n * s.out_h + row) * s.out_w + column) * s.filters * s.groups + group * s.filters + f];
      },
      [&](int k, int c) { return weights[(long long)k * s.channels + c]; },
      [&](long long place, int c, float sum) { dx[place * s.channels * s.groups + group * s.channels + c] = sum; },
      (long long)s.images * s.height * s.width, s.channels, 0, depth);
}

// parts (P, G, K C, F): a block's z is a part of the positions and a group; the parts are added afterwards, in their order.
extern "C" __global__ void convolution_weight_parts(const float* x, const float* dy, float* parts, const int* g,
                                                    int positions_a_part) {
  Geometry s = *(const Geometry*)g;
  int group = blockIdx.z % s.groups, part = blockIdx.z / s.groups, depth = s.kernel_h * s.kernel_w * s.channels;
  int positions = s.images * s.out_h * s.out_w, begin = part * positions_a_part;
  int end = begin + positions_a_part < positions ? begin + positions_a_part : positions;
  float* out = parts + (long long)blockIdx.z * depth * s.filters;
  product([&](long long k, int position) { return window(x, s, position, (int)k, group); },
          [&](int position, int f) { return dy[(long long)position * s.filters * s.groups + group * s.filters + f]; },
          [&](long long k, int f, float sum) { out[k * s.filters + f] = sum; }, depth, s.filters, begin, end);
}

// Pooling over (N, H, W, C): a thread a value of the result; the gradients gather, so that no two threads write to one place.
#include "common.cuh"

struct Index { int n, y, x, c; };

__device__ __forceinline__ Index unravel(long long i, int height, int width, int channels) {
  Index at;
  at.c = (int)(i % channels);
  at.x = (int)(i / channels % width);
  at.y = (int)(i / channels / width % height);
  at.n = (int)(i / channels / width / height);
  return at;
}

__device__ __forceinline__ long long place(int n, int y, int x, int c, int height, int width, int channels) {
  return (((long long)n * height + y) * width + x) * channels + c;
}

extern "C" __global__ void pool_max_forward(const float* x, float* y, int* which, long long size, int channels, int height,
                                            int width, int out_h, int out_w, int kernel_h, int kernel_w, int stride_h,
                                            int stride_w, int top, int left, int dilation_h, int dilation_w) {
  long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= size) return;
  Index at = unravel(i, out_h, out_w, channels);
  float best = -INFINITY;
  int number = 0;
  for (int a = 0; a < kernel_h; a++) {
    int row = at.y * stride_h - top + a * dilation_h;
    if (row < 0 || row >= height) continue;
    for (int b = 0; b < kernel_w; b++) {
      int column = at.x * stride_w - left + b * dilation_w;
      if (column < 0 || column >= width) continue;
      float value = x[place(at.n, row, column, at.c, height, width, channels)];
      if (value > best) number = a * kernel_w + b;
      if (value > best || value != value) best = value;
    }
  }
  y[i] = best;
  which[i] = number;
}

extern "C" __global__ void pool_max_backward(const float* g, const int* which, float* dx, long long size, int channels,
                                             int height, int width, int out_h, int out_w, int kernel_h, int kernel_w,
                                             int stride_h, int stride_w, int top, int left, int dilation_h, int dilation_w) {
  long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= size) return;
  Index at = unravel(i, height, width, channels);
  float sum = 0.f;
  for (int a = 0; a < kernel_h; a++) {
    int row = at.y + top - a * dilation_h;
    if (row < 0 || row % stride_h || row / stride_h >= out_h) continue;
    for (int b = 0; b < kernel_w; b++) {
      int column = at.x + left - b * dilation_w;
      if (column < 0 || column % stride_w || column / stride_w >= out_w) continue;
      long long window = place(at.n, row / stride_h, column / stride_w, at.c, out_h, out_w, channels);
      if (which[window] == a * kernel_w + b) sum += g[window];
    }
  }
  dx[i] = sum;
}

extern "C" __global__ void pool_sum_forward(const float* x, float* y, long long size, int channels, int height, int width,
                                            int out_h, int out_w, int kernel_h, int kernel_w, int stride_h, int stride_w,
                                            int top, int left) {
  long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= size) return;
  Index at = unravel(i, out_h, out_w, channels);
  float sum = 0.f;
  int row = at.y * stride_h - top, column = at.x * stride_w - left;
  for (int a = max(row, 0); a < min(row + kernel_h, height); a++)
    for (int b = max(column, 0); b < min(column + kernel_w, width); b++)
      sum += x[place(at.n, a, b, at.c, height, width, channels)];
  y[i] = sum;
}

extern "C" __global__ void pool_sum_backward(const float* g, float* dx, long long size, int channels, int height, int width,
                                             int out_h, int out_w, int kernel_h, int kernel_w, int stride_h, int stride_w,
                                             int top, int left) {
  long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= size) return;
  Index at = unravel(i, height, width, channels);
  float sum = 0.f;
  for (int a = 0; a < kernel_h; a++) {
    int row = at.y + top - a;
    if (row < 0 || row % stride_h || row / stride_h >= out_h) continue;
    for (int b = 0; b < kernel_w; b++) {
      int column = at.x + left - b;
      if (column < 0 || column % stride_w || column / stride_w >= out_w) continue;
      sum += g[place(at.n, row / stride_h, column / stride_w, at.c, out_h, out_w, channels)];
    }
  }
  dx[i] = sum;
}

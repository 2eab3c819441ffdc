// CUDA C on the CPU: the same kernel source, run thread by thread, to check it where there is no GPU.
//
// A block's threads are fibers: each has a stack, and gives way to the next at a barrier. Blocks run one after another, so
// __shared__ memory is simply static. A warp operation is a meeting of the warp's 32 fibers: each publishes its value,
// all wait, each reads. What this cannot show: races between barriers, memory order, and speed.
#pragma once
#include <algorithm>
#include <cfloat>
#include <climits>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>
using std::max;
using std::min;

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __shared__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define __align__(n) alignas(n)
#define DYN_SHARED(T, name) T* name = (T*)on_cpu::dynamic_shared

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct uint3 { unsigned x, y, z; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
static inline float2 make_float2(float x, float y) { return {x, y}; }
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

inline uint3 threadIdx, blockIdx;
inline dim3 blockDim, gridDim;
constexpr int warpSize = 32;

namespace on_cpu {

// ---- fibers: a switch saves the registers that a function must keep, and changes the stack
#if defined(__x86_64__)
extern "C" void minidl_switch(void** from, void* to);
asm(R"(.text
.weak minidl_switch
minidl_switch:
  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
  ret
)");
typedef void* Context;
static inline void change(Context* from, Context* to) { minidl_switch(from, *to); }
static inline void prepare(Context* context, char* stack, size_t size, void (*start)()) {
  void** top = (void**)(stack + size) - 2;
  top[0] = (void*)start;
  top[1] = nullptr;
  top -= 6;
  memset(top, 0, 6 * sizeof(void*));
  *context = top;
}
#else
}
#include <ucontext.h>
namespace on_cpu {
typedef ucontext_t Context;
static inline void change(Context* from, Context* to) { swapcontext(from, to); }
static inline void prepare(Context* context, char* stack, size_t size, void (*start)()) {
  getcontext(context);
  context->uc_stack.ss_sp = stack;
  context->uc_stack.ss_size = size;
  context->uc_link = nullptr;
  makecontext(context, start, 0);
}
#endif

enum State : unsigned char { RUNNING, AT_BARRIER, IN_WARP, DONE };
enum Error { SOME_LEFT = 1, DEADLOCK = 2 };
struct Fiber {
  Context context;
  char* stack;
  uint3 thread;
  State state;
  uint64_t published;
};
constexpr size_t STACK = 64 << 10;
inline std::vector<Fiber*> fibers;
inline Context scheduler;
inline unsigned current;
inline int error;
inline void (*entry)(void*);
inline void* entry_argument;
inline unsigned char* dynamic_shared;

inline void wait(State state) {
  Fiber* me = fibers[current];
  me->state = state;
  change(&me->context, &scheduler);
  threadIdx = me->thread;
}

inline void start() {
  entry(entry_argument);
  fibers[current]->state = DONE;
  Context nowhere;
  change(&nowhere, &scheduler);
  __builtin_trap();
}

inline void release(unsigned begin, unsigned end, State from) {
  for (unsigned i = begin; i < end; i++)
    if (fibers[i]->state == from) fibers[i]->state = RUNNING;
}

inline void run_block(unsigned n) {
  while (fibers.size() < n) {
    Fiber* fiber = new Fiber();
    fiber->stack = (char*)aligned_alloc(64, STACK);
    fibers.push_back(fiber);
  }
  for (unsigned i = 0; i < n; i++) {
    prepare(&fibers[i]->context, fibers[i]->stack, STACK, start);
    fibers[i]->state = RUNNING;
    fibers[i]->thread = {i % blockDim.x, i / blockDim.x % blockDim.y, i / (blockDim.x * blockDim.y)};
  }
  for (unsigned done = 0; done < n;) {
    bool progress = false;
    unsigned waiting = 0;
    done = 0;
    for (unsigned i = 0; i < n; i++) {
      if (fibers[i]->state == RUNNING) {
        current = i;
        threadIdx = fibers[i]->thread;
        change(&scheduler, &fibers[i]->context);
        progress = true;
      }
      done += fibers[i]->state == DONE;
      waiting += fibers[i]->state == AT_BARRIER;
    }
    for (unsigned warp = 0; warp < n; warp += 32) {  // a warp goes on once every thread of it that lives has come
      unsigned end = min(n, warp + 32);
      bool all = true, any = false;
      for (unsigned i = warp; i < end; i++) {
        any |= fibers[i]->state == IN_WARP;
        all &= fibers[i]->state == IN_WARP || fibers[i]->state == DONE;
      }
      if (any && all) {
        release(warp, end, IN_WARP);
        progress = true;
      }
    }
    if (waiting && waiting + done == n) {
      if (done) error |= SOME_LEFT;
      release(0, n, AT_BARRIER);
      progress = true;
    }
    if (!progress && done < n) {
      error |= DEADLOCK;
      return;
    }
  }
}

template <class Kernel>
void launch(dim3 grid, dim3 block, size_t shared, Kernel kernel) {
  gridDim = grid;
  blockDim = block;
  error = 0;
  std::vector<unsigned char> memory(shared + 256);
  dynamic_shared = (unsigned char*)(((uintptr_t)memory.data() + 127) & ~uintptr_t(127));
  entry = [](void* k) { (*(Kernel*)k)(); };
  entry_argument = &kernel;
  for (unsigned z = 0; z < grid.z; z++)
    for (unsigned y = 0; y < grid.y; y++)
      for (unsigned x = 0; x < grid.x; x++) {
        blockIdx = {x, y, z};
        run_block(block.x * block.y * block.z);
        if (error & DEADLOCK) return;
      }
}

inline unsigned lane() { return current & 31; }

template <class T>
T from_lane(T value, unsigned source) {
  unsigned warp = current & ~31u, threads = blockDim.x * blockDim.y * blockDim.z;
  fibers[current]->published = 0;
  memcpy(&fibers[current]->published, &value, sizeof value);
  wait(IN_WARP);
  T result = value;
  unsigned other = warp + (source & 31);
  if (other < threads) memcpy(&result, &fibers[other]->published, sizeof result);
  wait(IN_WARP);
  return result;
}

}  // namespace on_cpu

static inline void __syncthreads() { on_cpu::wait(on_cpu::AT_BARRIER); }
static inline void __syncwarp(unsigned = ~0u) { on_cpu::wait(on_cpu::IN_WARP); }
static inline void __threadfence() {}
static inline void __threadfence_block() {}
template <class T> T __shfl_sync(unsigned, T v, int lane, int width = 32) {
  return on_cpu::from_lane(v, (on_cpu::lane() & ~(width - 1)) + (lane & (width - 1)));
}
template <class T> T __shfl_xor_sync(unsigned, T v, int mask, int = 32) {
  return on_cpu::from_lane(v, on_cpu::lane() ^ mask);
}
template <class T> T __shfl_down_sync(unsigned, T v, unsigned by, int width = 32) {
  unsigned me = on_cpu::lane();
  return on_cpu::from_lane(v, (me & (width - 1)) + by < (unsigned)width ? me + by : me);
}
template <class T> T __shfl_up_sync(unsigned, T v, unsigned by, int width = 32) {
  unsigned me = on_cpu::lane();
  return on_cpu::from_lane(v, (me & (width - 1)) >= by ? me - by : me);
}
template <class T> T atomicAdd(T* at, T value) { T old = *at; *at = old + value; return old; }
template <class T> T atomicMax(T* at, T value) { T old = *at; if (value > old) *at = value; return old; }
template <class T> T atomicExch(T* at, T value) { T old = *at; *at = value; return old; }
template <class T> T atomicCAS(T* at, T expected, T value) { T old = *at; if (old == expected) *at = value; return old; }
template <class T> T __ldg(const T* at) { return *at; }
#define __expf expf
#define __logf logf
static inline float __fdividef(float a, float b) { return a / b; }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline float rsqrtf(float x) { return 1.f / sqrtf(x); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)(((uint64_t)a * b) >> 32); }
static inline int __float_as_int(float x) { int i; memcpy(&i, &x, 4); return i; }
static inline float __int_as_float(int i) { float x; memcpy(&x, &i, 4); return x; }

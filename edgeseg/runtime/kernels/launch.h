// What lets one kernel source be CUDA and, with EDGESEG_SHIM defined, plain C++ that a CPU can check. No arithmetic.
//
// A kernel is `extern "C" __global__ void edgeseg_<name>(const __grid_constant__ <Params> params)`, followed by
// EDGESEG_KERNEL(<name>, <Params>). In the shim blocks and threads are loops, one thread after the other to its end: a
// kernel here has no shared memory and no __syncthreads(), and its threads meet only in the helpers below.
#pragma once

#ifdef EDGESEG_SHIM

namespace edgeseg {

struct LaunchIndex {
  unsigned x = 0, y = 0, z = 0;
};

inline unsigned volume_of(const LaunchIndex& size) { return size.x * size.y * size.z; }

inline LaunchIndex index_of(unsigned number, const LaunchIndex& size) {
  return {number % size.x, number / size.x % size.y, number / size.x / size.y};
}

}  // namespace edgeseg

inline thread_local edgeseg::LaunchIndex gridDim, blockDim, blockIdx, threadIdx;

// Defined after every include of the standard library, whose headers use some of these names.
#define __global__
#define __device__
#define __host__
#define __grid_constant__
#define __forceinline__ inline  // left to g++: forced, a sanitized build takes five times as long
#define __launch_bounds__(...)

namespace edgeseg {

// Backwards is the other extreme of the orders that a GPU may take: a kernel gives the same in both.
template <typename Kernel>
void for_every_thread(const LaunchIndex& grid, const LaunchIndex& block, bool is_backwards, const Kernel& kernel) {
  gridDim = grid;
  blockDim = block;
  const unsigned blocks = volume_of(grid), threads = volume_of(block);
  for (unsigned i = 0; i < blocks; ++i) {
    blockIdx = index_of(is_backwards ? blocks - 1 - i : i, grid);
    for (unsigned k = 0; k < threads; ++k) {
      threadIdx = index_of(is_backwards ? threads - 1 - k : k, block);
      kernel();
    }
  }
}

}  // namespace edgeseg

#define EDGESEG_KERNEL(name, Params)                                                                           \
  extern "C" unsigned edgeseg_sizeof_##name() { return sizeof(Params); }                                       \
  extern "C" void edgeseg_run_##name(const unsigned grid[3], const unsigned block[3], int is_backwards,        \
                                     const void* params) {                                                     \
    Params copied;                                                                                             \
    __builtin_memcpy(&copied, params, sizeof copied);                                                          \
    edgeseg::for_every_thread({grid[0], grid[1], grid[2]}, {block[0], block[1], block[2]}, is_backwards != 0,  \
                              [&] { edgeseg_##name(copied); });                                                \
  }

#else  // nvcc

#define EDGESEG_KERNEL(name, Params)

#endif

namespace edgeseg {

// A value that no thread writes during the launch, through the cache for such.
template <typename Value>
__device__ __forceinline__ Value read_only(const Value* from) {
#ifdef EDGESEG_SHIM
  return *from;
#else
  return __ldg(from);
#endif
}

// counters[key] += 1 for the calling thread. Threads of a warp that arrive together with one key are counted by one
// atomicAdd: a mask's neighbours mostly agree, and 32 additions to one address would queue. Threads that have left the
// loop or the branch are not waited for; which ones arrive together changes the number of additions, not the sum.
// Count: unsigned, int or unsigned long long.
template <typename Count>
__device__ __forceinline__ void warp_add(Count* counters, unsigned key) {
#ifdef EDGESEG_SHIM
  counters[key] += 1;
#else
  const unsigned same = __match_any_sync(__activemask(), key);
  unsigned lane;
  asm volatile("mov.u32 %0, %%laneid;" : "=r"(lane));
  if (lane == static_cast<unsigned>(__ffs(static_cast<int>(same)) - 1)) {
    atomicAdd(counters + key, static_cast<Count>(__popc(same)));
  }
#endif
}

}  // namespace edgeseg

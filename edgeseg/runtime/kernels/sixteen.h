// Sixteen neighbouring pixels of a row as one access of 16 bytes. Knows no kernel.
//
// A thread makes kPixels pixels of one row. Blocks are (8, 16): a warp covers 128 pixels of 4 rows, since borders
// between classes crowd together in both directions. Bounds: writes stay inside of the width x height pixels; what lies
// between a row's end and the next row is not touched. Pixels move in accesses of 16 bytes where address and pitch are
// multiples of 16 and all of the thread's pixels lie in the row, else byte by byte.
#pragma once

#include "launch.h"
#include "pixel_math.h"

namespace edgeseg {

constexpr int kPixels = 16;

struct alignas(16) Sixteen {
  unsigned words[4];
};

EDGESEG_PIXEL bool is_wide(const void* data, long long pitch) {
  return ((reinterpret_cast<unsigned long long>(data) | static_cast<unsigned long long>(pitch)) & 15) == 0;
}

EDGESEG_PIXEL unsigned byte_of(const Sixteen& pixels, int i) { return pixels.words[i >> 2] >> (8 * (i & 3)) & 0xffu; }

EDGESEG_PIXEL Sixteen filled_with(unsigned label) {
  const unsigned word = label * 0x01010101u;
  return {{word, word, word, word}};
}

EDGESEG_PIXEL void store(unsigned char* plane, long long pitch, int x, int y, int width, const Sixteen& pixels) {
  unsigned char* to = plane + y * pitch + x;
  if (is_wide(plane, pitch) && x + kPixels <= width) {
    *reinterpret_cast<Sixteen*>(to) = pixels;
    return;
  }
#pragma unroll
  for (int i = 0; i < kPixels; ++i)
    if (x + i < width) to[i] = static_cast<unsigned char>(byte_of(pixels, i));
}

// Beyond the end of the row stand zeros.
EDGESEG_PIXEL Sixteen load(const unsigned char* plane, long long pitch, int x, int y, int width) {
  const unsigned char* from = plane + y * pitch + x;
  if (is_wide(plane, pitch) && x + kPixels <= width) return *reinterpret_cast<const Sixteen*>(from);
  Sixteen pixels = filled_with(0);
#pragma unroll
  for (int i = 0; i < kPixels; ++i)
    if (x + i < width) pixels.words[i >> 2] |= static_cast<unsigned>(from[i]) << (8 * (i & 3));
  return pixels;
}

struct Spot {
  int x, y;
};

__device__ __forceinline__ Spot spot_of_thread(int pixels) {
  return {static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x) * pixels,
          static_cast<int>(blockIdx.y * blockDim.y + threadIdx.y)};
}

}  // namespace edgeseg

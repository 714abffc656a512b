// The arithmetic of single pixels, for C++ and CUDA alike: coordinates, interpolation, colour. No loops, no memory.
//
// Both compilers must round alike: compile with -ffp-contract=off (C++) and --fmad=false (CUDA).
#pragma once

#ifdef __CUDACC__
#define EDGESEG_PIXEL __host__ __device__ __forceinline__
#else
#define EDGESEG_PIXEL inline __attribute__((always_inline))
#endif

namespace edgeseg {

// How an output pixel finds its place in the input, per axis; PyTorch's rules (aten/src/ATen/native/UpSample.h).
enum class Rule : int { half_pixel = 0, align_corners = 1, nearest = 2 };

EDGESEG_PIXEL float scale_of(Rule rule, int in, int out) {
  if (rule == Rule::align_corners) return out > 1 ? static_cast<float>(in - 1) / static_cast<float>(out - 1) : 0.0f;
  return static_cast<float>(in) / static_cast<float>(out);
}

// Position in the input, in input pixels, before clamping to the last pixel; never below 0.
EDGESEG_PIXEL float source_of(Rule rule, float scale, int out_index) {
  if (rule == Rule::half_pixel) {
    const float position = scale * (static_cast<float>(out_index) + 0.5f) - 0.5f;
    return position < 0.0f ? 0.0f : position;
  }
  return scale * static_cast<float>(out_index);
}

// Bilinear value in PyTorch's order of operations: along the row first, then between the rows.
EDGESEG_PIXEL float bilinear(float p00, float p01, float p10, float p11, float row_weight, float column_weight) {
  const float row_rest = 1.0f - row_weight, column_rest = 1.0f - column_weight;
  return row_rest * (column_rest * p00 + column_weight * p01) + row_weight * (column_rest * p10 + column_weight * p11);
}

}  // namespace edgeseg

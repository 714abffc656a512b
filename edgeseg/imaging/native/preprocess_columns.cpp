// Blended source columns to output columns: the gathers. Four output pixels at a time, each one vector load a tap.
#include <cstring>

#include "clones.h"
#include "preprocess_kernels.h"

namespace edgeseg {
namespace {

// A pixel of an interleaved row and the value behind it: GCC and clang turn this into SSE or NEON.
typedef float Quad __attribute__((vector_size(16)));

EDGESEG_PIXEL Quad load_quad(const float* from) {
  Quad quad;
  std::memcpy(&quad, from, sizeof(quad));
  return quad;
}

EDGESEG_PIXEL void store_quad(Quad quad, float* to) { std::memcpy(to, &quad, sizeof(quad)); }

// Four pixels to three planes.
EDGESEG_PIXEL void store_transposed(const Quad (&pixel)[4], float* const out[3], int x) {
  const Quad low01 = __builtin_shufflevector(pixel[0], pixel[1], 0, 4, 1, 5);
  const Quad low23 = __builtin_shufflevector(pixel[2], pixel[3], 0, 4, 1, 5);
  const Quad high01 = __builtin_shufflevector(pixel[0], pixel[1], 2, 6, 3, 7);
  const Quad high23 = __builtin_shufflevector(pixel[2], pixel[3], 2, 6, 3, 7);
  store_quad(__builtin_shufflevector(low01, low23, 0, 1, 4, 5), out[0] + x);
  store_quad(__builtin_shufflevector(low01, low23, 2, 3, 6, 7), out[1] + x);
  store_quad(__builtin_shufflevector(high01, high23, 0, 1, 4, 5), out[2] + x);
}

template <int step>
EDGESEG_PIXEL void linear_pixels(const float* in, const std::int32_t* first, const float* weights, int count,
                                 float* const out[3]) {
  int x = 0;
  for (; x + 4 <= count; x += 4) {
    Quad pixel[4];
    for (int i = 0; i < 4; ++i) {
      const float* from = in + first[x + i] * step;
      const Quad left = load_quad(from), right = load_quad(from + step);
      pixel[i] = left + (right - left) * weights[x + i];
    }
    store_transposed(pixel, out, x);
  }
  for (; x < count; ++x) {
    const float* from = in + first[x] * step;
    for (int c = 0; c < 3; ++c) out[c][x] = mix(from[c], from[c + step], weights[x]);
  }
}

// Pixels side by side, tap for tap: their sums do not wait for each other.
template <int step, int pixels>
EDGESEG_PIXEL void weighted_pixels(const float* in, const std::int32_t* first, const float* weights, int taps,
                                   int weights_step, Quad (&sums)[pixels]) {
  const float *from[pixels], *weight[pixels];
  for (int i = 0; i < pixels; ++i) {
    from[i] = in + first[i] * step;
    weight[i] = weights + static_cast<std::ptrdiff_t>(i) * weights_step;
    sums[i] = load_quad(from[i]) * weight[i][0];
  }
  for (int tap = 1; tap < taps; ++tap) {
    for (int i = 0; i < pixels; ++i) sums[i] += load_quad(from[i] + tap * step) * weight[i][tap];
  }
}

template <int step>
EDGESEG_PIXEL void antialias_pixels(const float* in, const std::int32_t* first, const float* weights, int taps,
                                    int weights_step, int count, float* const out[3]) {
  int x = 0;
  for (; x + 4 <= count; x += 4) {
    Quad pixel[4];
    weighted_pixels<step>(in, first + x, weights + static_cast<std::ptrdiff_t>(x) * weights_step, taps, weights_step,
                          pixel);
    store_transposed(pixel, out, x);
  }
  for (; x < count; ++x) {
    Quad pixel[1];
    weighted_pixels<step>(in, first + x, weights + static_cast<std::ptrdiff_t>(x) * weights_step, taps, weights_step,
                          pixel);
    for (int c = 0; c < 3; ++c) out[c][x] = pixel[0][c];
  }
}

// Four taps of an output at a time, their sums still apart.
template <int outputs>
EDGESEG_PIXEL void weighted_quads(const float* in, const std::int32_t* first, const float* weights, int weights_step,
                                  Quad (&sums)[outputs]) {
  const float *from[outputs], *weight[outputs];
  for (int i = 0; i < outputs; ++i) {
    from[i] = in + first[i];
    weight[i] = weights + static_cast<std::ptrdiff_t>(i) * weights_step;
    sums[i] = load_quad(from[i]) * load_quad(weight[i]);
  }
  for (int tap = 4; tap < weights_step; tap += 4) {
    for (int i = 0; i < outputs; ++i) sums[i] += load_quad(from[i] + tap) * load_quad(weight[i] + tap);
  }
}

// Two neighbours of a plane in one 8-byte load.
typedef float Pair __attribute__((vector_size(8)));

EDGESEG_PIXEL Pair load_pair(const float* from) {
  Pair pair;
  std::memcpy(&pair, from, sizeof(pair));
  return pair;
}

}  // namespace

EDGESEG_CLONES void columns_linear(const float* in, int step, const std::int32_t* first, const float* weights,
                                   int count, float* const out[3]) {
  if (step == 3) {
    linear_pixels<3>(in, first, weights, count, out);
  } else {
    linear_pixels<4>(in, first, weights, count, out);
  }
}

EDGESEG_CLONES void columns_linear_plane(const float* in, const std::int32_t* first, const float* weights, int count,
                                         float* out) {
  int x = 0;
  for (; x + 4 <= count; x += 4) {
    const Quad ab = __builtin_shufflevector(load_pair(in + first[x]), load_pair(in + first[x + 1]), 0, 1, 2, 3);
    const Quad cd = __builtin_shufflevector(load_pair(in + first[x + 2]), load_pair(in + first[x + 3]), 0, 1, 2, 3);
    const Quad left = __builtin_shufflevector(ab, cd, 0, 2, 4, 6), right = __builtin_shufflevector(ab, cd, 1, 3, 5, 7);
    store_quad(left + (right - left) * load_quad(weights + x), out + x);
  }
  for (; x < count; ++x) out[x] = mix(in[first[x]], in[first[x] + 1], weights[x]);
}

EDGESEG_CLONES void columns_antialias(const float* in, int step, const std::int32_t* first, const float* weights,
                                      int taps, int weights_step, int count, float* const out[3]) {
  if (step == 3) {
    antialias_pixels<3>(in, first, weights, taps, weights_step, count, out);
  } else {
    antialias_pixels<4>(in, first, weights, taps, weights_step, count, out);
  }
}

EDGESEG_CLONES void columns_antialias_plane(const float* in, const std::int32_t* first, const float* weights,
                                            int weights_step, int count, float* out) {
  int x = 0;
  for (; x + 4 <= count; x += 4) {
    Quad s[4];
    weighted_quads(in, first + x, weights + static_cast<std::ptrdiff_t>(x) * weights_step, weights_step, s);
    const Quad ab = __builtin_shufflevector(s[0], s[1], 0, 4, 1, 5) + __builtin_shufflevector(s[0], s[1], 2, 6, 3, 7);
    const Quad cd = __builtin_shufflevector(s[2], s[3], 0, 4, 1, 5) + __builtin_shufflevector(s[2], s[3], 2, 6, 3, 7);
    store_quad(__builtin_shufflevector(ab, cd, 0, 1, 4, 5) + __builtin_shufflevector(ab, cd, 2, 3, 6, 7), out + x);
  }
  for (; x < count; ++x) {
    Quad s[1];
    weighted_quads(in, first + x, weights + static_cast<std::ptrdiff_t>(x) * weights_step, weights_step, s);
    out[x] = (s[0][0] + s[0][2]) + (s[0][1] + s[0][3]);
  }
}

}  // namespace edgeseg

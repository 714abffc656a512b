// Source rows to blended float rows: bytes are widened and weighted, YUV is turned into RGB on the way.
#include "clones.h"
#include "preprocess_kernels.h"

namespace edgeseg {

EDGESEG_CLONES void mix_bytes(const std::uint8_t* __restrict upper, const std::uint8_t* __restrict lower, float weight,
                              float* __restrict out, int count) {
  for (int i = 0; i < count; ++i) out[i] = mix(upper[i], lower[i], weight);
}

namespace {

// Rows' values weighted and summed, the first row first; one loop for each number of rows keeps them all in registers.
template <int rows, typename Value>
EDGESEG_PIXEL void add_some(const Value* const from[], const float given[], bool is_first, float* __restrict out,
                            int count) {
  const Value* row[rows];
  float weights[rows];
  for (int k = 0; k < rows; ++k) row[k] = from[k], weights[k] = given[k];
  if (is_first) {
#pragma GCC ivdep
    for (int i = 0; i < count; ++i) {
      float sum = weights[0] * row[0][i];
      for (int k = 1; k < rows; ++k) sum += weights[k] * row[k][i];
      out[i] = sum;
    }
  } else {
#pragma GCC ivdep
    for (int i = 0; i < count; ++i) {
      float sum = out[i];
      for (int k = 0; k < rows; ++k) sum += weights[k] * row[k][i];
      out[i] = sum;
    }
  }
}

template <typename Value>
EDGESEG_PIXEL void add_any(const Value* const from[], const float weights[], int rows, bool is_first, float* out,
                           int count) {
  static_assert(kRowsAtOnce == 6, "one case for each number of rows");
  switch (rows) {
    case 1:
      return add_some<1>(from, weights, is_first, out, count);
    case 2:
      return add_some<2>(from, weights, is_first, out, count);
    case 3:
      return add_some<3>(from, weights, is_first, out, count);
    case 4:
      return add_some<4>(from, weights, is_first, out, count);
    case 5:
      return add_some<5>(from, weights, is_first, out, count);
    default:
      return add_some<6>(from, weights, is_first, out, count);
  }
}

}  // namespace

EDGESEG_CLONES void add_rows(const std::uint8_t* const from[], const float weights[], int rows, bool is_first,
                             float* out, int count) {
  add_any(from, weights, rows, is_first, out, count);
}

EDGESEG_CLONES void add_rows(const float* const from[], const float weights[], int rows, bool is_first, float* out,
                             int count) {
  add_any(from, weights, rows, is_first, out, count);
}

namespace {

// Eight values, each twice: a shuffle of registers, which GCC does not make of stores two apart.
typedef float Eight __attribute__((vector_size(32), aligned(4), may_alias));
EDGESEG_PIXEL void double_values(const float* __restrict in, float* __restrict out, int count) {
  int i = 0;
  for (; i + 8 <= count; i += 8) {
    const Eight values = *reinterpret_cast<const Eight*>(in + i);
    *reinterpret_cast<Eight*>(out + 2 * i) = __builtin_shufflevector(values, values, 0, 0, 1, 1, 2, 2, 3, 3);
    *reinterpret_cast<Eight*>(out + 2 * i + 8) = __builtin_shufflevector(values, values, 4, 4, 5, 5, 6, 6, 7, 7);
  }
  for (; i < count; ++i) out[2 * i] = out[2 * i + 1] = in[i];
}

template <int pair_step>
EDGESEG_PIXEL void chroma_of_pairs(const std::uint8_t* __restrict u, const std::uint8_t* __restrict v,
                                   const YuvMatrix& given, float* __restrict red, float* __restrict green,
                                   float* __restrict blue, int pairs) {
  const YuvMatrix m = given;
  for (int i = 0; i < pairs; ++i) {
    const float u_value = u[i * pair_step], v_value = v[i * pair_step];
    red[i] = red_chroma(m, v_value);
    green[i] = green_chroma(m, u_value, v_value);
    blue[i] = blue_chroma(m, u_value);
  }
}

// The same where u and v stand side by side (NV12): read as one number, which GCC vectorises and bytes two apart not.
typedef std::uint16_t __attribute__((aligned(1), may_alias)) SideBySide;
EDGESEG_PIXEL void chroma_of_words(const SideBySide* __restrict uv, const YuvMatrix& given, float* __restrict red,
                                   float* __restrict green, float* __restrict blue, int pairs) {
  const YuvMatrix m = given;
  for (int i = 0; i < pairs; ++i) {
    const int both = uv[i];
    const float u_value = static_cast<float>(both & 255), v_value = static_cast<float>(both >> 8);
    red[i] = red_chroma(m, v_value);
    green[i] = green_chroma(m, u_value, v_value);
    blue[i] = blue_chroma(m, u_value);
  }
}

// Each pair's chroma over both its pixels, so that the loops over pixels are contiguous and branch-free.
template <int pair_step>
EDGESEG_PIXEL void spread_pairs(const YuvPiece& piece, const YuvMatrix& m, float* const out[3], int pairs) {
  constexpr int kAtOnce = 64;
  float red[kAtOnce], green[kAtOnce], blue[kAtOnce];
  for (int start = 0; start < pairs; start += kAtOnce) {
    const int count = pairs - start < kAtOnce ? pairs - start : kAtOnce;
    const std::uint8_t *u = piece.u + start * pair_step, *v = piece.v + start * pair_step;
    if constexpr (pair_step == 2 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__) {
      chroma_of_words(reinterpret_cast<const SideBySide*>(u), m, red, green, blue, count);
    } else {
      chroma_of_pairs<pair_step>(u, v, m, red, green, blue, count);
    }
    double_values(red, out[0] + 2 * start, count);
    double_values(green, out[1] + 2 * start, count);
    double_values(blue, out[2] + 2 * start, count);
  }
}

// One channel of two rows. Pointers are parameters: GCC trusts __restrict there, and tests them at run time elsewhere.
EDGESEG_PIXEL void mix_channel(const std::uint8_t* __restrict upper, const std::uint8_t* __restrict lower,
                               const float* __restrict upper_chroma, const float* __restrict lower_chroma, float weight,
                               const YuvMatrix& given, float* __restrict out, int count) {
  const YuvMatrix m = given;
  for (int x = 0; x < count; ++x) {
    const float above = with_luma(m, upper[x], upper_chroma[x]);
    out[x] = mix(above, with_luma(m, lower[x], lower_chroma[x]), weight);
  }
}

EDGESEG_PIXEL void decode_channel(const std::uint8_t* __restrict y, const float* __restrict chroma,
                                  const YuvMatrix& given, float* __restrict out, int count) {
  const YuvMatrix m = given;
  for (int x = 0; x < count; ++x) out[x] = with_luma(m, y[x], chroma[x]);
}

}  // namespace

EDGESEG_CLONES void spread_chroma(const YuvPiece& piece, const YuvMatrix& m, float* const out[3], int pairs) {
  if (piece.pair_step == 4) {
    spread_pairs<4>(piece, m, out, pairs);
  } else if (piece.pair_step == 2) {
    spread_pairs<2>(piece, m, out, pairs);
  } else {
    spread_pairs<1>(piece, m, out, pairs);
  }
}

EDGESEG_CLONES void every_other_byte(const std::uint8_t* __restrict in, std::uint8_t* __restrict out, int count) {
  for (int i = 0; i < count; ++i) out[i] = in[2 * i];
}

EDGESEG_CLONES void mix_yuv_rows(const YuvRow& upper, const YuvRow& lower, float weight, const YuvMatrix& matrix,
                                 float* const out[3], int count) {
  for (int c = 0; c < 3; ++c) {
    mix_channel(upper.y, lower.y, upper.chroma[c], lower.chroma[c], weight, matrix, out[c], count);
  }
}

EDGESEG_CLONES void decode_yuv_row(const YuvRow& row, const YuvMatrix& matrix, float* const out[3], int count) {
  for (int c = 0; c < 3; ++c) decode_channel(row.y, row.chroma[c], matrix, out[c], count);
}

}  // namespace edgeseg

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

// Each pair's chroma over both its pixels, so that the loops over pixels are contiguous and branch-free.
template <int pair_step>
EDGESEG_PIXEL void spread_pairs(const std::uint8_t* __restrict u, const std::uint8_t* __restrict v,
                                const YuvMatrix& given, float* __restrict red, float* __restrict green,
                                float* __restrict blue, int pairs) {
  const YuvMatrix m = given;
  for (int i = 0; i < pairs; ++i) {
    const float u_value = u[i * pair_step], v_value = v[i * pair_step];
    red[2 * i] = red[2 * i + 1] = red_chroma(m, v_value);
    green[2 * i] = green[2 * i + 1] = green_chroma(m, u_value, v_value);
    blue[2 * i] = blue[2 * i + 1] = blue_chroma(m, u_value);
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
    spread_pairs<4>(piece.u, piece.v, m, out[0], out[1], out[2], pairs);
  } else if (piece.pair_step == 2) {
    spread_pairs<2>(piece.u, piece.v, m, out[0], out[1], out[2], pairs);
  } else {
    spread_pairs<1>(piece.u, piece.v, m, out[0], out[1], out[2], pairs);
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

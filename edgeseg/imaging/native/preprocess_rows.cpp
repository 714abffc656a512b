// Source rows to blended float rows: bytes are widened and weighted, YUV is turned into RGB on the way.
#include "clones.h"
#include "preprocess_kernels.h"

namespace edgeseg {

EDGESEG_CLONES void mix_bytes(const std::uint8_t* __restrict upper, const std::uint8_t* __restrict lower, float weight,
                              float* __restrict out, int count) {
  for (int i = 0; i < count; ++i) out[i] = mix(upper[i], lower[i], weight);
}

EDGESEG_CLONES void add_bytes(const std::uint8_t* const rows[4], const float weights[4], bool is_first,
                              float* __restrict out, int count) {
  const std::uint8_t *__restrict a = rows[0], *__restrict b = rows[1], *__restrict c = rows[2], *__restrict d = rows[3];
  const float wa = weights[0], wb = weights[1], wc = weights[2], wd = weights[3];
  if (is_first) {
    for (int i = 0; i < count; ++i) out[i] = (wa * a[i] + wb * b[i]) + (wc * c[i] + wd * d[i]);
  } else {
    for (int i = 0; i < count; ++i) out[i] += (wa * a[i] + wb * b[i]) + (wc * c[i] + wd * d[i]);
  }
}

EDGESEG_CLONES void mix_floats(const float* __restrict upper, const float* __restrict lower, float weight,
                               float* __restrict out, int count) {
  for (int i = 0; i < count; ++i) out[i] = mix(upper[i], lower[i], weight);
}

EDGESEG_CLONES void add_floats(const float* __restrict values, float weight, bool is_first, float* __restrict out,
                               int count) {
  if (is_first) {
    for (int i = 0; i < count; ++i) out[i] = weight * values[i];
  } else {
    for (int i = 0; i < count; ++i) out[i] += weight * values[i];
  }
}

namespace {

// Two loops: the first spreads each pair's chroma over both pixels, the second is then contiguous and branch-free.
template <int y_step, int pair_step>
EDGESEG_PIXEL void decode_pairs(const YuvPiece& piece, const YuvMatrix& given, float* __restrict red,
                                float* __restrict green, float* __restrict blue, int pairs) {
  const YuvMatrix m = given;
  const std::uint8_t *__restrict y = piece.y, *__restrict u = piece.u, *__restrict v = piece.v;
  for (int i = 0; i < pairs; ++i) {
    const float u_value = u[i * pair_step], v_value = v[i * pair_step];
    red[2 * i] = red[2 * i + 1] = red_chroma(m, v_value);
    green[2 * i] = green[2 * i + 1] = green_chroma(m, u_value, v_value);
    blue[2 * i] = blue[2 * i + 1] = blue_chroma(m, u_value);
  }
  for (int x = 0; x < 2 * pairs; ++x) {
    const float luma = y[x * y_step];
    red[x] = with_luma(m, luma, red[x]);
    green[x] = with_luma(m, luma, green[x]);
    blue[x] = with_luma(m, luma, blue[x]);
  }
}

}  // namespace

EDGESEG_CLONES void decode_yuv(const YuvPiece& piece, const YuvMatrix& matrix, float* red, float* green, float* blue,
                               int pairs) {
  if (piece.y_step == 2) {
    decode_pairs<2, 4>(piece, matrix, red, green, blue, pairs);
  } else if (piece.pair_step == 2) {
    decode_pairs<1, 2>(piece, matrix, red, green, blue, pairs);
  } else {
    decode_pairs<1, 1>(piece, matrix, red, green, blue, pairs);
  }
}

}  // namespace edgeseg

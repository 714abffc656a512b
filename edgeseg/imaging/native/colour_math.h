// The arithmetic from pixels to tensor values, for C++ and CUDA alike: blend, YUV to RGB, luma, scale, rounding.
//
// Both compilers must round alike: compile with -ffp-contract=off (C++) and --fmad=false (CUDA).
#pragma once

#include "pixel_math.h"

namespace edgeseg {

// Value between two neighbours; exactly `a` at weight 0.
EDGESEG_PIXEL float mix(float a, float b, float weight) { return a + (b - a) * weight; }

EDGESEG_PIXEL float clamped(float value, float low, float high) {
  const float raised = value < low ? low : value;
  return raised > high ? high : raised;
}

// To 0-255. Positive floats are ordered as their bits are, and a negative one's bits are a negative integer: integer
// min and max are one instruction each where the float comparisons, minding NaN and -0, become three or four.
EDGESEG_PIXEL float clamped_level(float value) {
  union {
    float f;
    int i;
  } bits = {value};
  bits.i = bits.i > 0 ? bits.i : 0;
  bits.i = bits.i < 0x437f0000 ? bits.i : 0x437f0000;  // 255.0f
  return bits.f;
}

// R'G'B' (0-255) = luma * Y + chroma terms + offset; the offsets hold the chroma's 128 and the 16 of limited range.
struct YuvMatrix {
  float luma, red_v, green_u, green_v, blue_u;
  float red_offset, green_offset, blue_offset;
};

// From the luma weights of the standard: BT.601 (0.299, 0.114), BT.709 (0.2126, 0.0722).
inline YuvMatrix yuv_matrix(double red_weight, double blue_weight, bool is_full_range) {
  const double green_weight = 1.0 - red_weight - blue_weight;
  const double luma = is_full_range ? 1.0 : 255.0 / 219.0;
  const double chroma = is_full_range ? 1.0 : 255.0 / 224.0;
  const double black = is_full_range ? 0.0 : 16.0;
  const double red_v = 2.0 * (1.0 - red_weight) * chroma, blue_u = 2.0 * (1.0 - blue_weight) * chroma;
  const double green_u = -blue_u * blue_weight / green_weight, green_v = -red_v * red_weight / green_weight;
  YuvMatrix matrix;
  matrix.luma = static_cast<float>(luma);
  matrix.red_v = static_cast<float>(red_v);
  matrix.green_u = static_cast<float>(green_u);
  matrix.green_v = static_cast<float>(green_v);
  matrix.blue_u = static_cast<float>(blue_u);
  matrix.red_offset = static_cast<float>(-128.0 * red_v - black * luma);
  matrix.green_offset = static_cast<float>(-128.0 * (green_u + green_v) - black * luma);
  matrix.blue_offset = static_cast<float>(-128.0 * blue_u - black * luma);
  return matrix;
}

// The chroma's part is shared by the pixels of a pair (and of two rows), so it is kept apart from the luma's.
EDGESEG_PIXEL float red_chroma(const YuvMatrix& m, float v) { return m.red_v * v + m.red_offset; }
EDGESEG_PIXEL float green_chroma(const YuvMatrix& m, float u, float v) {
  return m.green_u * u + (m.green_v * v + m.green_offset);
}
EDGESEG_PIXEL float blue_chroma(const YuvMatrix& m, float u) { return m.blue_u * u + m.blue_offset; }

// One channel, clamped as every display does, not rounded.
EDGESEG_PIXEL float with_luma(const YuvMatrix& m, float y, float chroma) {
  return clamped_level(m.luma * y + chroma);
}

// Grey of a picture in the BT.601 weights, whatever the picture's own matrix was: what cv2 and PIL call grey.
EDGESEG_PIXEL float grey_of(float red, float green, float blue) {
  return 0.299f * red + (0.587f * green + 0.114f * blue);
}

// (pixel / 255 - mean) / std (/ quantum) as one multiplication and one addition.
EDGESEG_PIXEL float normalised(float pixel, float scale, float shift) { return pixel * scale + shift; }

// To a whole number, half to even, by the float's own rounding: |value| < 2^22. Vectorises where rint would not.
EDGESEG_PIXEL float rounded(float value) { return (value + 12582912.0f) - 12582912.0f; }

// float32 to the bits of float16, half to even; too large becomes infinity, as numpy's astype does. No NaN comes here.
// The two-way selection is what a vectoriser can do; F16C and fp16 instructions give the same bits.
EDGESEG_PIXEL unsigned short half_bits(float value) {
  union {
    float f;
    unsigned u;
  } in = {value}, denormal;
  const unsigned sign = in.u & 0x80000000u;
  in.u ^= sign;
  const unsigned odd = (in.u >> 13) & 1u;
  const unsigned normal = (in.u - (112u << 23) + 0xfffu + odd) >> 13;
  denormal.f = in.f + 0.5f;  // 0.5's last place is 2^-24, the smallest half: the addition rounds for us
  const unsigned small = denormal.u - 0x3f000000u;
  const unsigned finite = in.u < (113u << 23) ? small : normal;
  const unsigned magnitude = in.u >= (143u << 23) ? 0x7c00u : finite;
  return static_cast<unsigned short>(magnitude | (sign >> 16));
}

// A tensor's value of the type that it is stored as; float16 as its bits.
EDGESEG_PIXEL void convert(float value, float& out) { out = value; }
EDGESEG_PIXEL void convert(float value, unsigned short& out) { out = half_bits(value); }
// Clamped before rounding: the limits are whole numbers, so the order makes no difference and rounded() stays in range.
EDGESEG_PIXEL void convert(float value, unsigned char& out) {
  out = static_cast<unsigned char>(static_cast<int>(rounded(clamped_level(value))));
}
EDGESEG_PIXEL void convert(float value, signed char& out) {
  out = static_cast<signed char>(static_cast<int>(rounded(clamped(value, -128.0f, 127.0f))));
}

}  // namespace edgeseg

// The arithmetic of single pixels, for C++ and CUDA alike: coordinates, interpolation, logits, blending. No memory.
//
// Both compilers must round alike: compile with -ffp-contract=off (C++) and --fmad=false (CUDA).
#pragma once

#ifdef __CUDACC__
#define EDGESEG_PIXEL __host__ __device__ __forceinline__
#else
#define EDGESEG_PIXEL inline __attribute__((always_inline))
#endif

namespace edgeseg {

// How a pixel of an output grid finds its place in the input, per axis; ONNX's rules. half_pixel and align_corners are
// PyTorch's too (aten/src/ATen/native/UpSample.h), asymmetric is that of its mode nearest.
enum class Rule : int { half_pixel = 0, align_corners = 1, asymmetric = 2 };

EDGESEG_PIXEL float scale_of(Rule rule, int in, int out) {
  if (rule == Rule::align_corners) return out > 1 ? static_cast<float>(in - 1) / static_cast<float>(out - 1) : 0.0f;
  return static_cast<float>(in) / static_cast<float>(out);
}

// Position in the input, in input pixels, before clamping to the last pixel; never below 0. `index` may lie between the
// grid's pixels. PyTorch built for AVX2 rounds once here (FMA) and this twice, so that a GPU gives the same: the last
// bit may differ.
EDGESEG_PIXEL float source_of(Rule rule, float scale, float index) {
  const float position = rule == Rule::half_pixel ? scale * (index + 0.5f) - 0.5f : scale * index;
  return position < 0.0f ? 0.0f : position;
}

// Which of its two neighbours a position takes; `none` is bilinear. The names are ONNX's.
enum class Rounding : int { none = 0, floor = 1, ceil = 2, round_prefer_floor = 3, round_prefer_ceil = 4 };

// The input pixel of a position that is not below 0; not yet clamped to the last.
EDGESEG_PIXEL int nearest_of(Rounding rounding, float position) {
  const int below = static_cast<int>(position);
  const float rest = position - static_cast<float>(below);
  if (rounding == Rounding::ceil) return rest > 0.0f ? below + 1 : below;
  if (rounding == Rounding::round_prefer_floor) return rest > 0.5f ? below + 1 : below;
  if (rounding == Rounding::round_prefer_ceil) return rest >= 0.5f ? below + 1 : below;
  return below;
}

// Bilinear value in PyTorch's order of operations: along the row first, then between the rows.
EDGESEG_PIXEL float bilinear(float p00, float p01, float p10, float p11, float row_weight, float column_weight) {
  const float row_rest = 1.0f - row_weight, column_rest = 1.0f - column_weight;
  return row_rest * (column_rest * p00 + column_weight * p01) + row_weight * (column_rest * p10 + column_weight * p11);
}

enum class LogitType : int { float32 = 0, float16 = 1, int8 = 2 };

constexpr int kMixed = 255;  // no class has this id, so it marks a cell that must be interpolated

// Logits are taken as at most this large, a NaN as the lowest of them. So no sum of four weighted corners overflows, no
// infinity meets a weight of 0, and every comparison below is one of ordinary numbers: a NaN never wins against a
// number, and where all classes are NaN the lowest class is taken.
constexpr float kLogitLimit = 0x1p127f;

EDGESEG_PIXEL float clean_logit(float logit) {
  const float above = logit > -kLogitLimit ? logit : -kLogitLimit;  // false for a NaN too
  return above < kLogitLimit ? above : kLogitLimit;
}

// The order of comparison: classes are visited upwards and a later one must be greater, so that a tie keeps the lowest.
EDGESEG_PIXEL bool beats(float candidate, float best) { return candidate > best; }

// How far the computed bilinear values of two classes can be from the order of the exact ones, relative and absolute.
// Each corner passes two products and two sums, so (1 + 2^-24)^4 - 1 < 2^-21 bounds the relative error; the absolute
// term covers products that fall below the normal numbers, flushed to 0 or not. Both are doubled and more for safety.
constexpr float kSlack = 0x1p-20f;
constexpr float kTiny = 0x1p-120f;

EDGESEG_PIXEL float least_of(float value) { return value - (kSlack * (value < 0.0f ? -value : value) + kTiny); }
EDGESEG_PIXEL float most_of(float value) { return value + kSlack * (value < 0.0f ? -value : value); }

// IEEE half precision, from its bits; exact, and without denormal floats on the way. Masks, not
// branches: it must vectorise.
EDGESEG_PIXEL float half_to_float(unsigned short half) {
  const unsigned magnitude = half & 0x7fffu;
  const unsigned is_infinite_or_nan = (magnitude + 0x400u) >> 15, is_small = 0u - ((magnitude - 0x400u) >> 31);
  const unsigned normal = (magnitude << 13) + (0x38000000u << is_infinite_or_nan);
  const float small = static_cast<float>(static_cast<int>(magnitude)) * 0x1p-24f;
  unsigned small_bits;
  __builtin_memcpy(&small_bits, &small, sizeof small);
  const unsigned bits = (small_bits & is_small) | (normal & ~is_small) | (half & 0x8000u) << 16;
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}

// e^x for x <= 0, relative error below 4e-6; from -87 down it is 1.6e-38, which a softmax of 255 classes does not feel.
// x = n ln 2 + r, ln 2 in two parts (Cephes), and a series of five terms for |r| <= 0.35.
constexpr float kExpLowest = -87.0f, kExpPerLog2 = 1.44269504f, kLog2High = 0.693359375f, kLog2Low = 2.12194440e-4f;
constexpr float kExp5 = 1.0f / 120.0f, kExp4 = 1.0f / 24.0f, kExp3 = 1.0f / 6.0f;

EDGESEG_PIXEL float exp_of_nonpositive(float value) {
  const float x = value > kExpLowest ? value : kExpLowest;
  const int power = static_cast<int>(x * kExpPerLog2 - 0.5f);
  const float whole = static_cast<float>(power);
  const float r = (x - whole * kLog2High) + whole * kLog2Low;
  const float series = ((((kExp5 * r + kExp4) * r + kExp3) * r + 0.5f) * r + 1.0f) * r + 1.0f;
  const int bits = (power + 127) << 23;
  float scale;
  __builtin_memcpy(&scale, &bits, sizeof scale);
  return series * scale;
}

// A class that is more than this and ln(classes) below the winner: all of them together add less than e^-8 to a sum of
// at least 1, a tenth of a grey level.
constexpr float kFaint = 8.0f;

// The winner's softmax probability in 255ths; `sum` is that of e^(logit - winner), the winner's own 1 included.
EDGESEG_PIXEL unsigned char confidence_of(float sum) {
  return static_cast<unsigned char>(static_cast<int>(255.0f / sum + 0.5f));
}

// A share of 1 in 255ths; what lies outside of 0 to 1 is taken as that end.
EDGESEG_PIXEL unsigned char level_of(float share) {
  const float above = share > 0.0f ? share : 0.0f;
  return static_cast<unsigned char>(static_cast<int>(255.0f * (above < 1.0f ? above : 1.0f) + 0.5f));
}

// What the confidence is: the winner's softmax; the winner's own value; and of one class, which then stands second beside
// its threshold, its sigmoid or its own value, or what is left to 1 where it is not above the threshold.
enum class Confidence : int { none = 0, softmax = 1, probability = 2, one_logit = 3, one_probability = 4 };

EDGESEG_PIXEL unsigned char level_of_one(float value, float threshold, bool is_probability) {
  const float faint = exp_of_nonpositive(value < 0.0f ? value : -value);
  const float share = is_probability ? value : (value < 0.0f ? faint : 1.0f) / (1.0f + faint);
  return level_of(beats(value, threshold) ? share : 1.0f - share);
}

// A colour over a frame's pixel in 256ths; `colour` is colour * weight + 128, made once a class, `rest` 256 - weight.
EDGESEG_PIXEL unsigned char blend(unsigned char pixel, unsigned short colour, unsigned short rest) {
  return static_cast<unsigned char>((pixel * rest + colour) >> 8);
}

}  // namespace edgeseg

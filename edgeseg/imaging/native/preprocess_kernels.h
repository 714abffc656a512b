// The inner loops of the pre-processing, each compiled for several instruction sets. Sizes are the caller's duty.
#pragma once

#include <cstdint>

#include "colour_math.h"

namespace edgeseg {

// Rows: bytes of one or several source rows -> float. `out` gets `count` values.
void mix_bytes(const std::uint8_t* upper, const std::uint8_t* lower, float weight, float* out, int count);
// Four rows at once, weighted; added to what `out` holds unless `is_first`.
void add_bytes(const std::uint8_t* const rows[4], const float weights[4], bool is_first, float* out, int count);
void mix_floats(const float* upper, const float* lower, float weight, float* out, int count);
void add_floats(const float* values, float weight, bool is_first, float* out, int count);

// A piece of a YUV row as the decoders take it: bytes of the first pixel, steps between pixels and between pairs.
struct YuvPiece {
  const std::uint8_t *y, *u, *v;
  int y_step, pair_step;
};
// `pairs` pairs of pixels to red, green and blue, 2 * pairs values each.
void decode_yuv(const YuvPiece& piece, const YuvMatrix& matrix, float* red, float* green, float* blue, int pairs);

// Columns: blended source columns -> output columns. Interleaved pixels of `step` values (3 or 4) go to three planes.
void columns_linear(const float* in, int step, const std::int32_t* first, const float* weights, int count,
                    float* const out[3]);
void columns_linear_plane(const float* in, const std::int32_t* first, const float* weights, int count, float* out);
void columns_antialias(const float* in, int step, const std::int32_t* first, const std::int32_t* taps,
                       const float* weights, int weights_step, int count, float* const out[3]);
void columns_antialias_plane(const float* in, const std::int32_t* first, const std::int32_t* taps,
                             const float* weights, int weights_step, int count, float* out);

// Values: grey levels -> tensor values, `count` pixels.
void grey_row(const float* red, const float* green, const float* blue, float* out, int count);
void store_plane(const float* in, float scale, float shift, float* out, int count);
void store_plane(const float* in, float scale, float shift, std::uint16_t* out, int count);  // float16
void store_plane(const float* in, float scale, float shift, std::uint8_t* out, int count);
void store_plane(const float* in, float scale, float shift, std::int8_t* out, int count);
void store_pixels(const float* const in[3], const float scale[3], const float shift[3], float* out, int count);
void store_pixels(const float* const in[3], const float scale[3], const float shift[3], std::uint16_t* out, int count);
void store_pixels(const float* const in[3], const float scale[3], const float shift[3], std::uint8_t* out, int count);
void store_pixels(const float* const in[3], const float scale[3], const float shift[3], std::int8_t* out, int count);

}  // namespace edgeseg

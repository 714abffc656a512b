// The inner loops of the pre-processing, each compiled for several instruction sets. Sizes are the caller's duty.
#pragma once

#include <cstdint>

#include "colour_math.h"

namespace edgeseg {

// Rows: bytes of one or several source rows -> float. `out` gets `count` values.
void mix_bytes(const std::uint8_t* upper, const std::uint8_t* lower, float weight, float* out, int count);
// 1 to kRowsAtOnce rows, weighted; added to what `out` holds unless `is_first`. Six are what halving a picture takes.
inline constexpr int kRowsAtOnce = 6;
void add_rows(const std::uint8_t* const from[], const float weights[], int rows, bool is_first, float* out, int count);
void add_rows(const float* const from[], const float weights[], int rows, bool is_first, float* out, int count);

// A piece of a YUV row as it lies in memory: bytes of the first pixel, steps between pixels and between pairs.
struct YuvPiece {
  const std::uint8_t *y, *u, *v;
  int y_step, pair_step;
};
// The same ready for the luma: bytes of luma side by side, the chroma's part of red, green and blue, a value a pixel.
struct YuvRow {
  const std::uint8_t* y;
  const float* chroma[3];
};
// 2 * pairs values to each of the planes of `out`.
void spread_chroma(const YuvPiece& piece, const YuvMatrix& matrix, float* const out[3], int pairs);
void every_other_byte(const std::uint8_t* in, std::uint8_t* out, int count);
// Two rows to red, green and blue, and blended; one row, likewise.
void mix_yuv_rows(const YuvRow& upper, const YuvRow& lower, float weight, const YuvMatrix& matrix, float* const out[3],
                  int count);
void decode_yuv_row(const YuvRow& row, const YuvMatrix& matrix, float* const out[3], int count);

// Columns: blended source columns -> output columns. Interleaved pixels of `step` values (3 or 4) go to three planes.
void columns_linear(const float* in, int step, const std::int32_t* first, const float* weights, int count,
                    float* const out[3]);
void columns_linear_plane(const float* in, const std::int32_t* first, const float* weights, int count, float* out);
// Every output column has `taps` input columns, `weights_step` (a multiple of 4, the rest 0) apart in `weights`; three
// values behind the last column are read and make no difference.
void columns_antialias(const float* in, int step, const std::int32_t* first, const float* weights, int taps,
                       int weights_step, int count, float* const out[3]);
void columns_antialias_plane(const float* in, const std::int32_t* first, const float* weights, int weights_step,
                             int count, float* out);

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

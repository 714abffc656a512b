// What a pre-processing kernel is told. Mirrored by PARAMS in preprocess.py; device pointers are whole numbers.
#pragma once

#include "colour_math.h"

namespace edgeseg {

struct PreprocessParams {
  // First byte of the first row and bytes from one row to the next (negative: upside down). YUV: of luma, of U, of V,
  // whatever the planes; else of the one plane.
  unsigned long long plane[3];
  long long pitch[3];

  // Axis tables, see Axis in imaging/native/preprocess.h: int, int, float; int, float. No row_count where linear.
  unsigned long long row_first, row_count, row_weights;
  unsigned long long column_first, column_weights;

  unsigned long long image;  // first value of this image of the batch

  int width, height;  // of the tensor
  int target_x, target_y, target_width, target_height;  // the part that the picture fills, the rest is `pad`
  int read_x, read_y;  // the picture's pixel that is 0 in the tables; YUV: an even column
  int row_step, column_step;  // antialias: from one output's weights to the next one's
  int column_taps;
  int pixel_step;  // bytes between neighbours; YUV: of luma
  int pair_step, chroma_shift;  // YUV: bytes between pairs' chroma; 1 where two rows share theirs, else 0
  int channels;  // of the tensor, 1 or 3
  int is_swapped;  // of three channels the tensor's first is the picture's third
  int is_blue_first;  // the picture's first channel is blue: where the tensor is grey
  int dtype;  // 0 float32, 1 float16, 2 uint8, 3 int8
  int is_nhwc;
  float pad;
  float scale[3], shift[3];
  YuvMatrix matrix;
};

static_assert(sizeof(PreprocessParams) == 12 * 8 + 34 * 4, "no bytes between the members, none behind");

}  // namespace edgeseg

// What the kernel that steadies scores over time is told; smoothing.py mirrors the struct. Plain data.
#pragma once

#include "postprocess.h"

namespace edgeseg {

struct SmoothParams {
  LogitsParams logits;  // of the newest frame
  const char* tensor;   // the net's input of it, one picture; strides count bytes
  long long channel, row, column;
  float* cells;  // colours x height x width of the logits: the last frame's mean colours, overwritten
  float* mean;   // channels x height x width: the scores' mean over time, overwritten
  int colours, tensor_height, tensor_width;
  int is_bytes;       // the tensor is of uint8, else of float32
  float levels[3];    // grey levels that one step of the tensor is worth
  float strength;     // weight of the past where nothing moves
  float motion;       // grey levels of difference that end it
  int is_first;       // nothing is in `cells` and `mean` yet
};

static_assert(sizeof(SmoothParams) == 64 + 6 * 8 + 10 * 4, "mirrored by smoothing.py");

}  // namespace edgeseg

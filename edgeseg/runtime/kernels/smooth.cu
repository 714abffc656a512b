// Scores that are steadied over time, cell by cell, where the picture stands still; imaging/smoothing.py says what it is.
//
// The mean is within rounding of what that computes: sums are taken in another order.
#include "smooth.h"

#include "launch.h"
#include "pixel_math.h"
#include "scores.h"
#include "sixteen.h"

namespace edgeseg {
namespace {

EDGESEG_PIXEL float tensor_at(const SmoothParams& params, int colour, int y, int x) {
  const char* at = params.tensor + colour * params.channel + y * params.row + x * params.column;
  if (params.is_bytes != 0) return static_cast<float>(read_only(reinterpret_cast<const unsigned char*>(at)));
  return read_only(reinterpret_cast<const float*>(at));
}

// The part of [at, at + 1) that lies in [begin, end).
EDGESEG_PIXEL float part_inside(int at, float begin, float end) {
  const float first = static_cast<float>(at), last = first + 1.0f;
  return lower(last, end) - upper(first, begin);
}

// Mean colour of the pixels under a cell, those at its edges by the part that lies in it.
EDGESEG_PIXEL float mean_under(const SmoothParams& params, int colour, int cell_y, int cell_x) {
  const float tall = static_cast<float>(params.tensor_height) / static_cast<float>(params.logits.height);
  const float wide = static_cast<float>(params.tensor_width) / static_cast<float>(params.logits.width);
  const float top = static_cast<float>(cell_y) * tall, bottom = static_cast<float>(cell_y + 1) * tall;
  const float left = static_cast<float>(cell_x) * wide, right = static_cast<float>(cell_x + 1) * wide;
  float sum = 0.0f;
  for (int y = static_cast<int>(top); y < params.tensor_height && static_cast<float>(y) < bottom; ++y) {
    float row = 0.0f;
    for (int x = static_cast<int>(left); x < params.tensor_width && static_cast<float>(x) < right; ++x)
      row += part_inside(x, left, right) * tensor_at(params, colour, y, x);
    sum += part_inside(y, top, bottom) * row;
  }
  return sum / (tall * wide) * params.levels[colour];
}

// Keeps the cell's new colours, and tells the weight of its past.
EDGESEG_PIXEL float weight_of_past(const SmoothParams& params, int y, int x) {
  const long long plane = static_cast<long long>(params.logits.height) * params.logits.width;
  float* cell = params.cells + static_cast<long long>(y) * params.logits.width + x;
  float difference = 0.0f;
  for (int colour = 0; colour < params.colours; ++colour) {
    const float found = mean_under(params, colour, y, x), moved = found - cell[colour * plane];
    difference += moved < 0.0f ? -moved : moved;
    cell[colour * plane] = found;
  }
  const float still = 1.0f - difference / static_cast<float>(params.colours) / params.motion;
  return params.is_first != 0 || !(still > 0.0f) ? 0.0f : params.strength * still;
}

template <LogitType type>
EDGESEG_PIXEL void steady(const SmoothParams& params, int y, int x) {
  const LogitsParams& logits = params.logits;
  const float weight = weight_of_past(params, y, x);
  const long long plane = static_cast<long long>(logits.height) * logits.width;
  float* mean = params.mean + static_cast<long long>(y) * logits.width + x;
  for (int c = 0; c < logits.channels; ++c) {
    const float score = logit_at<type>(logits, c * logits.channel + y * logits.row + x * logits.column);
    float* kept = mean + c * plane;
    *kept = weight > 0.0f ? *kept + (1.0f - weight) * (score - *kept) : score;
  }
}

}  // namespace
}  // namespace edgeseg

using namespace edgeseg;

// The mean over time of every score, float32 NCHW whatever the scores are.
// Grid: (ceil(width / 32), ceil(height / 4)) of the scores; block: (32, 4), one cell a thread.
// Layouts: scores at any strides (see LogitsParams); tensor float32 or uint8 at any strides; cells and mean dense.
// Bounds: threads beside the cells return; padded channels are not read.
// Bytes: each pixel of the tensor and each score is read once; cells and means are read and written once, a warp's side
// by side.
extern "C" __global__ void edgeseg_smooth(const __grid_constant__ SmoothParams params) {
  const Spot at = spot_of_thread(1);
  if (at.x >= params.logits.width || at.y >= params.logits.height) return;
  if (params.logits.type == static_cast<int>(LogitType::float32))
    steady<LogitType::float32>(params, at.y, at.x);
  else if (params.logits.type == static_cast<int>(LogitType::float16))
    steady<LogitType::float16>(params, at.y, at.x);
  else
    steady<LogitType::int8>(params, at.y, at.x);
}
EDGESEG_KERNEL(smooth, SmoothParams)

// Reading scores of any type and strides, and the bilinear values between four of them. Knows no kernel.
//
// The C++ plan copies rows of clean float32 first (postprocess_stage.cpp); here every read converts, for the caches
// hold what neighbours read again.
#pragma once

#include "launch.h"
#include "pixel_math.h"
#include "postprocess.h"

namespace edgeseg {

constexpr float kBelowAll = -1.5f * kLogitLimit;  // lies below what four clean logits can make

template <LogitType type>
EDGESEG_PIXEL float logit_at(const LogitsParams& logits, long long offset) {
  const char* at = logits.data + offset;
  if (type == LogitType::float32) return clean_logit(read_only(reinterpret_cast<const float*>(at)));
  if (type == LogitType::float16)
    return clean_logit(half_to_float(read_only(reinterpret_cast<const unsigned short*>(at))));
  return clean_logit(logits.scale * static_cast<float>(read_only(reinterpret_cast<const signed char*>(at))));
}

// One class stands second, behind its threshold.
EDGESEG_PIXEL int classes_of(const LogitsParams& logits) { return logits.channels == 1 ? 2 : logits.channels; }
EDGESEG_PIXEL bool is_threshold(const LogitsParams& logits, int c) { return logits.channels == 1 && c == 0; }
EDGESEG_PIXEL long long plane_of(const LogitsParams& logits, int c) {
  return (logits.channels == 1 ? 0 : c) * logits.channel;
}

// The rows and columns of the four logits around a cell. Nearest looks at the first one alone.
struct Cell {
  int row, below, column, right;
};

EDGESEG_PIXEL Cell cell_at(const LogitsParams& logits, int row, int column) {
  const int below = row + 1 < logits.height ? row + 1 : row, right = column + 1 < logits.width ? column + 1 : column;
  return logits.is_nearest ? Cell{row, row, column, column} : Cell{row, below, column, right};
}

struct Corners {
  float top_left, top_right, bottom_left, bottom_right;
};

template <LogitType type>
EDGESEG_PIXEL Corners corners_of(const LogitsParams& logits, const Cell& cell, int c) {
  const float limit = logits.threshold;
  if (is_threshold(logits, c)) return {limit, limit, limit, limit};
  const long long plane = plane_of(logits, c), top = plane + cell.row * logits.row;
  const long long bottom = plane + cell.below * logits.row;
  const long long left = cell.column * logits.column, right = cell.right * logits.column;
  return {logit_at<type>(logits, top + left), logit_at<type>(logits, top + right),
          logit_at<type>(logits, bottom + left), logit_at<type>(logits, bottom + right)};
}

EDGESEG_PIXEL float lower(float a, float b) { return a < b ? a : b; }
EDGESEG_PIXEL float upper(float a, float b) { return a > b ? a : b; }
EDGESEG_PIXEL float lowest(const Corners& c) {
  return lower(lower(c.top_left, c.bottom_left), lower(c.top_right, c.bottom_right));
}
EDGESEG_PIXEL float highest(const Corners& c) {
  return upper(upper(c.top_left, c.bottom_left), upper(c.top_right, c.bottom_right));
}
EDGESEG_PIXEL float value_in(const Corners& c, float row_weight, float column_weight) {
  return bilinear(c.top_left, c.top_right, c.bottom_left, c.bottom_right, row_weight, column_weight);
}

}  // namespace edgeseg

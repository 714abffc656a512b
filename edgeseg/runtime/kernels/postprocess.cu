// Scores to a mask and its confidence; the mask is equal to the bit to imaging/native/postprocess*.cpp.
//
// The arithmetic is pixel_math.h's and in the same order; why neither the corner rule nor a dropped class can change a
// pixel is proved in postprocess_cells.cpp.
#include "postprocess.h"

#include "launch.h"
#include "pixel_math.h"
#include "scores.h"
#include "sixteen.h"

namespace edgeseg {
namespace {

constexpr int kPart = 8;  // pixels that are interpolated together: what registers hold without spills

// The winner at one logit. Where logits are interpolated, only if it wins by more than their rounding.
template <LogitType type>
EDGESEG_PIXEL int label_at(const LogitsParams& logits, int row, int column) {
  const int first = logits.ignored == 0 ? 1 : 0;
  const long long at = row * logits.row + column * logits.column;
  float best = is_threshold(logits, first) ? logits.threshold : logit_at<type>(logits, plane_of(logits, first) + at);
  float below = -kLogitLimit;  // the largest of the classes before the winner
  int label = first;
  for (int c = first + 1; c < classes_of(logits); ++c) {
    if (c == logits.ignored) continue;
    const float value = logit_at<type>(logits, plane_of(logits, c) + at);
    if (!beats(value, best)) continue;
    below = best;
    best = value;
    label = c;
  }
  const bool is_clear = logits.is_nearest || label == first || least_of(best) > most_of(below);
  return is_clear ? label : kMixed;
}

EDGESEG_PIXEL unsigned agreed(const MaskParams& params, const Cell& cell) {
  const unsigned char* top = params.labels + static_cast<long long>(cell.row) * params.logits.width;
  const unsigned char* bottom = params.labels + static_cast<long long>(cell.below) * params.logits.width;
  const unsigned label = read_only(top + cell.column), right = read_only(top + cell.right);
  const unsigned below = read_only(bottom + cell.column), opposite = read_only(bottom + cell.right);
  const bool agree = label == right && label == below && label == opposite;
  return agree ? label : static_cast<unsigned>(kMixed);
}

// kPart pixels of a row. All loops over them are unrolled: an index that is not constant would move them to memory.
struct Part {
  int cells[kPart];
  float weights[kPart], best[kPart];
  unsigned labels[kPart];
};

EDGESEG_PIXEL Part part_at(const GridParams& grid, int x, unsigned outside) {
  Part part;
#pragma unroll
  for (int i = 0; i < kPart; ++i) {
    part.cells[i] = read_only(grid.x_cell + x + i);
    part.weights[i] = read_only(grid.x_weight + x + i);
    part.labels[i] = outside;
  }
  return part;
}

// The part's next cell after `cell`, -1 after the last.
EDGESEG_PIXEL int next_cell(const Part& part, int cell) {
  int next = -1;
#pragma unroll
  for (int i = kPart - 1; i >= 0; --i)
    if (part.cells[i] > cell) next = part.cells[i];
  return next;
}

// The best class of the part's pixels in one cell. A class whose highest corner is clearly below another's lowest one
// wins nowhere in the cell.
template <LogitType type>
EDGESEG_PIXEL void interpolate(const LogitsParams& logits, const Cell& cell, float row_weight, Part& part) {
  const int classes = classes_of(logits);
  float floor = -kLogitLimit;
  for (int c = 0; c < classes; ++c)
    if (c != logits.ignored) floor = upper(floor, lowest(corners_of<type>(logits, cell, c)));
  const float bar = least_of(floor);
#pragma unroll
  for (int i = 0; i < kPart; ++i) part.best[i] = kBelowAll;
  for (int c = 0; c < classes; ++c) {
    if (c == logits.ignored) continue;
    const Corners corners = corners_of<type>(logits, cell, c);
    if (most_of(highest(corners)) < bar) continue;
#pragma unroll
    for (int i = 0; i < kPart; ++i) {
      const float value = value_in(corners, row_weight, part.weights[i]);
      const bool wins = part.cells[i] == cell.column && beats(value, part.best[i]);
      part.best[i] = wins ? value : part.best[i];
      part.labels[i] = wins ? static_cast<unsigned>(c) : part.labels[i];
    }
  }
}

EDGESEG_PIXEL void fill_cell(int column, unsigned label, Part& part) {
#pragma unroll
  for (int i = 0; i < kPart; ++i) part.labels[i] = part.cells[i] == column ? label : part.labels[i];
}

template <LogitType type>
EDGESEG_PIXEL Part painted(const MaskParams& params, int x, int row, float row_weight) {
  Part part = part_at(params.grid, x, static_cast<unsigned>(params.outside));
  for (int column = next_cell(part, -1); column >= 0; column = next_cell(part, column)) {
    const Cell cell = cell_at(params.logits, row, column);
    const unsigned label = agreed(params, cell);
    if (label != kMixed)
      fill_cell(column, label, part);
    else
      interpolate<type>(params.logits, cell, row_weight, part);
  }
  return part;
}

EDGESEG_PIXEL unsigned word_of(const Part& part, int from) {
  return part.labels[from] | part.labels[from + 1] << 8 | part.labels[from + 2] << 16 | part.labels[from + 3] << 24;
}

// Words move down by two for each part, so that none is reached by an index.
template <LogitType type>
EDGESEG_PIXEL Sixteen mixed_pixels(const MaskParams& params, int x, int row, float row_weight) {
  Sixteen pixels = {};
#pragma unroll 1
  for (int begin = 0; begin < kPixels; begin += kPart) {
    const Part part = painted<type>(params, x + begin, row, row_weight);
    pixels = {{pixels.words[2], pixels.words[3], word_of(part, 0), word_of(part, 4)}};
  }
  return pixels;
}

// The label of sixteen pixels in one cell with agreeing corners, or of a row that the net has not seen; else kMixed.
EDGESEG_PIXEL unsigned common_label(const MaskParams& params, int x, int row, bool& is_common) {
  is_common = row < 0;
  if (is_common) return static_cast<unsigned>(params.outside);
  const int first = read_only(params.grid.x_cell + x), last = read_only(params.grid.x_cell + x + kPixels - 1);
  if (first < 0 || first != last) return kMixed;
  const unsigned label = agreed(params, cell_at(params.logits, row, first));
  is_common = label != kMixed;
  return label;
}

template <LogitType type>
EDGESEG_PIXEL void paint(const MaskParams& params, const Spot& at) {
  const int row = params.grid.y_cell[at.y];
  bool is_common;
  const unsigned label = common_label(params, at.x, row, is_common);
  const Sixteen pixels = is_common ? filled_with(label)
                                   : mixed_pixels<type>(params, at.x, row, params.grid.y_weight[at.y]);
  store(params.mask, params.mask_pitch, at.x, at.y, params.grid.width, pixels);
}

// The lowest that a class's highest corner may be for it to count in a cell: as the C++ plan's, see `faint`.
template <LogitType type>
EDGESEG_PIXEL float bar_of(const ConfidenceParams& params, const Cell& cell) {
  const LogitsParams& logits = params.logits;
  float floor = -kLogitLimit;
  for (int c = 0; c < logits.channels; ++c)
    if (c != logits.ignored) floor = upper(floor, lowest(corners_of<type>(logits, cell, c)));
  return least_of(floor) - params.faint;
}

// What `pixel(i, value)` makes of every class that counts, for each pixel of the part that lies in the cell.
template <LogitType type, typename Pixel>
EDGESEG_PIXEL void for_classes(const LogitsParams& logits, const Cell& cell, float row_weight, float bar,
                               const Part& part, const Pixel& pixel) {
  for (int c = 0; c < logits.channels; ++c) {
    if (c == logits.ignored) continue;
    const Corners corners = corners_of<type>(logits, cell, c);
    if (most_of(highest(corners)) < bar) continue;
#pragma unroll
    for (int i = 0; i < kPart; ++i)
      if (part.cells[i] == cell.column) pixel(i, value_in(corners, row_weight, part.weights[i]));
  }
}

// The part's pixels in one cell, of two or more classes.
template <LogitType type>
EDGESEG_PIXEL void weigh_classes(const ConfidenceParams& params, const Cell& cell, float row_weight, Part& part) {
  const float bar = bar_of<type>(params, cell);
#pragma unroll
  for (int i = 0; i < kPart; ++i) part.best[i] = kBelowAll;
  for_classes<type>(params.logits, cell, row_weight, bar, part,
                    [&](int i, float value) { part.best[i] = upper(value, part.best[i]); });
  const bool is_softmax = static_cast<Confidence>(params.kind) == Confidence::softmax;
  float sums[kPart] = {};
  if (is_softmax)
    for_classes<type>(params.logits, cell, row_weight, bar, part,
                      [&](int i, float value) { sums[i] += exp_of_nonpositive(value - part.best[i]); });
#pragma unroll
  for (int i = 0; i < kPart; ++i)
    if (part.cells[i] == cell.column) part.labels[i] = is_softmax ? confidence_of(sums[i]) : level_of(part.best[i]);
}

// The same where one class stands against its threshold.
template <LogitType type>
EDGESEG_PIXEL void weigh_one(const ConfidenceParams& params, const Cell& cell, float row_weight, Part& part) {
  const float limit = params.logits.threshold;
  const Corners corners = corners_of<type>(params.logits, cell, 1), limits = {limit, limit, limit, limit};
  const bool is_probability = static_cast<Confidence>(params.kind) == Confidence::one_probability;
#pragma unroll
  for (int i = 0; i < kPart; ++i)
    if (part.cells[i] == cell.column)
      part.labels[i] = level_of_one(value_in(corners, row_weight, part.weights[i]),
                                    value_in(limits, row_weight, part.weights[i]), is_probability);
}

template <LogitType type>
EDGESEG_PIXEL Part weighed(const ConfidenceParams& params, int x, int row, float row_weight) {
  Part part = part_at(params.grid, x, 0);
  for (int column = next_cell(part, -1); column >= 0; column = next_cell(part, column)) {
    const Cell cell = cell_at(params.logits, row, column);
    if (params.logits.channels == 1)
      weigh_one<type>(params, cell, row_weight, part);
    else
      weigh_classes<type>(params, cell, row_weight, part);
  }
  return part;
}

template <LogitType type>
EDGESEG_PIXEL void weigh(const ConfidenceParams& params, const Spot& at) {
  const int row = params.grid.y_cell[at.y];
  Sixteen pixels = filled_with(0);
#pragma unroll 1
  for (int begin = 0; begin < kPixels && row >= 0; begin += kPart) {
    const Part part = weighed<type>(params, at.x + begin, row, params.grid.y_weight[at.y]);
    pixels = {{pixels.words[2], pixels.words[3], word_of(part, 0), word_of(part, 4)}};
  }
  store(params.confidence, params.confidence_pitch, at.x, at.y, params.grid.width, pixels);
}

}  // namespace
}  // namespace edgeseg

using namespace edgeseg;

// The winner of every logit; where logits are interpolated, 255 if it wins by no more than their rounding.
// Grid: (ceil(width / 32), ceil(height / 4)) of the logits; block: (32, 4), one logit a thread.
// Layouts: scores float32, float16 or int8 at any strides (see LogitsParams); labels uint8, dense.
// Bounds: threads beside the logits return; padded channels are not read.
// Bytes: every score is read once, a warp's side by side in NCHW; one is written a logit.
extern "C" __global__ void edgeseg_corners(const __grid_constant__ CornersParams params) {
  const Spot at = spot_of_thread(1);
  const LogitsParams& logits = params.logits;
  if (at.x >= logits.width || at.y >= logits.height) return;
  int label;
  if (logits.type == static_cast<int>(LogitType::float32))
    label = label_at<LogitType::float32>(logits, at.y, at.x);
  else if (logits.type == static_cast<int>(LogitType::float16))
    label = label_at<LogitType::float16>(logits, at.y, at.x);
  else
    label = label_at<LogitType::int8>(logits, at.y, at.x);
  params.labels[static_cast<long long>(at.y) * logits.width + at.x] = static_cast<unsigned char>(label);
}
EDGESEG_KERNEL(corners, CornersParams)

// The mask, from the scores and the labels of edgeseg_corners.
// Grid: (ceil(width / 128), ceil(height / 16)) of the mask; block: (8, 16), sixteen pixels of a row a thread.
// Layouts: scores as above; tables as GridParams tells; mask uint8 rows of any pitch.
// Bounds: those of sixteen.h; scores and labels are read where a cell of the tables lies, and at its next neighbours.
// Bytes: one is written a pixel, sixteen at once where aligned. Where corners agree, twelve are read for sixteen
// pixels; else the tables and, for every cell of eight pixels, four corners of every class twice, through the caches.
extern "C" __global__ void edgeseg_mask(const __grid_constant__ MaskParams params) {
  const Spot at = spot_of_thread(kPixels);
  if (at.x >= params.grid.width || at.y >= params.grid.height) return;
  if (params.logits.type == static_cast<int>(LogitType::float32))
    paint<LogitType::float32>(params, at);
  else if (params.logits.type == static_cast<int>(LogitType::float16))
    paint<LogitType::float16>(params, at);
  else
    paint<LogitType::int8>(params, at);
}
EDGESEG_KERNEL(mask, MaskParams)

// The winner's confidence, within 1 of the C++ plan's; 0 outside of the window.
// Grid: (ceil(width / 128), ceil(height / 16)) of the mask; block: (8, 16), sixteen pixels of a row a thread.
// Layouts: as of edgeseg_mask.
// Bounds: as of edgeseg_mask; labels are not read.
// Bytes: one is written a pixel, sixteen at once where aligned; for every cell of eight pixels four corners of every
// class are read twice, three times for a softmax, through the caches.
extern "C" __global__ void edgeseg_confidence(const __grid_constant__ ConfidenceParams params) {
  const Spot at = spot_of_thread(kPixels);
  if (at.x >= params.grid.width || at.y >= params.grid.height) return;
  if (params.logits.type == static_cast<int>(LogitType::float32))
    weigh<LogitType::float32>(params, at);
  else if (params.logits.type == static_cast<int>(LogitType::float16))
    weigh<LogitType::float16>(params, at);
  else
    weigh<LogitType::int8>(params, at);
}
EDGESEG_KERNEL(confidence, ConfidenceParams)

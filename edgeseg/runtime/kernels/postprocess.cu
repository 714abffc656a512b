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

// e^(value - best) of every class, the winner's 1 included.
template <LogitType type>
EDGESEG_PIXEL unsigned softmax_in(const LogitsParams& logits, const Cell& cell, float row_weight, float column_weight,
                                  float best) {
  float sum = 0.0f;
  for (int c = 0; c < classes_of(logits); ++c) {
    if (c == logits.ignored) continue;
    sum += exp_of_nonpositive(value_in(corners_of<type>(logits, cell, c), row_weight, column_weight) - best);
  }
  return confidence_of(sum);
}

template <LogitType type>
EDGESEG_PIXEL unsigned confidence_in(const ConfidenceParams& params, const Cell& cell, float row_weight,
                                     float column_weight) {
  const LogitsParams& logits = params.logits;
  float best = kBelowAll, value = best;
  for (int c = 0; c < classes_of(logits); ++c) {
    if (c == logits.ignored) continue;
    value = value_in(corners_of<type>(logits, cell, c), row_weight, column_weight);
    best = upper(value, best);
  }
  const Confidence kind = static_cast<Confidence>(params.kind);
  if (kind == Confidence::softmax) return softmax_in<type>(logits, cell, row_weight, column_weight, best);
  if (kind == Confidence::probability) return level_of(best);
  const float limit = logits.threshold;
  const float threshold = value_in({limit, limit, limit, limit}, row_weight, column_weight);
  return level_of_one(value, threshold, kind == Confidence::one_probability);
}

template <LogitType type>
EDGESEG_PIXEL void weigh(const ConfidenceParams& params, const Spot& at) {
  const int row = params.grid.y_cell[at.y];
  Sixteen pixels = filled_with(0);
#pragma unroll 1
  for (int i = 0; i < kPixels && row >= 0; ++i) {
    const int column = params.grid.x_cell[at.x + i];
    unsigned level = 0;
    if (column >= 0)
      level = confidence_in<type>(params, cell_at(params.logits, row, column), params.grid.y_weight[at.y],
                                  params.grid.x_weight[at.x + i]);
    // All bytes move down by one: no word is reached by an index.
    unsigned* words = pixels.words;
    pixels = {{words[0] >> 8 | words[1] << 24, words[1] >> 8 | words[2] << 24, words[2] >> 8 | words[3] << 24,
               words[3] >> 8 | level << 24}};
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

// The winner's confidence, within 1 of the C++ plan's, which leaves faint classes out; 0 outside of the window.
// Grid: (ceil(width / 128), ceil(height / 16)) of the mask; block: (8, 16), sixteen pixels of a row a thread.
// Layouts: as of edgeseg_mask.
// Bounds: as of edgeseg_mask; labels are not read.
// Bytes: one is written a pixel, sixteen at once where aligned; four corners of every class are read for each pixel,
// twice for a softmax, through the caches.
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

// What a mask plan makes once: checks, coordinate tables, scratch.
#include <cmath>
#include <stdexcept>
#include <string>

#include "postprocess.h"

namespace edgeseg {
namespace {

[[noreturn]] void refuse(const std::string& why) { throw std::invalid_argument(why); }

std::string text(int value) { return std::to_string(value); }
std::string text(float value) { return std::to_string(value); }

void check_side(const char* what, int value) {
  if (value < 1 || value > kMaxSide) refuse(std::string(what) + " is " + text(value) + ": give 1 to " + text(kMaxSide));
}

void check_region(const char* axis, float offset, float extent) {
  const bool is_number = std::isfinite(offset) && std::isfinite(extent);
  const float limit = 16.0f * kMaxSide;
  if (!is_number || std::fabs(offset) > limit || extent > limit || extent <= 0.0f)
    refuse(std::string("region along ") + axis + " begins at " + text(offset) + " and is " + text(extent) +
           " pixels long: give a finite place and a length above 0, up to " + text(static_cast<int>(limit)));
}

void check_window(const char* axis, int begin, int length, int mask) {
  if (begin < 0 || length < 1 || begin > mask - length)
    refuse(std::string("window along ") + axis + " begins at " + text(begin) + " and is " + text(length) +
           " pixels long: it does not fit " + text(mask));
}

const MaskSetup& checked(const MaskSetup& s) {
  if (s.channels < 1 || s.channels > kMaxClasses)
    refuse(text(s.channels) + " classes: 1 to " + text(kMaxClasses) + " fit a uint8 mask");
  check_side("logits height", s.logits_height);
  check_side("logits width", s.logits_width);
  check_side("mask height", s.mask_height);
  check_side("mask width", s.mask_width);
  check_side("grid height", s.grid_height);
  check_side("grid width", s.grid_width);
  check_window("x", s.window_x, s.window_width, s.mask_width);
  check_window("y", s.window_y, s.window_height, s.mask_height);
  check_region("x", s.region_x, s.region_width);
  check_region("y", s.region_y, s.region_height);
  if (s.type == LogitType::int8 && !(s.scale > 0.0f && std::isfinite(s.scale)))
    refuse("scale is " + text(s.scale) + ": give a finite number above 0");
  if (s.outside < 0 || s.outside >= kLabels) refuse("outside is " + text(s.outside) + ": give 0 to 255");
  if (s.ignored < -1 || s.ignored >= s.channels || (s.ignored >= 0 && s.channels == 1))
    refuse("ignored class " + text(s.ignored) + " does not fit " + text(s.channels) + " classes");
  if (!(std::fabs(s.threshold) <= kLogitLimit))  // false for a NaN too
    refuse("threshold is " + text(s.threshold) + ": give a finite number");
  if (s.threads < 1 || s.threads > 256) refuse(text(s.threads) + " threads: give 1 to 256");
  return s;
}

// One axis of a setup.
struct Line {
  int logits, grid;
  float region, extent;
  int window_begin, window, pixels;
};

// Where pixel i of the window lies among the logits; nearest takes the grid's pixel under the middle of it first.
float position_of(const MaskSetup& s, const Line& line, float scale, int i) {
  const float middle = line.extent / static_cast<float>(line.window) * (static_cast<float>(i) + 0.5f) + line.region;
  if (s.rounding == Rounding::none) return source_of(s.rule, scale, middle - 0.5f);
  const float last = static_cast<float>(line.grid - 1);
  const float above = middle > 0.0f ? middle : 0.0f, index = std::floor(above < last ? above : last);
  return static_cast<float>(nearest_of(s.rounding, source_of(s.rule, scale, index)));
}

// Positions never fall along the axis, so the pixels of a cell stand together and `begin` ascends.
Axis make_axis(const MaskSetup& s, const Line& line) {
  Axis axis;
  axis.begin.assign(static_cast<std::size_t>(line.logits) + 1, line.window_begin + line.window);
  axis.weight.assign(static_cast<std::size_t>(line.pixels) + kLanes, 0.0f);
  const float scale = scale_of(s.rule, line.logits, line.grid), last = static_cast<float>(line.logits - 1);
  int cell = -1;
  for (int i = 0; i < line.window; ++i) {
    const float position = position_of(s, line, scale, i);
    const int here = static_cast<int>(position < last ? position : last);
    const float weight = s.rounding == Rounding::none ? position - static_cast<float>(here) : 0.0f;
    axis.weight[static_cast<std::size_t>(line.window_begin + i)] = weight < 1.0f ? weight : 1.0f;
    while (cell < here) axis.begin[static_cast<std::size_t>(++cell)] = line.window_begin + i;
  }
  return axis;
}

Line across(const MaskSetup& s) {
  return {s.logits_width, s.grid_width, s.region_x, s.region_width, s.window_x, s.window_width, s.mask_width};
}

Line down(const MaskSetup& s) {
  return {s.logits_height, s.grid_height, s.region_y, s.region_height, s.window_y, s.window_height, s.mask_height};
}

// A logit that is compared with 0 is the softmax of two classes, which leaves clear cells out.
Confidence confidence_of(const MaskSetup& s) {
  if (!s.has_confidence) return Confidence::none;
  if (s.channels > 1) return s.has_probabilities ? Confidence::probability : Confidence::softmax;
  if (s.has_probabilities) return Confidence::one_probability;
  return s.threshold == 0.0f ? Confidence::softmax : Confidence::one_logit;
}

}  // namespace

MaskPlan::MaskPlan(const MaskSetup& setup)
    : setup_(checked(setup)),
      classes_(setup.channels == 1 ? 2 : setup.channels),
      words_((classes_ + kWordBits - 1) / kWordBits),
      confidence_(confidence_of(setup)),
      faint_(kFaint + std::log(static_cast<float>(classes_))),
      pitch_((setup.logits_width / kLanes + 2) * kLanes),
      x_(make_axis(setup, across(setup))),
      y_(make_axis(setup, down(setup))),
      bands_(setup.threads) {
  // About four tasks a thread: rows full of borders even out, and few rows are staged twice.
  rows_a_task_ = (setup.logits_height + 4 * setup.threads - 1) / (4 * setup.threads);
  const std::size_t pitch = static_cast<std::size_t>(pitch_), classes = static_cast<std::size_t>(classes_);
  const std::size_t row = static_cast<std::size_t>(setup.mask_width) + kLanes;
  scratch_.resize(static_cast<std::size_t>(setup.threads));
  for (Scratch& one : scratch_) {
    one.stage.assign(2 * classes * pitch, setup.channels == 1 ? setup.threshold : 0.0f);
    for (int parity = 0; parity < 2; ++parity) {
      one.best[parity].assign(pitch, 0);
      one.clear[parity].assign(pitch, 0);
    }
    one.cells.assign(pitch, 0);
    one.sets.assign(static_cast<std::size_t>(words_) * pitch, 3);  // the two of one class and its threshold
    one.row_template.assign(row, static_cast<std::uint8_t>(setup.outside));
    one.confidence_template.assign(row, 0);
    one.top.assign(classes * kExpanded, 0.0f);
    one.bottom.assign(classes * kExpanded, 0.0f);
    one.ids.assign(classes, 0);
    one.areas.assign(kLabels, 0);
  }
}

}  // namespace edgeseg

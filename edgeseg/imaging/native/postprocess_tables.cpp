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

void check_region(const char* axis, float offset, float extent, Rule rule, int window) {
  const bool is_number = std::isfinite(offset) && std::isfinite(extent);
  const float limit = 16.0f * kMaxSide;
  if (!is_number || std::fabs(offset) > limit || extent > limit || extent <= 0.0f)
    refuse(std::string("region along ") + axis + " begins at " + text(offset) + " and is " + text(extent) +
           " logits long: give a finite place and a length above 0, up to " + text(static_cast<int>(limit)));
  if (rule == Rule::align_corners && extent < 1.0f && window > 1)
    refuse(std::string("region along ") + axis + " is " + text(extent) + " logits long: align_corners needs 1 or more");
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
  check_window("x", s.window_x, s.window_width, s.mask_width);
  check_window("y", s.window_y, s.window_height, s.mask_height);
  check_region("x", s.region_x, s.region_width, s.rule, s.window_width);
  check_region("y", s.region_y, s.region_height, s.rule, s.window_height);
  if (s.type == LogitType::int8 && !(s.scale > 0.0f && std::isfinite(s.scale)))
    refuse("scale is " + text(s.scale) + ": give a finite number above 0");
  if (s.outside < 0 || s.outside >= kLabels) refuse("outside is " + text(s.outside) + ": give 0 to 255");
  if (s.ignored < -1 || s.ignored >= s.channels || (s.ignored >= 0 && s.channels == 1))
    refuse("ignored class " + text(s.ignored) + " does not fit " + text(s.channels) + " classes");
  if (s.threads < 1 || s.threads > 256) refuse(text(s.threads) + " threads: give 1 to 256");
  return s;
}

// Positions never fall along the axis, so the pixels of a cell stand together and `begin` ascends.
Axis make_axis(Rule rule, int logits, float offset, float extent, int window_begin, int window, int pixels) {
  Axis axis;
  axis.begin.assign(static_cast<std::size_t>(logits) + 1, window_begin + window);
  axis.weight.assign(static_cast<std::size_t>(pixels) + kLanes, 0.0f);
  const float scale = scale_of(rule, extent, window);
  int cell = -1;
  for (int i = 0; i < window; ++i) {
    const float position = source_of(rule, scale, i, offset);
    const float last = static_cast<float>(logits - 1);
    const int here = static_cast<int>(position < last ? position : last);
    const float weight = position - static_cast<float>(here);
    if (rule != Rule::nearest) axis.weight[static_cast<std::size_t>(window_begin + i)] = weight < 1.0f ? weight : 1.0f;
    while (cell < here) axis.begin[static_cast<std::size_t>(++cell)] = window_begin + i;
  }
  return axis;
}

}  // namespace

MaskPlan::MaskPlan(const MaskSetup& setup)
    : setup_(checked(setup)),
      classes_(setup.channels == 1 ? 2 : setup.channels),
      words_((classes_ + kWordBits - 1) / kWordBits),
      faint_(kFaint + std::log(static_cast<float>(classes_))),
      pitch_((setup.logits_width / kLanes + 2) * kLanes),
      x_(make_axis(setup.rule, setup.logits_width, setup.region_x, setup.region_width, setup.window_x,
                   setup.window_width, setup.mask_width)),
      y_(make_axis(setup.rule, setup.logits_height, setup.region_y, setup.region_height, setup.window_y,
                   setup.window_height, setup.mask_height)),
      bands_(setup.threads) {
  // About four tasks a thread: rows full of borders even out, and few rows are staged twice.
  rows_a_task_ = (setup.logits_height + 4 * setup.threads - 1) / (4 * setup.threads);
  const std::size_t pitch = static_cast<std::size_t>(pitch_), classes = static_cast<std::size_t>(classes_);
  const std::size_t row = static_cast<std::size_t>(setup.mask_width) + kLanes;
  scratch_.resize(static_cast<std::size_t>(setup.threads));
  for (Scratch& one : scratch_) {
    one.stage.assign(2 * classes * pitch, 0.0f);
    for (int parity = 0; parity < 2; ++parity) {
      one.best[parity].assign(pitch, 0);
      one.clear[parity].assign(pitch, 0);
    }
    one.cells.assign(pitch, 0);
    one.sets.assign(static_cast<std::size_t>(words_) * pitch, 0);
    one.row_template.assign(row, static_cast<std::uint8_t>(setup.outside));
    one.confidence_template.assign(row, 0);
    one.top.assign(classes * kExpanded, 0.0f);
    one.bottom.assign(classes * kExpanded, 0.0f);
    one.ids.assign(classes, 0);
    one.areas.assign(kLabels, 0);
  }
}

}  // namespace edgeseg

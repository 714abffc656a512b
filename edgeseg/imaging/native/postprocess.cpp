// The run of a mask plan: cell rows are handed to the threads; each is staged, classified, filled and interpolated.
#include "postprocess.h"

#include <algorithm>
#include <cstring>

namespace edgeseg {

void MaskPlan::run(const LogitsView& logits, const MaskTarget& target) {
  std::lock_guard<std::mutex> lock(mutex_);
  const Job job{logits, target};
  next_task_.store(0);
  auto body = [&](int band, int bands) {
    Scratch& scratch = scratch_[static_cast<std::size_t>(band)];
    std::fill(scratch.areas.begin(), scratch.areas.end(), 0);
    fill_outside(job, scratch, band, bands);
    work(job, scratch);
  };
  bands_.run(body);
  if (target.areas == nullptr) return;
  std::fill(target.areas, target.areas + kLabels, 0);
  for (const Scratch& one : scratch_)
    for (int label = 0; label < kLabels; ++label) target.areas[label] += one.areas[static_cast<std::size_t>(label)];
}

// Tasks are taken one after another, so that a thread that the system put aside holds up one task only.
void MaskPlan::work(const Job& job, Scratch& scratch) {
  scratch.stage_row[0] = scratch.stage_row[1] = -1;  // the logits are others than in the last run
  for (;;) {
    const int first = next_task_.fetch_add(1) * rows_a_task_;
    if (first >= setup_.logits_height) return;
    const int end = std::min(first + rows_a_task_, setup_.logits_height);
    for (int row = first; row < end; ++row)
      if (y_.first(row) < y_.first(row + 1)) cell_row(job, scratch, row);
  }
}

void MaskPlan::cell_row(const Job& job, Scratch& scratch, int row) {
  const int y_begin = y_.first(row), y_end = y_.first(row + 1);
  prepare_row(job, scratch, row);
  prepare_row(job, scratch, row_below(row));
  find_cells(scratch, row);
  make_template(scratch, y_end - y_begin);
  const std::size_t width = static_cast<std::size_t>(setup_.mask_width);
  for (int y = y_begin; y < y_end; ++y) {
    std::memcpy(job.target.mask + y * job.target.mask_pitch, scratch.row_template.data(), width);
    if (job.target.confidence != nullptr)
      std::memcpy(job.target.confidence + y * job.target.confidence_pitch, scratch.confidence_template.data(), width);
  }
  paint_mixed(job, scratch, row);
}

// Two rows of logits are at hand, the even and the odd one; the next cell row needs one of them again.
void MaskPlan::prepare_row(const Job& job, Scratch& scratch, int row) {
  const int parity = row & 1;
  if (scratch.stage_row[parity] == row) return;
  scratch.stage_row[parity] = row;
  float* to = scratch.stage.data() + parity * classes_ * pitch_;
  const char* from = job.logits.data + row * job.logits.row;
  // One class is a threshold: the better of a class that is the threshold everywhere (it stands there already) and it.
  if (setup_.channels == 1) to += pitch_;
  for (int c = 0; c < setup_.channels; ++c, to += pitch_)
    stage_row(setup_.type, setup_.scale, from + c * job.logits.channel, job.logits.column, setup_.logits_width, to);
  label_row(staged(scratch, row), setup_.logits_width, scratch.best[parity].data(), scratch.clear[parity].data());
}

// The far row of a cell row; the last row is its own, and nearest looks at one row only.
int MaskPlan::row_below(int row) const {
  return is_nearest() ? row : std::min(row + 1, setup_.logits_height - 1);
}

StagedRow MaskPlan::staged(const Scratch& scratch, int row) const {
  return {scratch.stage.data() + (row & 1) * classes_ * pitch_, pitch_, classes_, setup_.ignored};
}

void MaskPlan::find_cells(Scratch& scratch, int row) {
  const int below = row_below(row), width = setup_.logits_width;
  if (confidence_ > Confidence::softmax)  // every pixel has its own
    std::memset(scratch.cells.data(), kMixed, static_cast<std::size_t>(width));
  else if (is_nearest())
    std::memcpy(scratch.cells.data(), scratch.best[row & 1].data(), static_cast<std::size_t>(width));
  else
    agree_cells(scratch.clear[row & 1].data(), scratch.clear[below & 1].data(), width, scratch.cells.data());
  if (is_nearest() && confidence_ == Confidence::none) return;
  if (confidence_ > Confidence::probability) return;  // both of the two classes count: their sets are made once
  const bool is_softmax = confidence_ == Confidence::softmax;
  find_candidates(staged(scratch, row), staged(scratch, below), width, scratch.cells.data(), is_softmax ? faint_ : 0.0f,
                  scratch.sets.data(), pitch_);
  if (is_softmax) settle_confident(scratch);
}

// With a softmax to tell, a cell is settled only where every other class is too faint to matter.
void MaskPlan::settle_confident(Scratch& scratch) {
  for (int cell = 0; cell < setup_.logits_width; ++cell) {
    int kept = 0;
    for (int word = 0; word < words_; ++word) kept += __builtin_popcount(scratch.sets.data()[word * pitch_ + cell]);
    if (kept > 1) scratch.cells[static_cast<std::size_t>(cell)] = kMixed;
  }
}

void MaskPlan::make_template(Scratch& scratch, int rows) {
  const int width = setup_.logits_width;
  const std::uint8_t* cells = scratch.cells.data();
  for (int cell = 0; cell < width;) {
    const std::uint8_t label = cells[cell];
    int end = cell + 1;
    while (end < width && cells[end] == label) ++end;
    const int begin = x_.first(cell);
    const std::size_t pixels = static_cast<std::size_t>(x_.first(end) - begin);
    cell = end;
    if (label == kMixed) continue;
    std::memset(scratch.row_template.data() + begin, label, pixels);
    if (setup_.has_confidence) std::memset(scratch.confidence_template.data() + begin, 255, pixels);
    scratch.areas[label] += static_cast<std::int64_t>(pixels) * rows;
  }
  const int beside = setup_.mask_width - setup_.window_width;
  scratch.areas[static_cast<std::size_t>(setup_.outside)] += static_cast<std::int64_t>(beside) * rows;
}

void MaskPlan::paint_mixed(const Job& job, Scratch& scratch, int row) {
  const int width = setup_.logits_width;
  const std::uint8_t* cells = scratch.cells.data();
  for (int cell = 0; cell < width;) {
    const void* found = std::memchr(cells + cell, kMixed, static_cast<std::size_t>(width - cell));
    if (found == nullptr) return;
    cell = static_cast<int>(static_cast<const std::uint8_t*>(found) - cells);
    int last = cell;
    while (last + 1 < width && cells[last + 1] == kMixed) ++last;
    int x = x_.first(cell);
    const int end = x_.first(last + 1);
    while (x < end) {
      while (x_.first(cell + 1) <= x) ++cell;
      const int pixels = next_block(x, cell, last);
      paint_one(job, scratch, row, x, pixels, cell);
      x += pixels;
    }
    cell = last + 1;
  }
}

// How many pixels from x on, in `cell`, the next block takes: whole cells where they fit, for fewer classes are kept in
// one cell than in two; a piece of a cell rather than less than half a block.
int MaskPlan::next_block(int x, int cell, int last_cell) const {
  const int end = x_.begin[static_cast<std::size_t>(last_cell) + 1];
  int pixels = 0;
  for (int one = cell; one <= last_cell; ++one) {
    const int with = x_.first(one + 1) - x;
    if (with > kLanes) break;
    pixels = with;
  }
  return pixels >= kLanes / 2 ? pixels : std::min(kLanes, end - x);
}

void MaskPlan::paint_one(const Job& job, Scratch& scratch, int row, int x, int width, int cell) {
  int last = cell, count = 0, *ids = scratch.ids.data();
  while (x_.first(last + 1) < x + width) ++last;
  for (int word = 0; word < words_; ++word) {
    const std::uint32_t* sets = scratch.sets.data() + word * pitch_;
    std::uint32_t set = 0;
    for (int one = cell; one <= last; ++one) set |= sets[one];
    for (; set != 0; set &= set - 1) ids[count++] = word * kWordBits + __builtin_ctz(set);
  }
  for (int one = cell; one <= last; ++one) {
    const int offset = std::max(x_.first(one) - x, 0);
    expand_cell(staged(scratch, row), staged(scratch, row_below(row)), one, ids, count, x_.weight.data() + x, offset,
                scratch.top.data(), scratch.bottom.data());
  }
  const MaskTarget& to = job.target;
  const Block block{x, width, y_.first(row), y_.first(row + 1), y_.weight.data(), to.mask, to.mask_pitch,
                    scratch.row_template.data(), setup_.mask_width, to.confidence, to.confidence_pitch};
  paint_block(block, confidence_, ids, count, scratch.top.data(), scratch.bottom.data());
  if (to.areas == nullptr) return;
  for (int y = block.y_begin; y < block.y_end; ++y)
    for (int i = 0; i < width; ++i) ++scratch.areas[to.mask[y * to.mask_pitch + x + i]];
}

void MaskPlan::fill_outside(const Job& job, Scratch& scratch, int band, int bands) {
  const int window_end = setup_.window_y + setup_.window_height;
  const std::size_t width = static_cast<std::size_t>(setup_.mask_width);
  for (int y = band; y < setup_.mask_height; y += bands) {
    if (y >= setup_.window_y && y < window_end) continue;
    std::memset(job.target.mask + y * job.target.mask_pitch, setup_.outside, width);
    if (job.target.confidence != nullptr)
      std::memset(job.target.confidence + y * job.target.confidence_pitch, 0, width);
    scratch.areas[static_cast<std::size_t>(setup_.outside)] += setup_.mask_width;
  }
}

}  // namespace edgeseg

// The mask plan: everything of one (logits, mask, rule, options) that can be made once, and the run over it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "pixel_math.h"
#include "postprocess_cells.h"
#include "threads.h"

namespace edgeseg {

constexpr int kMaxClasses = 255;
constexpr int kMaxSide = 1 << 16;  // pixels; a float holds every position below it with 7 bits to spare
constexpr int kLabels = 256;

struct MaskSetup {
  int channels, logits_height, logits_width;
  LogitType type;
  float scale;  // of int8 logits
  int mask_height, mask_width;
  // The rule enlarges the logits to the grid. The window of the mask shows the region of the grid, in its pixels: it has
  // the same size and place unless the mask is another picture than the grid. Outside the window is `outside`.
  Rule rule;
  Rounding rounding;
  int grid_height, grid_width;
  float region_x, region_y, region_width, region_height;
  int window_x, window_y, window_width, window_height;
  int outside;
  int ignored;  // the class that never wins, -1 for none
  float threshold;  // of one class
  bool has_probabilities;  // instead of logits; changes the confidence only
  bool has_confidence;
  int threads;
};

// Logits of one picture; strides in bytes, of any sign.
struct LogitsView {
  const char* data;
  std::ptrdiff_t channel, row, column;
};

struct MaskTarget {
  std::uint8_t* mask;
  std::ptrdiff_t mask_pitch;
  std::uint8_t* confidence;  // nullptr without
  std::ptrdiff_t confidence_pitch;
  std::int64_t* areas;  // kLabels counts, nullptr without
};

// Where the pixels of one axis lie among the logits.
struct Axis {
  std::vector<int> begin;     // of cell k: the first pixel at or after it; one more entry ends the last cell
  std::vector<float> weight;  // of pixel i: that of the cell's far side; padded by kLanes

  int first(int cell) const { return begin[static_cast<std::size_t>(cell)]; }
};

// Copies one row of one class into float32, clean; see postprocess_stage.cpp.
void stage_row(LogitType type, float scale, const char* from, std::ptrdiff_t stride, int width, float* to);

class MaskPlan {
 public:
  // Throws std::invalid_argument with the numbers for what cannot be.
  explicit MaskPlan(const MaskSetup& setup);

  // Allocates nothing; one run at a time, a second caller waits. The views must fit the setup: see bind_postprocess.
  void run(const LogitsView& logits, const MaskTarget& target);

  const MaskSetup& setup() const { return setup_; }
  const Axis& x_axis() const { return x_; }
  const Axis& y_axis() const { return y_; }
  int classes() const { return classes_; }  // one class counts as two: its threshold stands before it
  Confidence confidence() const { return confidence_; }
  float faint() const { return faint_; }
  int threads() const { return bands_.count(); }

 private:
  struct Scratch;                // of one thread
  struct Job;                    // of one run
  using Bytes = std::vector<std::uint8_t>;

  void work(const Job& job, Scratch& scratch);
  void cell_row(const Job& job, Scratch& scratch, int row);
  void prepare_row(const Job& job, Scratch& scratch, int row);
  StagedRow staged(const Scratch& scratch, int row) const;
  int row_below(int row) const;
  void find_cells(Scratch& scratch, int row);
  void settle_confident(Scratch& scratch);
  bool is_nearest() const { return setup_.rounding != Rounding::none; }
  void make_template(Scratch& scratch, int rows);
  void paint_mixed(const Job& job, Scratch& scratch, int row);
  int next_block(int x, int cell, int last_cell) const;
  void paint_one(const Job& job, Scratch& scratch, int row, int x, int width, int cell);
  void fill_outside(const Job& job, Scratch& scratch, int band, int bands);

  MaskSetup setup_;
  int classes_, words_;
  Confidence confidence_;
  float faint_;           // how far below the winner a class may be left out of the confidence
  std::ptrdiff_t pitch_;  // floats of a staged row, and entries of the per-cell tables
  Axis x_, y_;
  int rows_a_task_;
  std::vector<Scratch> scratch_;
  std::atomic<int> next_task_{0};
  std::mutex mutex_;
  Bands bands_;
};

struct MaskPlan::Scratch {
  std::vector<float> stage;  // two rows of logits, by parity
  int stage_row[2];
  Bytes best[2], clear[2], cells, row_template, confidence_template;
  std::vector<std::uint32_t> sets;
  std::vector<float> top, bottom;
  std::vector<int> ids;
  std::vector<std::int64_t> areas;
};

struct MaskPlan::Job {
  LogitsView logits;
  MaskTarget target;
};

}  // namespace edgeseg

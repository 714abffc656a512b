// The inner loops of the mask: corner labels, candidates, blocks of pixels. No allocation, no threads, no checks.
//
// A *cell* is the square between four neighbouring logits, and the mask's pixels that fall into it. Its *corners* are
// column x and x + 1 of a top and a bottom row; the rows are staged, so that column `width` repeats the last one.
#pragma once

#include <cstddef>
#include <cstdint>

#include "pixel_math.h"

namespace edgeseg {

constexpr int kLanes = 16;         // pixels of a block: one AVX-512 register, two of AVX2, four of SSE or NEON
constexpr int kWordBits = 32;      // classes in one word of a candidate set
constexpr int kMaxWords = 8;       // 255 classes

// One row of staged logits: class c begins at values + c * plane. All values are clean (see clean_logit).
struct StagedRow {
  const float* values;
  std::ptrdiff_t plane;
  int classes, ignored;  // ignored: the class that never wins, -1 for none
};

// `best`: the class of every logit. `clear`: the same where it wins by more than rounding, else kMixed.
void label_row(const StagedRow& row, int width, std::uint8_t* best, std::uint8_t* clear);

// The class that all four corners of a cell agree on, else kMixed.
void agree_cells(const std::uint8_t* top, const std::uint8_t* bottom, int width, std::uint8_t* cells);

// For every group of kLanes cells that holds a mixed one: the classes that may matter in each cell, as bit sets of
// `words` words, word-major with stride `pitch`. `margin` keeps classes that far below as well (for the confidence).
void find_candidates(const StagedRow& top, const StagedRow& bottom, int width, const std::uint8_t* cells, float margin,
                     std::uint32_t* sets, std::ptrdiff_t pitch);

// Up to kLanes pixels of a cell row; all the rows of that cell row.
struct Block {
  int x, width;             // first pixel and number of pixels
  int y_begin, y_end;
  const float* row_weight;     // of row 0
  std::uint8_t* mask;          // of pixel (0, 0)
  std::ptrdiff_t mask_pitch;
  const std::uint8_t* row_template;  // what stands right of the block; padded by kLanes
  int right_end;                     // pixels of a mask row: nothing is written from here on
  std::uint8_t* confidence;
  std::ptrdiff_t confidence_pitch;
};

// Values of the candidates along the block's top and bottom row, one pair of kExpanded floats a candidate.
constexpr int kExpanded = 2 * kLanes;

// The candidates over kLanes pixels from `offset` of a block on, as if all of them were of this cell.
void expand_cell(const StagedRow& top, const StagedRow& bottom, int cell, const int* ids, int count,
                 const float* column_weight, int offset, float* along_top, float* along_bottom);

// Interpolate between the rows, compare, write. `ids` ascend.
void paint_block(const Block& block, Confidence confidence, const int* ids, int count, const float* top,
                 const float* bottom);

}  // namespace edgeseg

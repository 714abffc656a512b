// Blocks of pixels that must be interpolated: the comparison of the candidates, and the winner's confidence.
#include <cstring>

#include "clones.h"
#include "pixel_math.h"
#include "postprocess_cells.h"
#include "postprocess_lanes.h"

namespace edgeseg {
namespace {

constexpr Ints kLaneIndex = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

// All kLanes bytes are written where they fit into the row: right of the block stands its template, which is final for
// agreeing cells and is written again by the next block for mixed ones.
inline void store(const Block& block, std::uint8_t* row, const std::uint8_t* bytes) {
  const int room = block.right_end - block.x;
  if (room >= kLanes)
    std::memcpy(row + block.x, bytes, kLanes);
  else
    std::memcpy(row + block.x, bytes, static_cast<std::size_t>(room));
}

}  // namespace

// Two rows at a time: each candidate's values are loaded once, and one row's comparison hides the other's latency.
EDGESEG_CLONES
static void paint_mask(const Block& block, const int* ids, int count, const float* top, const float* bottom) {
  const Ints inside = kLaneIndex < block.width;
  const Bytes is_inside = __builtin_convertvector(inside, Bytes);
  const Bytes beside = *reinterpret_cast<const BytesAt*>(block.row_template + block.x);
  for (int y = block.y_begin; y < block.y_end; y += 2) {
    const int next = y + 1 < block.y_end ? y + 1 : y;  // the last of an odd number is written twice
    const float w0 = block.row_weight[y], w1 = block.row_weight[next], r0 = 1.0f - w0, r1 = 1.0f - w1;
    Floats best0 = r0 * AT(top) + w0 * AT(bottom), best1 = r1 * AT(top) + w1 * AT(bottom);
    Ints label0 = Ints{} + ids[0], label1 = label0;
    for (int n = 1; n < count; ++n) {
      const Floats above = AT(top + n * kExpanded), under = AT(bottom + n * kExpanded);
      const Floats value0 = r0 * above + w0 * under, value1 = r1 * above + w1 * under;
      const Ints wins0 = value0 > best0, wins1 = value1 > best1;
      const Ints id = Ints{} + ids[n];
      best0 = LARGER(value0, best0);
      best1 = LARGER(value1, best1);
      label0 = wins0 ? id : label0;
      label1 = wins1 ? id : label1;
    }
    Bytes bytes0 = __builtin_convertvector(label0, Bytes), bytes1 = __builtin_convertvector(label1, Bytes);
    bytes0 = (bytes0 & is_inside) | (beside & ~is_inside);
    bytes1 = (bytes1 & is_inside) | (beside & ~is_inside);
    store(block, block.mask + y * block.mask_pitch, reinterpret_cast<const std::uint8_t*>(&bytes0));
    store(block, block.mask + next * block.mask_pitch, reinterpret_cast<const std::uint8_t*>(&bytes1));
  }
}

// The sum is exp_of_nonpositive and confidence_of of the pixel header in vectors, operation by operation: written as
// loops over kLanes values the compiler unrolls them first and then leaves them scalar, nine times slower.
EDGESEG_CLONES
static void paint_confidence(const Block& block, int count, const float* top, const float* bottom) {
  for (int y = block.y_begin; y < block.y_end; ++y) {
    const float weight = block.row_weight[y], rest = 1.0f - weight;
    Floats best = rest * AT(top) + weight * AT(bottom);
    for (int n = 1; n < count; ++n) {
      const Floats value = rest * AT(top + n * kExpanded) + weight * AT(bottom + n * kExpanded);
      best = LARGER(value, best);
    }
    Floats sum = {};
    for (int n = 0; n < count; ++n) {
      const Floats value = rest * AT(top + n * kExpanded) + weight * AT(bottom + n * kExpanded);
      const Floats below = value - best, x = LARGER(below, Floats{} + kExpLowest);
      const Ints power = __builtin_convertvector(x * kExpPerLog2 - 0.5f, Ints);
      const Floats whole = __builtin_convertvector(power, Floats);
      const Floats r = (x - whole * kLog2High) + whole * kLog2Low;
      const Floats series = ((((kExp5 * r + kExp4) * r + kExp3) * r + 0.5f) * r + 1.0f) * r + 1.0f;
      const Ints scale = (power + 127) << 23;
      sum += series * reinterpret_cast<const Floats&>(scale);
    }
    const Bytes bytes = __builtin_convertvector(__builtin_convertvector(255.0f / sum + 0.5f, Ints), Bytes);
    std::memcpy(block.confidence + y * block.confidence_pitch + block.x, &bytes, static_cast<std::size_t>(block.width));
  }
}

EDGESEG_CLONES
static void paint_probability(const Block& block, int count, const float* top, const float* bottom) {
  for (int y = block.y_begin; y < block.y_end; ++y) {
    const float weight = block.row_weight[y], rest = 1.0f - weight;
    Floats best = rest * AT(top) + weight * AT(bottom);
    for (int n = 1; n < count; ++n) {
      const Floats value = rest * AT(top + n * kExpanded) + weight * AT(bottom + n * kExpanded);
      best = LARGER(value, best);
    }
    for (int i = 0; i < block.width; ++i)
      block.confidence[y * block.confidence_pitch + block.x + i] = level_of(best[i]);
  }
}

// One class is little work, and few nets ask for it: no vectors.
static void paint_one_class(const Block& block, bool is_probability, const float* top, const float* bottom) {
  for (int y = block.y_begin; y < block.y_end; ++y) {
    const float weight = block.row_weight[y], rest = 1.0f - weight;
    for (int i = 0; i < block.width; ++i) {
      const float threshold = rest * top[i] + weight * bottom[i];
      const float value = rest * top[kExpanded + i] + weight * bottom[kExpanded + i];
      block.confidence[y * block.confidence_pitch + block.x + i] = level_of_one(value, threshold, is_probability);
    }
  }
}

void paint_block(const Block& block, Confidence confidence, const int* ids, int count, const float* top,
                 const float* bottom) {
  paint_mask(block, ids, count, top, bottom);
  if (confidence == Confidence::softmax) paint_confidence(block, count, top, bottom);
  if (confidence == Confidence::probability) paint_probability(block, count, top, bottom);
  if (confidence == Confidence::one_logit) paint_one_class(block, false, top, bottom);
  if (confidence == Confidence::one_probability) paint_one_class(block, true, top, bottom);
}

}  // namespace edgeseg

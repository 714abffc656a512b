// The overlay's rows: look the colours up, blend, draw the boundaries. One read of the frame, one write of the picture.
#include "postprocess_overlay.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

#include "clones.h"
#include "pixel_math.h"

namespace edgeseg {
namespace {

constexpr int kRowsATask = 16;

const OverlaySetup& checked(const OverlaySetup& setup) {
  if (setup.weight < 0 || setup.weight > 256)
    throw std::invalid_argument("weight is " + std::to_string(setup.weight) + "/256: give 0 to 256");
  if (setup.threads < 1 || setup.threads > 256)
    throw std::invalid_argument(std::to_string(setup.threads) + " threads: give 1 to 256");
  return setup;
}

}  // namespace

struct OverlayRow {
  const std::uint8_t *frame, *mask, *above;  // above: the mask's row over this one, itself for the first
  std::uint8_t* picture;
  int width;
};

static bool is_one_label(const std::uint8_t* mask) {
  std::uint64_t words[kChunk / 8], differ = 0;
  std::memcpy(words, mask, sizeof words);
  const std::uint64_t all = mask[0] * 0x0101010101010101u;
  for (std::uint64_t word : words) differ |= word ^ all;
  return differ == 0;
}

// `is_even`: every label has the same weight. `picture` may be `frame`: a chunk is read before it is written.
EDGESEG_CLONES
static void blend_row(const OverlayRow& row, const OverlayColour* colours, bool is_even) {
  for (int x = 0; x < row.width; x += kChunk) {
    const std::uint8_t *mask = row.mask + x, *frame = row.frame + 3 * x;
    std::uint8_t* picture = row.picture + 3 * x;
    const int pixels = std::min(kChunk, row.width - x);
    if (pixels == kChunk && is_one_label(mask)) {
      const OverlayColour& colour = colours[mask[0]];
      std::uint8_t blended[3 * kChunk];
      for (int i = 0; i < 3 * kChunk; ++i) blended[i] = blend(frame[i], colour.values[i], colour.rests[0]);
      std::memcpy(picture, blended, sizeof blended);
      continue;
    }
    // Eight bytes are moved for the six that count; the next pixel overwrites the rest.
    std::uint16_t values[3 * kChunk + 1], rests[3 * kChunk + 1];
    for (int i = 0; i < pixels; ++i) std::memcpy(values + 3 * i, colours[mask[i]].values, 8);
    if (is_even) {
      const std::uint16_t rest = colours[0].rests[0];
      for (int i = 0; i < 3 * pixels; ++i) picture[i] = blend(frame[i], values[i], rest);
      continue;
    }
    for (int i = 0; i < pixels; ++i) std::memcpy(rests + 3 * i, colours[mask[i]].rests, 8);
    for (int i = 0; i < 3 * pixels; ++i) picture[i] = blend(frame[i], values[i], rests[i]);
  }
}

// A chunk is passed over at once where none differs from its left or upper neighbour.
static bool is_calm(const OverlayRow& row, int x) {
  std::uint64_t here[kChunk / 8], left[kChunk / 8], above[kChunk / 8], differ = 0;
  std::memcpy(here, row.mask + x, kChunk);
  std::memcpy(left, row.mask + x - 1, kChunk);
  std::memcpy(above, row.above + x, kChunk);
  for (int i = 0; i < kChunk / 8; ++i) differ |= (here[i] ^ left[i]) | (here[i] ^ above[i]);
  return differ == 0;
}

static void draw_boundaries(const OverlayRow& row, const std::uint8_t* colour) {
  for (int x = 0; x < row.width; x += kChunk) {
    const int end = std::min(x + kChunk, row.width);
    if (x > 0 && end - x == kChunk && is_calm(row, x)) continue;
    for (int i = x; i < end; ++i) {
      const std::uint8_t left = row.mask[i > 0 ? i - 1 : 0];
      if (row.mask[i] != left || row.mask[i] != row.above[i]) std::memcpy(row.picture + 3 * i, colour, 3);
    }
  }
}

OverlayPlan::OverlayPlan(const OverlaySetup& setup) : setup_(checked(setup)), colours_(256), bands_(setup.threads) {
  for (std::size_t label = 0; label < colours_.size(); ++label) {
    const int weight = setup.is_clear[label] ? 0 : setup.weight;
    has_clear_ = has_clear_ || setup.is_clear[label];
    for (std::size_t i = 0; i < 3 * kChunk; ++i)
      colours_[label].values[i] = static_cast<std::uint16_t>(setup.colours[label][i % 3] * weight + 128);
    std::fill_n(colours_[label].rests, 4, static_cast<std::uint16_t>(256 - weight));
  }
}

void OverlayPlan::run(const OverlayJob& job) {
  std::lock_guard<std::mutex> lock(mutex_);
  next_.store(0);
  auto body = [&](int, int) {
    for (int first = next_.fetch_add(kRowsATask); first < job.height; first = next_.fetch_add(kRowsATask))
      for (int y = first; y < std::min(first + kRowsATask, job.height); ++y) {
        const std::uint8_t* mask = job.mask + y * job.mask_pitch;
        const OverlayRow row{job.frame + y * job.frame_pitch, mask, y > 0 ? mask - job.mask_pitch : mask,
                             job.picture + y * job.picture_pitch, job.width};
        blend_row(row, colours_.data(), !has_clear_);
        if (setup_.has_boundary) draw_boundaries(row, setup_.boundary);
      }
  };
  bands_.run(body);
}

}  // namespace edgeseg

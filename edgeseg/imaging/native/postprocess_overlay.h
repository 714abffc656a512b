// The overlay plan: class colours blended into a frame, boundaries drawn. Decides no class.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "threads.h"

namespace edgeseg {

constexpr int kChunk = 32;  // pixels that are blended at once; most are of one label, and then no pixel is looked up

struct OverlaySetup {
  std::uint8_t colours[256][3];  // in the frame's order
  bool is_clear[256];            // labels that leave the frame as it is
  int weight;                    // of the colour, in 256ths
  bool has_boundary;
  std::uint8_t boundary[3];  // of pixels whose left or upper neighbour has another label
  int threads;
};

// Rows of 3-byte pixels, and of labels; pitches in bytes, of any sign. `picture` may be the frame itself.
struct OverlayJob {
  const std::uint8_t* frame;
  std::ptrdiff_t frame_pitch;
  const std::uint8_t* mask;
  std::ptrdiff_t mask_pitch;
  std::uint8_t* picture;
  std::ptrdiff_t picture_pitch;
  int height, width;
};

// What blend() takes for a label, for the values of a chunk of it.
struct OverlayColour {
  std::uint16_t values[3 * kChunk];
  std::uint16_t rests[4];  // all the same
};

class OverlayPlan {
 public:
  // Throws std::invalid_argument for what cannot be.
  explicit OverlayPlan(const OverlaySetup& setup);

  // Allocates nothing; one run at a time, a second caller waits.
  void run(const OverlayJob& job);

  const std::vector<OverlayColour>& colours() const { return colours_; }

 private:
  OverlaySetup setup_;
  std::vector<OverlayColour> colours_;
  bool has_clear_ = false;
  std::atomic<int> next_{0};
  std::mutex mutex_;
  Bands bands_;
};

}  // namespace edgeseg

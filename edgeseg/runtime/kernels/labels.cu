// What is done with finished labels: ids to a mask, a mask's areas, a mask over a frame. Looks at no scores.
//
// edgeseg_{ids,areas,overlay} share
// Grid: (ceil(width / 128), ceil(height / 16)) of the mask; block: (8, 16), sixteen pixels of a row a thread.
// Bounds: those of sixteen.h; ids are read where the tables lead.
#include "launch.h"
#include "pixel_math.h"
#include "postprocess.h"
#include "sixteen.h"

namespace edgeseg {
namespace {

EDGESEG_PIXEL unsigned label_of_id(int id, int outside) {
  return static_cast<unsigned>(id < 0 || id > 255 ? outside : id);
}

constexpr int kWords = 3 * kPixels / 4;  // of a frame's pixels

struct Frame {
  unsigned words[kWords];
};

EDGESEG_PIXEL bool is_whole(const void* data, long long pitch, int x, int width) {
  return is_wide(data, pitch) && x + kPixels <= width;
}

EDGESEG_PIXEL Frame load_frame(const unsigned char* from, bool is_whole, int pixels) {
  Frame frame = {};
  if (is_whole) {
#pragma unroll
    for (int i = 0; i < 3; ++i) {
      const Sixteen part = reinterpret_cast<const Sixteen*>(from)[i];
#pragma unroll
      for (int k = 0; k < 4; ++k) frame.words[4 * i + k] = part.words[k];
    }
    return frame;
  }
#pragma unroll
  for (int i = 0; i < 3 * kPixels; ++i)
    if (i < 3 * pixels) frame.words[i >> 2] |= static_cast<unsigned>(from[i]) << (8 * (i & 3));
  return frame;
}

EDGESEG_PIXEL void store_frame(unsigned char* to, bool is_whole, int pixels, const Frame& frame) {
  const unsigned* words = frame.words;
  if (is_whole) {
#pragma unroll
    for (int i = 0; i < 3; ++i)
      reinterpret_cast<Sixteen*>(to)[i] = {{words[4 * i], words[4 * i + 1], words[4 * i + 2], words[4 * i + 3]}};
    return;
  }
#pragma unroll
  for (int i = 0; i < 3 * kPixels; ++i)
    if (i < 3 * pixels) to[i] = static_cast<unsigned char>(words[i >> 2] >> (8 * (i & 3)));
}

// The three bytes of one pixel, the first channel lowest.
EDGESEG_PIXEL unsigned blended(unsigned pixel, const unsigned short* colour) {
  unsigned bytes = 0;
#pragma unroll
  for (int c = 0; c < 3; ++c) {
    const unsigned char channel = static_cast<unsigned char>(pixel >> (8 * c));
    bytes |= static_cast<unsigned>(blend(channel, colour[c], colour[3])) << (8 * c);
  }
  return bytes;
}

EDGESEG_PIXEL unsigned pixel_of(const Frame& frame, int i) {
  const unsigned low = frame.words[3 * i >> 2] >> (8 * (3 * i & 3));
  const int rest = 3 * i & 3;  // a pixel that begins at byte 2 or 3 of a word ends in the next
  return (rest < 2 ? low : low | frame.words[(3 * i >> 2) + 1] << (8 * (4 - rest))) & 0xffffffu;
}

EDGESEG_PIXEL void set_pixel(Frame& frame, int i, unsigned bytes) {
  const int word = 3 * i >> 2, rest = 3 * i & 3;
  frame.words[word] |= bytes << (8 * rest);
  if (rest >= 2) frame.words[word + 1] |= bytes >> (8 * (4 - rest));
}

}  // namespace
}  // namespace edgeseg

using namespace edgeseg;

// A mask of finished ids: the id under the middle of each pixel; one that is not 0 to 255 becomes `outside`.
// Layouts: ids int32 rows, tables as GridParams tells, mask uint8 rows of any pitch.
// Bytes: one is written a pixel, sixteen at once where aligned; four of the ids and four of a table are read.
extern "C" __global__ void edgeseg_ids(const __grid_constant__ IdsParams params) {
  const Spot at = spot_of_thread(kPixels);
  if (at.x >= params.grid.width || at.y >= params.grid.height) return;
  const int row = params.grid.y_cell[at.y];
  Sixteen pixels = filled_with(static_cast<unsigned>(params.outside));
  if (row >= 0) {
    const char* ids = reinterpret_cast<const char*>(params.ids) + row * params.ids_pitch;
    pixels = filled_with(0);
#pragma unroll
    for (int i = 0; i < kPixels; ++i) {
      const int column = read_only(params.grid.x_cell + at.x + i);
      const int id = column < 0 ? -1 : read_only(reinterpret_cast<const int*>(ids) + column);
      pixels.words[i >> 2] |= label_of_id(id, params.outside) << (8 * (i & 3));
    }
  }
  store(params.mask, params.mask_pitch, at.x, at.y, params.grid.width, pixels);
}
EDGESEG_KERNEL(ids, IdsParams)

// Adds the pixels of every label to its count.
// Layouts: mask uint8 rows of any pitch; areas uint64 (256).
// Bytes: one is read a pixel, sixteen at once where aligned; threads of a warp with one label add once.
extern "C" __global__ void edgeseg_areas(const __grid_constant__ AreasParams params) {
  const Spot at = spot_of_thread(kPixels);
  if (at.x >= params.width || at.y >= params.height) return;
  const Sixteen pixels = load(params.mask, params.mask_pitch, at.x, at.y, params.width);
#pragma unroll
  for (int i = 0; i < kPixels; ++i)
    if (at.x + i < params.width) warp_add(params.areas, byte_of(pixels, i));
}
EDGESEG_KERNEL(areas, AreasParams)

// Class colours over a frame, and the boundaries: pixels whose left or upper neighbour has another label.
// Layouts: frame and picture rows of 3-byte pixels, mask uint8 rows, all of any pitch; the picture may be the frame.
// Bytes: three are read of the frame and one of the mask, with boundaries two, and three are written a pixel, each in
// pieces of sixteen where aligned; the table of colours stays in the caches.
extern "C" __global__ void edgeseg_overlay(const __grid_constant__ OverlayParams params) {
  const Spot at = spot_of_thread(kPixels);
  if (at.x >= params.width || at.y >= params.height) return;
  const int pixels = params.width - at.x < kPixels ? params.width - at.x : kPixels;
  const bool has_boundary = params.boundary >= 0;
  const Sixteen mask = load(params.mask, params.mask_pitch, at.x, at.y, params.width);
  const int upper_row = at.y > 0 ? at.y - 1 : 0;
  const Sixteen above = has_boundary ? load(params.mask, params.mask_pitch, at.x, upper_row, params.width) : mask;
  unsigned left = byte_of(mask, 0);
  if (has_boundary && at.x > 0) left = params.mask[at.y * params.mask_pitch + at.x - 1];
  const Frame frame = load_frame(params.frame + at.y * params.frame_pitch + 3 * at.x,
                                 is_whole(params.frame, params.frame_pitch, at.x, params.width), pixels);
  Frame picture = {};
#pragma unroll
  for (int i = 0; i < kPixels; ++i) {
    const unsigned label = byte_of(mask, i);
    const bool is_boundary = has_boundary && (label != left || label != byte_of(above, i));
    const unsigned bytes = blended(pixel_of(frame, i), params.colours + 4 * label);
    set_pixel(picture, i, is_boundary ? static_cast<unsigned>(params.boundary) : bytes);
    left = label;
  }
  store_frame(params.picture + at.y * params.picture_pitch + 3 * at.x,
              is_whole(params.picture, params.picture_pitch, at.x, params.width), pixels, picture);
}
EDGESEG_KERNEL(overlay, OverlayParams)

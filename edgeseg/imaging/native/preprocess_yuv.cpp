// YUV source rows of a plan to blended red, green and blue rows, a piece of a row at a time.
#include <algorithm>

#include "preprocess.h"
#include "preprocess_kernels.h"

namespace edgeseg {
namespace {

// Where a YUV row's bytes are from pixel x (even) on.
YuvPiece yuv_piece(PixelFormat format, const Plane* planes, int x, int y) {
  const std::uint8_t* first = planes[0].data + y * planes[0].pitch;
  switch (format) {
    case PixelFormat::yuyv:
      return {first + 2 * x, first + 2 * x + 1, first + 2 * x + 3, 2, 4};
    case PixelFormat::uyvy:
      return {first + 2 * x + 1, first + 2 * x, first + 2 * x + 2, 2, 4};
    case PixelFormat::nv12: {
      const std::uint8_t* chroma = planes[1].data + (y / 2) * planes[1].pitch + x;
      return {first + x, chroma, chroma + 1, 1, 2};
    }
    default:
      return {first + x, planes[1].data + (y / 2) * planes[1].pitch + x / 2,
              planes[2].data + (y / 2) * planes[2].pitch + x / 2, 1, 1};
  }
}

// Its luma side by side: where it lies, or copied to `room`.
const std::uint8_t* dense_luma(const YuvPiece& piece, std::uint8_t* room, int count) {
  if (piece.y_step == 1) return piece.y;
  every_other_byte(piece.y, room, count);
  return room;
}

}  // namespace

void Preprocess::mix_yuv(const Plane* planes, int row, Scratch& scratch) const {
  const float weight = rows_.weights[row];
  const int upper = options_.source.y + rows_.first[row], lower = upper + (weight == 0.0f ? 0 : 1);
  float* const block = scratch.block.data();
  float* const chroma[2][3] = {{block, block + kYuvBlock, block + 2 * kYuvBlock},
                               {block + 3 * kYuvBlock, block + 4 * kYuvBlock, block + 5 * kYuvBlock}};
  for (int start = 0; start < read_width_; start += kYuvBlock) {
    const int size = std::min(kYuvBlock, read_width_ - start);
    const YuvPiece pieces[2] = {yuv_piece(options_.pixel_format, planes, read_x_ + start, upper),
                                yuv_piece(options_.pixel_format, planes, read_x_ + start, lower)};
    const int other = pieces[0].u == pieces[1].u ? 0 : 1;  // every other time both rows share their chroma
    for (int i = 0; i <= other; ++i) spread_chroma(pieces[i], options_.matrix, chroma[i], size / 2);
    std::uint8_t* const luma = scratch.luma.data();
    const YuvRow rows[2] = {
        {dense_luma(pieces[0], luma, size), {chroma[0][0], chroma[0][1], chroma[0][2]}},
        {dense_luma(pieces[1], luma + kYuvBlock, size), {chroma[other][0], chroma[other][1], chroma[other][2]}}};
    float* const mixed = scratch.mixed.data() + start;
    float* const out[3] = {mixed, mixed + mixed_pitch_, mixed + 2 * mixed_pitch_};
    mix_yuv_rows(rows[0], rows[1], weight, options_.matrix, out, size);
  }
}

// The three planes of one source row, `mixed_pitch_` apart; valid until a row a ring away is asked for, and the
// ring has at least kRowsAtOnce rows.
const float* Preprocess::decoded_row(const Plane* planes, int y, Scratch& scratch) const {
  const int place = y % static_cast<int>(scratch.held.size());
  float* const row = scratch.ring.data() + place * 3 * mixed_pitch_;
  if (scratch.held[place] == y) return row;
  scratch.held[place] = y;
  float* const block = scratch.block.data();
  float* const chroma[3] = {block, block + kYuvBlock, block + 2 * kYuvBlock};
  for (int start = 0; start < read_width_; start += kYuvBlock) {
    const int size = std::min(kYuvBlock, read_width_ - start);
    const YuvPiece piece = yuv_piece(options_.pixel_format, planes, read_x_ + start, options_.source.y + y);
    spread_chroma(piece, options_.matrix, chroma, size / 2);
    float* const out[3] = {row + start, row + mixed_pitch_ + start, row + 2 * mixed_pitch_ + start};
    const std::uint8_t* luma = dense_luma(piece, scratch.luma.data(), size);
    decode_yuv_row({luma, {chroma[0], chroma[1], chroma[2]}}, options_.matrix, out, size);
  }
  return row;
}

void Preprocess::add_yuv(const Plane* planes, int row, Scratch& scratch) const {
  const float* weights = rows_.weights.data() + static_cast<std::size_t>(row) * rows_.step;
  for (int tap = 0; tap < rows_.count[row]; tap += kRowsAtOnce) {
    const int taps = std::min(kRowsAtOnce, rows_.count[row] - tap);
    const float* from[kRowsAtOnce];
    for (int i = 0; i < taps; ++i) from[i] = decoded_row(planes, rows_.first[row] + tap + i, scratch);
    // The planes lie behind each other in both, slack and all.
    add_rows(from, weights + tap, taps, tap == 0, scratch.mixed.data(), static_cast<int>(3 * mixed_pitch_));
  }
}

}  // namespace edgeseg

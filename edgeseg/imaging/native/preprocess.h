// One pass from camera pixels to the net's input tensor: what a plan is made of. Knows nothing of Python.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "colour_math.h"
#include "threads.h"

namespace edgeseg {

enum class PixelFormat : int { bgr, rgb, bgra, rgba, gray8, yuyv, uyvy, nv12, i420 };
enum class Colour : int { rgb, bgr, gray };
enum class Dtype : int { float32, float16, uint8, int8 };
enum class Interpolation : int { linear, antialias };

inline constexpr int kMaxSide = 32767;  // offsets into a row stay far below 2^31
inline constexpr int kMaxPlanes = 3;
inline constexpr int kRowSlack = 16;  // values behind a row that vector loads may read and nothing depends on

// Pixels of a YUV row decoded at a time: six rows of chroma and three of results stay in the first-level cache.
inline constexpr int kYuvBlock = 256;

struct Rect {
  int x, y, width, height;
};

// One plane of a picture: rows of bytes, `pitch` bytes apart (negative for a picture upside down).
struct Plane {
  const std::uint8_t* data;
  std::ptrdiff_t pitch;
};

// What a plane must measure for a picture of this size and format.
struct PlaneShape {
  int rows;
  int row_bytes;
};

struct PreprocessOptions {
  PixelFormat pixel_format;
  int source_width, source_height;
  YuvMatrix matrix;
  Rect source;  // the part of the picture that is read
  int width, height;  // of the tensor
  Rect target;  // the part of the tensor that the picture fills; the rest is `pad`
  float pad;  // a grey level, 0-255
  Interpolation interpolation;
  Colour colour;
  Dtype dtype;
  bool is_nhwc;
  float scale[3], shift[3];  // tensor value = grey level * scale + shift, a channel of the tensor's each
  int threads;
};

// Which input positions make each output position of one axis.
struct Axis {
  std::vector<std::int32_t> first;   // an output position's first input position
  std::vector<std::int32_t> count;   // how many follow it (antialias)
  std::vector<float> weights;        // linear: that of the second; antialias: `count` of them
  int step = 0;                      // from one output position's weights to the next one's
  int taps = 0;                      // the largest count; 0: linear
};

Axis linear_axis(int in, int out);
Axis antialias_axis(int in, int out);
Axis evenly_tapped(const Axis& axis, int in);

bool is_yuv(PixelFormat format);
int plane_count(PixelFormat format);
PlaneShape plane_shape(PixelFormat format, int plane, int width, int height);

class Preprocess {
 public:
  explicit Preprocess(const PreprocessOptions& options);  // throws std::invalid_argument

  const PreprocessOptions& options() const { return options_; }
  int channels() const { return options_.colour == Colour::gray ? 1 : 3; }
  const Axis& rows() const { return rows_; }        // counted from the source part's first row
  const Axis& columns() const { return columns_; }  // counted from read_x()
  int read_x() const { return read_x_; }
  std::size_t value_bytes() const;
  std::size_t image_bytes() const;  // of one image of the batch

  // Writes one image of image_bytes(). The caller has checked the planes and that nothing overlaps. Allocates nothing.
  void run(const Plane* planes, void* image);

 private:
  struct Scratch {
    std::vector<float> mixed;  // source columns of one output row, blended between the source rows
    std::vector<float> block;  // YUV: the chroma of a piece of two rows
    std::vector<std::uint8_t> luma;  // YUV of one plane: their luma
    std::vector<float> ring;   // YUV, antialias: decoded source rows, each needed by several output rows
    std::vector<int> held;     // which source row each place of the ring holds; -1: none
    std::vector<float> row;    // three channels of one output row, grey levels; left and right of the target the pad
    std::vector<float> grey;   // their luma
  };

  void work(const Plane* planes, void* image, Scratch& scratch);
  void make_rows(const Plane* planes, void* image, int first, int end, Scratch& scratch) const;
  void mix_rows(const Plane* planes, int row, Scratch& scratch) const;
  void mix_packed(const Plane& plane, int row, float* mixed) const;
  void mix_yuv(const Plane* planes, int row, Scratch& scratch) const;
  void add_yuv(const Plane* planes, int row, Scratch& scratch) const;
  const float* decoded_row(const Plane* planes, int y, Scratch& scratch) const;
  void place_columns(const float* mixed, float* row) const;
  void store(const float* row, float* grey, void* image, int y) const;

  PreprocessOptions options_;
  Axis rows_, columns_;
  int read_x_ = 0, read_width_ = 0;  // the columns that are blended: the source part, for YUV widened to whole pairs
  int step_ = 0;                     // values between neighbours in `mixed`: 3, 4, or 1 for separate planes
  int mixed_planes_ = 0;
  std::size_t mixed_pitch_ = 0, row_pitch_ = 0;
  std::vector<float> pad_row_;
  std::vector<Scratch> scratch_;
  std::mutex in_use_;
  std::atomic<int> next_row_{0};
  Bands bands_;
};

}  // namespace edgeseg

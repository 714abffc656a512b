// A pre-processing plan: checks its options, holds tables and scratch, and runs bands of tensor rows.
#include "preprocess.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "preprocess_kernels.h"

namespace edgeseg {
namespace {

constexpr int kRowsATurn = 16;  // tensor rows that a thread takes at a time: about 30 us of a 1080p picture
constexpr int kLargestRing = 32;  // rows kept decoded; beyond, where a picture shrinks 16 times, some are decoded twice

bool has_half_rows(PixelFormat format) { return format == PixelFormat::nv12 || format == PixelFormat::i420; }

int packed_step(PixelFormat format) {
  if (format == PixelFormat::bgr || format == PixelFormat::rgb) return 3;
  return format == PixelFormat::bgra || format == PixelFormat::rgba ? 4 : 1;
}

std::string size_text(int width, int height) { return std::to_string(width) + "x" + std::to_string(height); }

void check_side(const char* what, int width, int height) {
  if (std::min(width, height) >= 1 && std::max(width, height) <= kMaxSide) return;
  throw std::invalid_argument(std::string(what) + " is " + size_text(width, height) +
                              " (width x height): each side is 1 to " + std::to_string(kMaxSide));
}

void check_inside(const char* what, const Rect& rect, int width, int height) {
  const bool is_inside = rect.x >= 0 && rect.y >= 0 && rect.width >= 1 && rect.height >= 1 && rect.width <= width &&
                         rect.height <= height && rect.x <= width - rect.width && rect.y <= height - rect.height;
  if (is_inside) return;
  throw std::invalid_argument(std::string(what) + " of " + size_text(rect.width, rect.height) + " at (" +
                              std::to_string(rect.x) + ", " + std::to_string(rect.y) + ") does not lie in " +
                              size_text(width, height));
}

const PreprocessOptions& checked(const PreprocessOptions& options) {
  check_side("the picture", options.source_width, options.source_height);
  check_side("the tensor", options.width, options.height);
  check_inside("the region", options.source, options.source_width, options.source_height);
  check_inside("the target", options.target, options.width, options.height);
  const bool is_odd_wide = is_yuv(options.pixel_format) && options.source_width % 2 != 0;
  const bool is_odd_high = has_half_rows(options.pixel_format) && options.source_height % 2 != 0;
  if (is_odd_wide || is_odd_high) {
    const char* rule = is_odd_wide ? ": YUV shares chroma between pairs of pixels, give an even width"
                                   : ": NV12 and I420 share chroma between pairs of rows, give an even height";
    throw std::invalid_argument("the picture is " + size_text(options.source_width, options.source_height) + rule);
  }
  if (!(options.pad >= 0.0f && options.pad <= 255.0f)) {
    throw std::invalid_argument("pad value is " + std::to_string(options.pad) + ": it is a grey level, 0 to 255");
  }
  for (int c = 0; c < 3; ++c) {
    if (!std::isfinite(options.scale[c]) || !std::isfinite(options.shift[c])) {
      throw std::invalid_argument("mean, std and quantum make a scale of " + std::to_string(options.scale[c]) +
                                  " and a shift of " + std::to_string(options.shift[c]) + ": both must be finite");
    }
  }
  if (options.threads < 1 || options.threads > 256) {
    throw std::invalid_argument("threads is " + std::to_string(options.threads) + ": give 1 to 256");
  }
  return options;
}

Axis axis_of(Interpolation interpolation, int in, int out) {
  return interpolation == Interpolation::linear ? linear_axis(in, out) : antialias_axis(in, out);
}

}  // namespace

Preprocess::Preprocess(const PreprocessOptions& options)
    : options_(checked(options)),
      rows_(axis_of(options.interpolation, options.source.height, options.target.height)),
      columns_(axis_of(options.interpolation, options.source.width, options.target.width)),
      bands_(std::min(options.threads, options.height)) {
  const Rect& source = options_.source;
  if (columns_.taps > 0) columns_ = evenly_tapped(columns_, source.width);
  read_x_ = is_yuv(options_.pixel_format) ? source.x & ~1 : source.x;
  read_width_ = source.x + source.width - read_x_;
  if (is_yuv(options_.pixel_format)) read_width_ += read_width_ & 1;
  for (std::int32_t& first : columns_.first) first += source.x - read_x_;
  step_ = packed_step(options_.pixel_format);
  mixed_planes_ = is_yuv(options_.pixel_format) ? 3 : 1;
  mixed_pitch_ = static_cast<std::size_t>(read_width_) * step_ + kRowSlack;
  row_pitch_ = static_cast<std::size_t>(options_.width) + kRowSlack;
  pad_row_.assign(3 * row_pitch_, options_.pad);
  scratch_.resize(bands_.count());
  for (Scratch& scratch : scratch_) {
    scratch.mixed.assign(mixed_planes_ * mixed_pitch_, 0.0f);
    scratch.block.assign(6 * kYuvBlock, 0.0f);
    scratch.luma.assign(2 * kYuvBlock, 0);
    if (is_yuv(options_.pixel_format) && rows_.taps > 0) {
      scratch.held.assign(std::min(std::max(rows_.taps, kRowsAtOnce), kLargestRing), -1);
      scratch.ring.assign(scratch.held.size() * 3 * mixed_pitch_, 0.0f);
    }
    scratch.row = pad_row_;
    scratch.grey.assign(row_pitch_, 0.0f);
  }
}

std::size_t Preprocess::value_bytes() const {
  if (options_.dtype == Dtype::float32) return 4;
  return options_.dtype == Dtype::float16 ? 2 : 1;
}

std::size_t Preprocess::image_bytes() const {
  return value_bytes() * channels() * static_cast<std::size_t>(options_.width) * options_.height;
}

void Preprocess::run(const Plane* planes, void* image) {
  const std::lock_guard<std::mutex> lock(in_use_);
  next_row_.store(0, std::memory_order_relaxed);
  auto body = [&](int index, int) { work(planes, image, scratch_[index]); };
  bands_.run(body);
}

// Threads take rows as they come to them: where a core is shared, its thread takes fewer.
void Preprocess::work(const Plane* planes, void* image, Scratch& scratch) {
  std::fill(scratch.held.begin(), scratch.held.end(), -1);  // of the last picture
  for (;;) {
    const int first = next_row_.fetch_add(kRowsATurn, std::memory_order_relaxed);
    if (first >= options_.height) return;
    make_rows(planes, image, first, std::min(first + kRowsATurn, options_.height), scratch);
  }
}

void Preprocess::make_rows(const Plane* planes, void* image, int first, int end, Scratch& scratch) const {
  const Rect& target = options_.target;
  for (int y = first; y < end; ++y) {
    const bool is_pad = y < target.y || y >= target.y + target.height;
    if (!is_pad) {
      mix_rows(planes, y - target.y, scratch);
      place_columns(scratch.mixed.data(), scratch.row.data() + target.x);
    }
    store(is_pad ? pad_row_.data() : scratch.row.data(), scratch.grey.data(), image, y);
  }
}

void Preprocess::mix_rows(const Plane* planes, int row, Scratch& scratch) const {
  if (is_yuv(options_.pixel_format)) {
    rows_.taps == 0 ? mix_yuv(planes, row, scratch) : add_yuv(planes, row, scratch);
  } else {
    mix_packed(planes[0], row, scratch.mixed.data());
  }
}

void Preprocess::mix_packed(const Plane& plane, int row, float* mixed) const {
  const int values = read_width_ * step_, first = rows_.first[row];
  const auto bytes = [&](int y) {
    return plane.data + (options_.source.y + y) * plane.pitch + static_cast<std::ptrdiff_t>(read_x_) * step_;
  };
  if (rows_.taps == 0) {
    const float weight = rows_.weights[row];
    mix_bytes(bytes(first), bytes(weight == 0.0f ? first : first + 1), weight, mixed, values);
    return;
  }
  const float* weights = rows_.weights.data() + static_cast<std::size_t>(row) * rows_.step;
  for (int tap = 0; tap < rows_.count[row]; tap += kRowsAtOnce) {
    const int taps = std::min(kRowsAtOnce, rows_.count[row] - tap);
    const std::uint8_t* from[kRowsAtOnce];
    for (int i = 0; i < taps; ++i) from[i] = bytes(first + tap + i);
    add_rows(from, weights + tap, taps, tap == 0, mixed, values);
  }
}

void Preprocess::place_columns(const float* mixed, float* row) const {
  const int count = options_.target.width;
  const std::int32_t* first = columns_.first.data();
  const float* weights = columns_.weights.data();
  float* const out[3] = {row, row + row_pitch_, row + 2 * row_pitch_};
  if (step_ > 1 && columns_.taps == 0) {
    columns_linear(mixed, step_, first, weights, count, out);
  } else if (step_ > 1) {
    columns_antialias(mixed, step_, first, weights, columns_.taps, columns_.step, count, out);
  } else {
    for (int plane = 0; plane < mixed_planes_; ++plane) {
      const float* in = mixed + plane * mixed_pitch_;
      if (columns_.taps == 0) {
        columns_linear_plane(in, first, weights, count, out[plane]);
      } else {
        columns_antialias_plane(in, first, weights, columns_.step, count, out[plane]);
      }
    }
  }
}

namespace {

template <typename Value>
void store_row(const float* const planes[3], const PreprocessOptions& options, int channels, void* image, int y) {
  Value* values = static_cast<Value*>(image);
  const std::size_t width = options.width, row = static_cast<std::size_t>(y) * width;
  if (options.is_nhwc && channels == 3) {
    store_pixels(planes, options.scale, options.shift, values + 3 * row, options.width);
    return;
  }
  for (int c = 0; c < channels; ++c) {
    Value* to = values + c * width * options.height + row;
    store_plane(planes[c], options.scale[c], options.shift[c], to, options.width);
  }
}

}  // namespace

void Preprocess::store(const float* row, float* grey, void* image, int y) const {
  const PixelFormat format = options_.pixel_format;
  const bool is_bgr = format == PixelFormat::bgr || format == PixelFormat::bgra;
  const float *first = row, *second = row + row_pitch_, *third = row + 2 * row_pitch_;
  if (format == PixelFormat::gray8) second = third = first;
  const float *red = is_bgr ? third : first, *blue = is_bgr ? first : third;
  const float* planes[3] = {red, second, blue};
  if (options_.colour == Colour::bgr) std::swap(planes[0], planes[2]);
  if (options_.colour == Colour::gray && format != PixelFormat::gray8) {
    grey_row(red, second, blue, grey, options_.width);
    planes[0] = grey;
  }
  switch (options_.dtype) {
    case Dtype::float32:
      return store_row<float>(planes, options_, channels(), image, y);
    case Dtype::float16:
      return store_row<std::uint16_t>(planes, options_, channels(), image, y);
    case Dtype::uint8:
      return store_row<std::uint8_t>(planes, options_, channels(), image, y);
    case Dtype::int8:
      return store_row<std::int8_t>(planes, options_, channels(), image, y);
  }
}

}  // namespace edgeseg

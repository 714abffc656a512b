// Camera pixels to one image of the input tensor, in one pass; equal to the bit to imaging/native/preprocess*.cpp.
//
// Six kernels, edgeseg_preprocess_{packed,grey,yuv}_{linear,antialias}: packed is BGR, RGB, BGRA and RGBA, yuv is YUYV,
// UYVY, NV12 and I420.
// Grid: (ceil(width / 4 / block.x), ceil(height / block.y)); block: any x and y, preprocess.py takes 32 x 4.
// A thread makes 4 neighbours of a tensor row, all channels; threads beside the tensor return.
// Layouts: pictures as imaging.formats.planes_of tells, any pitch; the tensor NCHW or NHWC without gaps.
// Bounds: reads the picture's source part only (YUV: widened to whole pairs), writes the image's values only.
// Bytes a pixel of the tensor: written channels * size of the type, in pieces of four values (16, 8 or 4 bytes) where
// the address allows, else value by value; read 4 source pixels and 16 bytes of tables (linear), or rows * columns of
// the taps (antialias), most of them from the cache since neighbours share them. A pixel of four bytes is read at once
// where picture and pitch are aligned to 4. The image must be aligned to its type.
//
// The order of operations is the C++ one: YUV to RGB, then between rows, then between columns, then grey, scale and
// rounding. The C++ adds the taps of separate planes (grey, YUV) as four sums; so does this.
#include "launch.h"
#include "preprocess.h"

namespace {

using namespace edgeseg;

typedef unsigned char Byte;

constexpr int kOutputs = 4;  // of a thread

template <typename Value>
__device__ __forceinline__ Value* at(unsigned long long address) {
  return reinterpret_cast<Value*>(address);
}

// What a family of formats is to the rest: `kChannels` of a pixel, and how many sums its column taps are added to.
struct Grey {
  static constexpr int kChannels = 1, kLanes = 4;
  const Byte* row;

  __device__ __forceinline__ Grey(const PreprocessParams& p, int y)
      : row(at<const Byte>(p.plane[0]) + (p.read_y + y) * p.pitch[0] + p.read_x) {}

  __device__ __forceinline__ void load(const PreprocessParams&, int x, float out[]) const {
    out[0] = static_cast<float>(read_only(row + x));
  }
};

struct Packed {
  static constexpr int kChannels = 3, kLanes = 1;
  const Byte* row;
  bool is_word;  // the same for all threads

  __device__ __forceinline__ Packed(const PreprocessParams& p, int y)
      : row(at<const Byte>(p.plane[0]) + (p.read_y + y) * p.pitch[0] + p.read_x * p.pixel_step),
        is_word(p.pixel_step == 4 && ((p.plane[0] | static_cast<unsigned long long>(p.pitch[0])) & 3) == 0) {}

  __device__ __forceinline__ void load(const PreprocessParams& p, int x, float out[]) const {
    const Byte* const pixel = row + x * p.pixel_step;
    if (is_word) {
      const unsigned word = read_only(reinterpret_cast<const unsigned*>(pixel));
      for (int c = 0; c < 3; ++c) out[c] = static_cast<float>(word >> 8 * c & 255u);
    } else {
      for (int c = 0; c < 3; ++c) out[c] = static_cast<float>(read_only(pixel + c));
    }
  }
};

struct Yuv {
  static constexpr int kChannels = 3, kLanes = 4;
  const Byte *luma, *u, *v;

  __device__ __forceinline__ Yuv(const PreprocessParams& p, int y) {
    const int row = p.read_y + y, chroma_row = row >> p.chroma_shift, pair = p.read_x / 2;
    luma = at<const Byte>(p.plane[0]) + row * p.pitch[0] + p.read_x * p.pixel_step;
    u = at<const Byte>(p.plane[1]) + chroma_row * p.pitch[1] + pair * p.pair_step;
    v = at<const Byte>(p.plane[2]) + chroma_row * p.pitch[2] + pair * p.pair_step;
  }

  __device__ __forceinline__ void load(const PreprocessParams& p, int x, float out[]) const {
    const int pair = (x >> 1) * p.pair_step;
    const float luma_value = static_cast<float>(read_only(luma + x * p.pixel_step));
    const float u_value = static_cast<float>(read_only(u + pair)), v_value = static_cast<float>(read_only(v + pair));
    out[0] = with_luma(p.matrix, luma_value, red_chroma(p.matrix, v_value));
    out[1] = with_luma(p.matrix, luma_value, green_chroma(p.matrix, u_value, v_value));
    out[2] = with_luma(p.matrix, luma_value, blue_chroma(p.matrix, u_value));
  }
};

// Two rows and a weight between them. A weight of 0 takes no second row or column: there may be none.
template <typename Source>
struct Linear {
  static constexpr int kChannels = Source::kChannels;
  float weight;
  Source upper, lower;

  __device__ __forceinline__ Linear(const PreprocessParams& p, int y)
      : weight(read_only(at<const float>(p.row_weights) + y)),
        upper(p, read_only(at<const int>(p.row_first) + y)),
        lower(p, read_only(at<const int>(p.row_first) + y) + (weight == 0.0f ? 0 : 1)) {}

  __device__ __forceinline__ void between_rows(const PreprocessParams& p, int x, float out[]) const {
    float below[kChannels];
    upper.load(p, x, out);
    lower.load(p, x, below);
    for (int c = 0; c < kChannels; ++c) out[c] = mix(out[c], below[c], weight);
  }

  __device__ __forceinline__ void pixel(const PreprocessParams& p, int x, float out[]) const {
    const int first = read_only(at<const int>(p.column_first) + x);
    const float column_weight = read_only(at<const float>(p.column_weights) + x);
    float right[kChannels];
    between_rows(p, first, out);
    between_rows(p, first + (column_weight == 0.0f ? 0 : 1), right);
    for (int c = 0; c < kChannels; ++c) out[c] = mix(out[c], right[c], column_weight);
  }
};

// Weighted sums, upper rows and left columns first. Sums begin with 0 and skip the zero weights that the C++ adds:
// nothing here is negative, so neither changes a bit.
template <typename Source>
struct Antialias {
  static constexpr int kChannels = Source::kChannels, kLanes = Source::kLanes;
  int first, count;
  const float* weights;

  __device__ __forceinline__ Antialias(const PreprocessParams& p, int y)
      : first(read_only(at<const int>(p.row_first) + y)),
        count(read_only(at<const int>(p.row_count) + y)),
        weights(at<const float>(p.row_weights) + static_cast<long long>(y) * p.row_step) {}

  __device__ __forceinline__ void over_rows(const PreprocessParams& p, int x, float out[]) const {
    for (int c = 0; c < kChannels; ++c) out[c] = 0.0f;
    for (int row = 0; row < count; ++row) {
      const float weight = read_only(weights + row);
      float value[kChannels];
      Source(p, first + row).load(p, x, value);
      for (int c = 0; c < kChannels; ++c) out[c] += weight * value[c];
    }
  }

  __device__ __forceinline__ void pixel(const PreprocessParams& p, int x, float out[]) const {
    const int column = read_only(at<const int>(p.column_first) + x);
    const float* const weight = at<const float>(p.column_weights) + static_cast<long long>(x) * p.column_step;
    float sums[kLanes][kChannels] = {};
    for (int start = 0; start < p.column_taps; start += kLanes) {
#pragma unroll
      for (int lane = 0; lane < kLanes; ++lane) {
        if (start + lane >= p.column_taps) break;
        float value[kChannels];
        over_rows(p, column + start + lane, value);
        for (int c = 0; c < kChannels; ++c) sums[lane][c] += value[c] * read_only(weight + start + lane);
      }
    }
    for (int c = 0; c < kChannels; ++c) {
      out[c] = kLanes == 1 ? sums[0][c]
                           : (sums[0][c] + sums[2 % kLanes][c]) + (sums[1 % kLanes][c] + sums[3 % kLanes][c]);
    }
  }
};

// Four values that one access writes.
template <typename Value>
struct alignas(4 * sizeof(Value)) Quad {
  Value value[4];
};

template <typename Value>
__device__ __forceinline__ void store_four(const Value (&values)[4], Value* to) {
  *reinterpret_cast<Quad<Value>*>(to) = {{values[0], values[1], values[2], values[3]}};
}

template <typename Value>
__device__ __forceinline__ bool takes_quads(const Value* to) {
  return reinterpret_cast<unsigned long long>(to) % sizeof(Quad<Value>) == 0;
}

// `count` of the four outputs, one channel, side by side.
template <typename Value>
__device__ __forceinline__ void store_plane(const float (&levels)[kOutputs], float scale, float shift, Value* to,
                                            int count) {
  Value values[4];
  for (int i = 0; i < 4; ++i) convert(normalised(levels[i], scale, shift), values[i]);
  if (count == 4 && takes_quads(to)) return store_four(values, to);
  for (int i = 0; i < 4; ++i) {
    if (i < count) to[i] = values[i];
  }
}

// `count` pixels of three channels.
template <typename Value>
__device__ __forceinline__ void store_pixels(const float (&levels)[3][kOutputs], const PreprocessParams& p, Value* to,
                                             int count) {
  Value values[3][4];  // in the order of memory: three quads
  for (int i = 0; i < 12; ++i) {
    convert(normalised(levels[i % 3][i / 3], p.scale[i % 3], p.shift[i % 3]), values[i / 4][i % 4]);
  }
  if (count == 4 && takes_quads(to)) {
    for (int i = 0; i < 3; ++i) store_four(values[i], to + 4 * i);
    return;
  }
  for (int i = 0; i < 12; ++i) {
    if (i < 3 * count) to[i] = values[i / 4][i % 4];
  }
}

template <typename Value>
__device__ __forceinline__ void store(const float (&levels)[3][kOutputs], const PreprocessParams& p, int x, int y) {
  const long long place = static_cast<long long>(y) * p.width + x;
  const long long plane = static_cast<long long>(p.width) * p.height;
  const int count = p.width - x < kOutputs ? p.width - x : kOutputs;
  Value* const image = at<Value>(p.image);
  if (p.channels == 1) return store_plane(levels[0], p.scale[0], p.shift[0], image + place, count);
  if (p.is_nhwc) return store_pixels(levels, p, image + 3 * place, count);
  for (int c = 0; c < 3; ++c) store_plane(levels[c], p.scale[c], p.shift[c], image + c * plane + place, count);
}

// From the picture's channels to the tensor's, in place.
template <int channels>
__device__ __forceinline__ void to_colour(const PreprocessParams& p, float (&levels)[3][kOutputs]) {
  for (int i = 0; i < kOutputs; ++i) {
    float &first = levels[0][i], &second = levels[1][i], &third = levels[2][i];
    if (channels == 1) {
      second = third = first;
    } else if (p.channels == 1) {
      first = p.is_blue_first ? grey_of(third, second, first) : grey_of(first, second, third);
    } else if (p.is_swapped) {
      const float kept = first;
      first = third;
      third = kept;
    }
  }
}

template <typename Sampler>
__device__ __forceinline__ void sample(const PreprocessParams& p, int x, int y, float (&levels)[3][kOutputs]) {
  for (int i = 0; i < kOutputs; ++i) {
    for (int c = 0; c < 3; ++c) levels[c][i] = p.pad;
  }
  if (y < p.target_y || y >= p.target_y + p.target_height) return;
  const Sampler sampler(p, y - p.target_y);
  for (int i = 0; i < kOutputs; ++i) {
    const int column = x + i - p.target_x;
    if (column < 0 || column >= p.target_width) continue;
    float pixel[Sampler::kChannels];
    sampler.pixel(p, column, pixel);
    for (int c = 0; c < Sampler::kChannels; ++c) levels[c][i] = pixel[c];
  }
}

template <typename Sampler>
__device__ __forceinline__ void preprocess(const PreprocessParams& p) {
  const int x = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x) * kOutputs;
  const int y = static_cast<int>(blockIdx.y * blockDim.y + threadIdx.y);
  if (x >= p.width || y >= p.height) return;
  float levels[3][kOutputs];
  sample<Sampler>(p, x, y, levels);
  to_colour<Sampler::kChannels>(p, levels);
  switch (p.dtype) {
    case 0:
      return store<float>(levels, p, x, y);
    case 1:
      return store<unsigned short>(levels, p, x, y);
    case 2:
      return store<unsigned char>(levels, p, x, y);
    default:
      return store<signed char>(levels, p, x, y);
  }
}

}  // namespace

#define EDGESEG_PREPROCESS(name, Sampler)                                                            \
  extern "C" __global__ void edgeseg_##name(const __grid_constant__ edgeseg::PreprocessParams params) { \
    preprocess<Sampler>(params);                                                                     \
  }                                                                                                  \
  EDGESEG_KERNEL(name, edgeseg::PreprocessParams)

EDGESEG_PREPROCESS(preprocess_packed_linear, Linear<Packed>)
EDGESEG_PREPROCESS(preprocess_packed_antialias, Antialias<Packed>)
EDGESEG_PREPROCESS(preprocess_grey_linear, Linear<Grey>)
EDGESEG_PREPROCESS(preprocess_grey_antialias, Antialias<Grey>)
EDGESEG_PREPROCESS(preprocess_yuv_linear, Linear<Yuv>)
EDGESEG_PREPROCESS(preprocess_yuv_antialias, Antialias<Yuv>)

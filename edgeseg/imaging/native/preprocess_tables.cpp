// The tables that a plan computes once: which input positions make an output position, and how planes must measure.
#include <algorithm>
#include <cmath>

#include "preprocess.h"

namespace edgeseg {

// PyTorch's half-pixel rule in its own float arithmetic: positions of a wide picture differ from exact ones by 1e-4.
// Its builds for AVX2 and later multiply and subtract in one rounding; said by std::fma, that holds on every machine.
Axis linear_axis(int in, int out) {
  Axis axis;
  axis.step = 1;
  axis.first.resize(out);
  axis.weights.resize(out);
  const float scale = scale_of(Rule::half_pixel, in, out);
  for (int i = 0; i < out; ++i) {
    const float position = std::max(std::fma(scale, static_cast<float>(i) + 0.5f, -0.5f), 0.0f);
    const int first = std::min(static_cast<int>(position), in - 1);
    axis.first[i] = first;
    axis.weights[i] = first == in - 1 ? 0.0f : position - static_cast<float>(first);  // the last pixel has no next
  }
  return axis;
}

// A triangle over the output pixel's footprint, at least one input pixel to each side: what Pillow (Resample.c,
// precompute_coeffs) and torch's interpolate(antialias=True) do.
Axis antialias_axis(int in, int out) {
  const double scale = static_cast<double>(in) / out, support = std::max(scale, 1.0);
  Axis axis;
  axis.taps = static_cast<int>(std::ceil(support)) * 2 + 1;
  axis.step = axis.taps;
  axis.first.resize(out);
  axis.count.resize(out);
  axis.weights.assign(static_cast<std::size_t>(out) * axis.taps, 0.0f);
  std::vector<double> weights(axis.taps);
  for (int i = 0; i < out; ++i) {
    const double centre = (i + 0.5) * scale;
    const int first = std::max(0, static_cast<int>(centre - support + 0.5));
    const int end = std::min(in, static_cast<int>(centre + support + 0.5));
    double sum = 0.0;
    for (int tap = 0; tap < end - first; ++tap) {
      weights[tap] = std::max(0.0, 1.0 - std::abs((first + tap - centre + 0.5) / support));
      sum += weights[tap];
    }
    axis.first[i] = first;
    axis.count[i] = end - first;
    for (int tap = 0; tap < end - first; ++tap) {
      axis.weights[static_cast<std::size_t>(i) * axis.taps + tap] = static_cast<float>(weights[tap] / sum);
    }
  }
  return axis;
}

// Loops over columns run best with the same number of taps everywhere: every output takes as many as the widest, at the
// picture's end beginning further left. Zero weights join in, and fill each output's up to a multiple of 4.
Axis evenly_tapped(const Axis& axis, int in) {
  const int outputs = static_cast<int>(axis.first.size());
  Axis even;
  even.taps = *std::max_element(axis.count.begin(), axis.count.end());
  even.step = (even.taps + 3) / 4 * 4;
  even.first.resize(outputs);
  even.count.assign(outputs, even.taps);
  even.weights.assign(static_cast<std::size_t>(outputs) * even.step, 0.0f);
  for (int i = 0; i < outputs; ++i) {
    even.first[i] = std::min(axis.first[i], in - even.taps);
    const float* from = axis.weights.data() + static_cast<std::size_t>(i) * axis.step;
    std::copy(from, from + axis.count[i],
              even.weights.begin() + static_cast<std::size_t>(i) * even.step + (axis.first[i] - even.first[i]));
  }
  return even;
}

bool is_yuv(PixelFormat format) {
  return format == PixelFormat::yuyv || format == PixelFormat::uyvy || format == PixelFormat::nv12 ||
         format == PixelFormat::i420;
}

int plane_count(PixelFormat format) {
  if (format == PixelFormat::nv12) return 2;
  return format == PixelFormat::i420 ? 3 : 1;
}

PlaneShape plane_shape(PixelFormat format, int plane, int width, int height) {
  switch (format) {
    case PixelFormat::bgr:
    case PixelFormat::rgb:
      return {height, 3 * width};
    case PixelFormat::bgra:
    case PixelFormat::rgba:
      return {height, 4 * width};
    case PixelFormat::yuyv:
    case PixelFormat::uyvy:
      return {height, 2 * width};
    case PixelFormat::nv12:
      return {plane == 0 ? height : height / 2, width};
    case PixelFormat::i420:
      return plane == 0 ? PlaneShape{height, width} : PlaneShape{height / 2, width / 2};
    case PixelFormat::gray8:
      break;
  }
  return {height, width};
}

}  // namespace edgeseg

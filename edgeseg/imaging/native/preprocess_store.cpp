// Grey levels to tensor values: scale, shift, rounding to the tensor's dtype, planes or pixels.
#include "clones.h"
#include "preprocess_kernels.h"

namespace edgeseg {
namespace {

template <typename Value>
EDGESEG_PIXEL void plane(const float* __restrict in, float scale, float shift, Value* __restrict out, int count) {
  for (int x = 0; x < count; ++x) convert(normalised(in[x], scale, shift), out[x]);
}

template <typename Value>
EDGESEG_PIXEL void pixels(const float* const in[3], const float scale[3], const float shift[3], Value* __restrict out,
                          int count) {
  const float *__restrict a = in[0], *__restrict b = in[1], *__restrict c = in[2];
  const float scale_a = scale[0], scale_b = scale[1], scale_c = scale[2];
  const float shift_a = shift[0], shift_b = shift[1], shift_c = shift[2];
  for (int x = 0; x < count; ++x) {
    convert(normalised(a[x], scale_a, shift_a), out[3 * x]);
    convert(normalised(b[x], scale_b, shift_b), out[3 * x + 1]);
    convert(normalised(c[x], scale_c, shift_c), out[3 * x + 2]);
  }
}

}  // namespace

EDGESEG_CLONES void grey_row(const float* __restrict red, const float* __restrict green, const float* __restrict blue,
                             float* __restrict out, int count) {
  for (int x = 0; x < count; ++x) out[x] = grey_of(red[x], green[x], blue[x]);
}

// target_clones takes no templates, hence one function a type.
EDGESEG_CLONES void store_plane(const float* in, float scale, float shift, float* out, int count) {
  plane(in, scale, shift, out, count);
}
EDGESEG_CLONES void store_plane(const float* in, float scale, float shift, std::uint16_t* out, int count) {
  plane(in, scale, shift, out, count);
}
EDGESEG_CLONES void store_plane(const float* in, float scale, float shift, std::uint8_t* out, int count) {
  plane(in, scale, shift, out, count);
}
EDGESEG_CLONES void store_plane(const float* in, float scale, float shift, std::int8_t* out, int count) {
  plane(in, scale, shift, out, count);
}

EDGESEG_CLONES void store_pixels(const float* const in[3], const float scale[3], const float shift[3], float* out,
                                 int count) {
  pixels(in, scale, shift, out, count);
}
EDGESEG_CLONES void store_pixels(const float* const in[3], const float scale[3], const float shift[3],
                                 std::uint16_t* out, int count) {
  pixels(in, scale, shift, out, count);
}
EDGESEG_CLONES void store_pixels(const float* const in[3], const float scale[3], const float shift[3],
                                 std::uint8_t* out, int count) {
  pixels(in, scale, shift, out, count);
}
EDGESEG_CLONES void store_pixels(const float* const in[3], const float scale[3], const float shift[3],
                                 std::int8_t* out, int count) {
  pixels(in, scale, shift, out, count);
}

}  // namespace edgeseg

// What Python sees of the pre-processing plan: names, buffers and every check on them. Computes no pixel.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "preprocess.h"

namespace py = pybind11;

namespace edgeseg {
namespace {

const std::vector<std::string> kPixelFormats = {"BGR",  "RGB",  "BGRA", "RGBA", "GRAY8",
                                                "YUYV", "UYVY", "NV12", "I420"};
const std::vector<std::string> kInterpolations = {"linear", "antialias"};
const std::vector<std::string> kColours = {"RGB", "BGR", "GRAY"};
const std::vector<std::string> kDtypes = {"float32", "float16", "uint8", "int8"};
const std::vector<std::string> kLayouts = {"NCHW", "NHWC"};

// A new array that owns its copy.
template <typename Value>
py::array_t<Value> array_of(const std::vector<Value>& values) {
  return py::array_t<Value>(static_cast<py::ssize_t>(values.size()), values.data());
}

// A buffer of Python's for the time of one call, without pybind11's heap-allocated copy of its shape.
class BufferView {
 public:
  BufferView(py::handle object, const char* what, bool is_writable) : what_(what) {
    const int flags = PyBUF_FORMAT | PyBUF_STRIDES | (is_writable ? PyBUF_WRITABLE : 0);
    if (PyObject_GetBuffer(object.ptr(), &view_, flags) == 0) return;
    PyErr_Clear();
    throw py::value_error(std::string(what) + (is_writable ? " is no buffer that can be written, or read-only"
                                                           : " is no buffer with strides"));
  }
  BufferView(const BufferView&) = delete;
  BufferView& operator=(const BufferView&) = delete;
  ~BufferView() { PyBuffer_Release(&view_); }

  const Py_buffer& operator*() const { return view_; }
  const Py_buffer* operator->() const { return &view_; }

  // One letter of the struct module, in native order.
  char format() const {
    const char* format = view_.format == nullptr ? "B" : view_.format;
    if (*format == '@' || *format == '=' || *format == '<') ++format;
    return format[0] != '\0' && format[1] == '\0' ? format[0] : '?';
  }

  [[noreturn]] void refuse(const std::string& expected) const {
    std::string shape, strides;
    for (int i = 0; i < view_.ndim; ++i) {
      shape += (i ? ", " : "") + std::to_string(view_.shape[i]);
      strides += (i ? ", " : "") + std::to_string(view_.strides[i]);
    }
    throw py::value_error(std::string(what_) + " has format '" + (view_.format ? view_.format : "B") + "', shape (" +
                          shape + ") and strides (" + strides + ") bytes: " + expected);
  }

 private:
  Py_buffer view_;
  const char* what_;
};

// First and last byte of a buffer's memory; strides may be negative.
std::pair<std::uintptr_t, std::uintptr_t> extent(const Py_buffer& view) {
  std::uintptr_t low = reinterpret_cast<std::uintptr_t>(view.buf), high = low + view.itemsize - 1;
  for (int i = 0; i < view.ndim; ++i) {
    const Py_ssize_t reach = (view.shape[i] - 1) * view.strides[i];
    (reach < 0 ? low : high) += reach;
  }
  return {low, high};
}

bool are_apart(const Py_buffer& a, const Py_buffer& b) {
  const auto [a_low, a_high] = extent(a);
  const auto [b_low, b_high] = extent(b);
  return a_high < b_low || b_high < a_low;
}

// Every dimension behind the rows must lie without gaps.
bool has_dense_rows(const Py_buffer& view, Py_ssize_t row_bytes) {
  Py_ssize_t expected = view.itemsize;
  for (int i = view.ndim - 1; i >= 1; --i) {
    if (view.shape[i] > 1 && view.strides[i] != expected) return false;
    expected *= view.shape[i];
  }
  return expected == row_bytes;
}

Plane checked_plane(const BufferView& view, const PlaneShape& shape) {
  const bool fits = view.format() == 'B' && view->itemsize == 1 && (view->ndim == 2 || view->ndim == 3) &&
                    view->shape[0] == shape.rows && has_dense_rows(*view, shape.row_bytes);
  if (!fits) {
    view.refuse("give uint8, " + std::to_string(shape.rows) + " rows of " + std::to_string(shape.row_bytes) +
                " bytes without gaps in a row");
  }
  const Py_ssize_t pitch = view->strides[0];
  if (shape.rows > 1 && pitch > -shape.row_bytes && pitch < shape.row_bytes) {
    view.refuse("the pitch of " + std::to_string(pitch) + " bytes is less than a row of " +
                std::to_string(shape.row_bytes));
  }
  return {static_cast<const std::uint8_t*>(view->buf), pitch};
}

char* checked_image(const BufferView& view, const Preprocess& plan, int batch_index) {
  static constexpr char letters[] = {'f', 'e', 'B', 'b'};
  const PreprocessOptions& options = plan.options();
  const int dtype = static_cast<int>(options.dtype);
  const std::array<Py_ssize_t, 3> planes = {plan.channels(), options.height, options.width};
  const std::array<Py_ssize_t, 3> pixels = {options.height, options.width, plan.channels()};
  const std::array<Py_ssize_t, 3>& expected = options.is_nhwc ? pixels : planes;
  const bool fits = view.format() == letters[dtype] && view->ndim == 4 && view->shape[0] >= 1 &&
                    std::equal(expected.begin(), expected.end(), view->shape + 1) &&
                    PyBuffer_IsContiguous(&*view, 'C') &&
                    reinterpret_cast<std::uintptr_t>(view->buf) % plan.value_bytes() == 0;
  if (!fits) {
    view.refuse(std::string("give C-contiguous, aligned ") + kDtypes[dtype] + " (N, " + std::to_string(expected[0]) +
                ", " + std::to_string(expected[1]) + ", " + std::to_string(expected[2]) + ")");
  }
  if (batch_index < 0 || batch_index >= view->shape[0]) {
    view.refuse("there is no image " + std::to_string(batch_index) + " in the batch");
  }
  return static_cast<char*>(view->buf) + batch_index * plan.image_bytes();
}

void run(Preprocess& plan, const py::tuple& given, const py::object& tensor, int batch_index) {
  static constexpr const char* names[] = {"the first plane", "the second plane", "the third plane"};
  const PreprocessOptions& options = plan.options();
  const int count = plane_count(options.pixel_format);
  if (static_cast<int>(given.size()) != count) {
    throw py::value_error("the picture has " + std::to_string(given.size()) + " planes: this format has " +
                          std::to_string(count));
  }
  const BufferView out(tensor, "the tensor", true);
  char* image = checked_image(out, plan, batch_index);
  Plane planes[kMaxPlanes] = {};
  // Views live until the pixels are read; optional slots instead of a vector, so that nothing is allocated.
  alignas(BufferView) unsigned char room[kMaxPlanes][sizeof(BufferView)];
  struct Views {
    BufferView* view[kMaxPlanes] = {};
    ~Views() {
      for (BufferView* one : view) {
        if (one != nullptr) one->~BufferView();
      }
    }
  } views;
  for (int i = 0; i < count; ++i) {
    views.view[i] = new (room[i]) BufferView(given[i], names[i], false);
    const PlaneShape shape = plane_shape(options.pixel_format, i, options.source_width, options.source_height);
    planes[i] = checked_plane(*views.view[i], shape);
    if (!are_apart(**views.view[i], *out)) {
      views.view[i]->refuse("it overlaps the tensor, give buffers that are apart");
    }
  }
  const py::gil_scoped_release release;
  plan.run(planes, image);
}

// The place of a name in a list.
int index_of(const char* what, const std::string& name, const std::vector<std::string>& names) {
  std::string all;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == name) return static_cast<int>(i);
    all += (i ? ", " : "") + names[i];
  }
  throw py::value_error(std::string(what) + " is '" + name + "': give one of " + all);
}

YuvMatrix matrix_of(const std::string& name, bool is_full_range) {
  const bool is_709 = index_of("colour matrix", name, {"BT.601", "BT.709"}) == 1;
  return is_709 ? yuv_matrix(0.2126, 0.0722, is_full_range) : yuv_matrix(0.299, 0.114, is_full_range);
}

void set_scale(PreprocessOptions& options, const std::vector<double>& mean, const std::vector<double>& std,
               double quantum) {
  const std::size_t channels = options.colour == Colour::gray ? 1 : 3;
  if (mean.size() != channels || std.size() != channels) {
    throw py::value_error("mean has " + std::to_string(mean.size()) + " values and std " + std::to_string(std.size()) +
                          ": the tensor has " + std::to_string(channels) + " channels");
  }
  for (std::size_t c = 0; c < 3; ++c) {
    const std::size_t from = c < channels ? c : 0;
    options.scale[c] = static_cast<float>(1.0 / (255.0 * std[from] * quantum));
    options.shift[c] = static_cast<float>(-mean[from] / (std[from] * quantum));
  }
}

// What a plan was made with and computed from it, for other devices that do the same: names, sizes, tables, numbers.
py::dict tables(const Preprocess& plan) {
  const PreprocessOptions& options = plan.options();
  const YuvMatrix& m = options.matrix;
  const Rect& target = options.target;
  py::dict facts;
  facts["pixel_format"] = kPixelFormats[static_cast<int>(options.pixel_format)];
  facts["interpolation"] = kInterpolations[static_cast<int>(options.interpolation)];
  facts["colour"] = kColours[static_cast<int>(options.colour)];
  facts["dtype"] = kDtypes[static_cast<int>(options.dtype)];
  facts["layout"] = kLayouts[options.is_nhwc ? 1 : 0];
  facts["size_wh"] = py::make_tuple(options.width, options.height);
  facts["target_xywh"] = py::make_tuple(target.x, target.y, target.width, target.height);
  facts["read_xy"] = py::make_tuple(plan.read_x(), options.source.y);
  facts["pad"] = options.pad;
  facts["scale"] = array_of(std::vector<float>(options.scale, options.scale + 3));
  facts["shift"] = array_of(std::vector<float>(options.shift, options.shift + 3));
  facts["yuv"] = array_of(std::vector<float>{m.luma, m.red_v, m.green_u, m.green_v, m.blue_u, m.red_offset,
                                             m.green_offset, m.blue_offset});
  const auto add = [&](const std::string& axis, const Axis& from) {
    facts[py::str(axis + "_first")] = array_of(from.first);
    facts[py::str(axis + "_count")] = array_of(from.count);
    facts[py::str(axis + "_weights")] = array_of(from.weights);
    facts[py::str(axis + "_step")] = from.step;
    facts[py::str(axis + "_taps")] = from.taps;
  };
  add("row", plan.rows());
  add("column", plan.columns());
  return facts;
}

using Size = std::array<int, 2>;
using Box = std::array<int, 4>;

std::unique_ptr<Preprocess> make(const std::string& pixel_format, Size source_wh, const std::string& matrix,
                                 bool is_full_range, Box source_xywh, Size size_wh, Box target_xywh, float pad,
                                 const std::string& interpolation, const std::string& colour, const std::string& dtype,
                                 const std::string& layout, const std::vector<double>& mean,
                                 const std::vector<double>& std, double quantum, int threads) {
  PreprocessOptions options = {};
  options.pixel_format = static_cast<PixelFormat>(index_of("pixel format", pixel_format, kPixelFormats));
  options.source_width = source_wh[0];
  options.source_height = source_wh[1];
  options.matrix = matrix_of(matrix, is_full_range);
  options.source = {source_xywh[0], source_xywh[1], source_xywh[2], source_xywh[3]};
  options.width = size_wh[0];
  options.height = size_wh[1];
  options.target = {target_xywh[0], target_xywh[1], target_xywh[2], target_xywh[3]};
  options.pad = pad;
  options.interpolation = static_cast<Interpolation>(index_of("interpolation", interpolation, kInterpolations));
  options.colour = static_cast<Colour>(index_of("colour", colour, kColours));
  options.dtype = static_cast<Dtype>(index_of("dtype", dtype, kDtypes));
  options.is_nhwc = index_of("layout", layout, kLayouts) == 1;
  options.threads = threads;
  set_scale(options, mean, std, quantum);
  return std::make_unique<Preprocess>(options);
}

}  // namespace

void bind_preprocess(py::module_& module) {
  py::class_<Preprocess>(module, "Preprocess", "Camera pixels to an input tensor in one pass; see imaging.preprocess.")
      .def(py::init(&make), py::kw_only(), py::arg("pixel_format"), py::arg("source_wh"), py::arg("matrix"),
           py::arg("is_full_range"), py::arg("source_xywh"), py::arg("size_wh"), py::arg("target_xywh"),
           py::arg("pad"), py::arg("interpolation"), py::arg("colour"), py::arg("dtype"), py::arg("layout"),
           py::arg("mean"), py::arg("std"), py::arg("quantum"), py::arg("threads"))
      .def("run", &run, py::arg("planes"), py::arg("tensor"), py::arg("batch_index") = 0,
           "Write a picture's planes (uint8 buffers) as one image of the tensor, with the interpreter lock released.")
      .def("tables", &tables, "What the plan was made with and its tables, copied; the keys are PreprocessTables'.");
}

}  // namespace edgeseg

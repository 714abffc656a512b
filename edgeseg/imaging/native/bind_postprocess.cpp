// Python's door to the mask and overlay plans: C buffers in, every shape, type and overlap checked, the lock released.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "postprocess.h"
#include "postprocess_overlay.h"

namespace py = pybind11;

namespace edgeseg {
namespace {

constexpr const char* kFormats[] = {"f", "e", "b"};
constexpr int kBytes[] = {4, 2, 1};
constexpr const char* kNames[] = {"float32", "float16", "int8"};

std::string shape_text(const py::buffer_info& info) {
  std::string text = "(";
  for (std::size_t i = 0; i < info.shape.size(); ++i) text += (i ? ", " : "") + std::to_string(info.shape[i]);
  return text + ")";
}

[[noreturn]] void refuse(const std::string& name, const py::buffer_info& info, const std::string& expected) {
  throw py::value_error(name + " is '" + info.format + "' " + shape_text(info) + "; expected " + expected);
}

bool has_format(const py::buffer_info& info, const char* format) {
  const char* given = info.format.c_str();
  if (*given == '@' || *given == '=' || *given == '<') ++given;  // native order on every machine this builds for
  return std::strcmp(given, format) == 0;
}

bool has_shape(const py::buffer_info& info, const std::vector<py::ssize_t>& shape) { return info.shape == shape; }

// The bytes that a buffer touches, whatever the signs of its strides.
struct Range {
  const char *begin, *end;
  explicit Range(const py::buffer_info& info) : begin(static_cast<const char*>(info.ptr)), end(begin + info.itemsize) {
    for (std::size_t i = 0; i < info.shape.size(); ++i) {
      const py::ssize_t reach = (info.shape[i] - 1) * info.strides[i];
      (reach < 0 ? begin : end) += reach;
    }
  }
  bool meets(const Range& other) const { return begin < other.end && other.begin < end; }
};

void refuse_overlap(const char* one, const py::buffer_info& a, const char* other, const py::buffer_info& b) {
  if (Range(a).meets(Range(b))) throw py::value_error(std::string(one) + " and " + other + " overlap in memory");
}

void refuse_read_only(const char* name, const py::buffer_info& info) {
  if (info.readonly) throw py::value_error(std::string(name) + " is read-only: give a writable buffer");
}

// uint8 rows that do not overlap one another, their pixels side by side; `bytes` a pixel.
void check_rows(const char* name, const py::buffer_info& info, int height, int width, int bytes, bool is_output) {
  std::vector<py::ssize_t> shape{height, width};
  if (bytes > 1) shape.push_back(bytes);
  std::string expected = "uint8 (" + std::to_string(height) + ", " + std::to_string(width);
  expected += bytes > 1 ? ", " + std::to_string(bytes) + ")" : ")";
  if (!has_format(info, "B") || !has_shape(info, shape)) refuse(name, info, expected);
  const bool is_dense = (width == 1 || info.strides[1] == bytes) && (bytes == 1 || info.strides[2] == 1);
  const py::ssize_t pitch = info.strides[0] < 0 ? -info.strides[0] : info.strides[0];
  if (!is_dense || (is_output && height > 1 && pitch < static_cast<py::ssize_t>(width) * bytes))
    throw py::value_error(std::string(name) + " has strides that leave no whole rows: its pixels stand side by side");
  if (is_output) refuse_read_only(name, info);
}

LogitsView view_logits(const MaskSetup& setup, bool is_nhwc, const py::buffer_info& info) {
  const int type = static_cast<int>(setup.type);
  std::vector<py::ssize_t> shape{setup.channels, setup.logits_height, setup.logits_width};
  if (is_nhwc) shape = {setup.logits_height, setup.logits_width, setup.channels};
  const std::size_t lead = info.shape.size() == 4 && info.shape[0] == 1 ? 1 : 0;
  const std::vector<py::ssize_t> given(info.shape.begin() + static_cast<std::ptrdiff_t>(lead), info.shape.end());
  if (!has_format(info, kFormats[type]) || info.itemsize != kBytes[type] || given != shape)
    refuse("logits", info, std::string(kNames[type]) + (is_nhwc ? " NHWC (" : " NCHW (") + std::to_string(shape[0]) +
           ", " + std::to_string(shape[1]) + ", " + std::to_string(shape[2]) + "), with or without a batch of 1");
  const py::ssize_t* strides = info.strides.data() + lead;
  if (is_nhwc) return {static_cast<const char*>(info.ptr), strides[2], strides[0], strides[1]};
  return {static_cast<const char*>(info.ptr), strides[0], strides[1], strides[2]};
}

class PyOverlayPlan {
 public:
  PyOverlayPlan(const py::buffer& colours, const py::buffer& is_clear, int weight, const py::object& boundary,
                int threads)
      : plan_(make_setup(colours, is_clear, weight, boundary, threads)) {}

  OverlayPlan& plan() { return plan_; }

  // uint16 (256, 4): what blend() takes of every label, three values and the rest.
  py::array_t<std::uint16_t> tables() const {
    py::array_t<std::uint16_t> table({256, 4});
    auto to = table.mutable_unchecked<2>();
    for (py::ssize_t label = 0; label < 256; ++label) {
      const OverlayColour& colour = plan_.colours()[static_cast<std::size_t>(label)];
      for (py::ssize_t i = 0; i < 3; ++i) to(label, i) = colour.values[i];
      to(label, 3) = colour.rests[0];
    }
    return table;
  }

  static OverlayJob make_job(const py::buffer_info& frame, const py::buffer_info& mask,
                             const py::buffer_info& picture) {
    if (mask.shape.size() != 2 || std::min(mask.shape[0], mask.shape[1]) < 1 ||
        std::max(mask.shape[0], mask.shape[1]) > kMaxSide)
      refuse("mask", mask, "uint8 (height, width) with sides of 1 to " + std::to_string(kMaxSide));
    const int height = static_cast<int>(mask.shape[0]), width = static_cast<int>(mask.shape[1]);
    check_rows("mask", mask, height, width, 1, false);
    check_rows("frame", frame, height, width, 3, false);
    check_rows("picture", picture, height, width, 3, true);
    refuse_overlap("mask", mask, "picture", picture);
    const bool is_in_place = frame.ptr == picture.ptr && frame.strides[0] == picture.strides[0];
    if (!is_in_place) refuse_overlap("frame", frame, "picture", picture);
    return {static_cast<const std::uint8_t*>(frame.ptr), frame.strides[0], static_cast<const std::uint8_t*>(mask.ptr),
            mask.strides[0], static_cast<std::uint8_t*>(picture.ptr), picture.strides[0], height, width};
  }

  void run(const py::buffer& frame, const py::buffer& mask, const py::buffer& picture) {
    const py::buffer_info frame_info = frame.request(), mask_info = mask.request(), picture_info = picture.request();
    const OverlayJob job = make_job(frame_info, mask_info, picture_info);
    py::gil_scoped_release release;
    plan_.run(job);
  }

 private:
  static OverlaySetup make_setup(const py::buffer& colours, const py::buffer& is_clear, int weight,
                                 const py::object& boundary, int threads) {
    OverlaySetup setup{};
    const py::buffer_info table = colours.request(), clear = is_clear.request();
    check_rows("colours", table, 256, 3, 1, false);
    if (!has_format(clear, "?") || !has_shape(clear, {256})) refuse("is_clear", clear, "bool (256)");
    for (int label = 0; label < 256; ++label) {
      std::memcpy(setup.colours[label], static_cast<const char*>(table.ptr) + label * table.strides[0], 3);
      setup.is_clear[label] = *(static_cast<const char*>(clear.ptr) + label * clear.strides[0]) != 0;
    }
    setup.weight = weight;
    setup.has_boundary = !boundary.is_none();
    setup.threads = threads;
    if (!setup.has_boundary) return setup;
    const auto colour = boundary.cast<std::vector<int>>();
    if (colour.size() != 3 || *std::min_element(colour.begin(), colour.end()) < 0 ||
        *std::max_element(colour.begin(), colour.end()) > 255)
      throw py::value_error("boundary is no colour: give three values of 0 to 255");
    for (std::size_t i = 0; i < 3; ++i) setup.boundary[i] = static_cast<std::uint8_t>(colour[i]);
    return setup;
  }

  OverlayPlan plan_;
};

// The buffers of one run besides logits and mask; they are held until it has ended.
struct Extras {
  py::buffer_info confidence, areas, frame, picture;
};

py::buffer_info take(const char* name, const py::object& object) {
  if (!py::isinstance<py::buffer>(object)) throw py::value_error(std::string(name) + " is no buffer: give an array");
  return object.cast<py::buffer>().request();
}

// The cell of every pixel of an axis: -1 beside the window.
py::array_t<int> cells_of(const Axis& axis, int pixels) {
  py::array_t<int> cells(pixels);
  int* to = cells.mutable_data();
  std::fill(to, to + pixels, -1);
  for (std::size_t cell = 0; cell + 1 < axis.begin.size(); ++cell)
    std::fill(to + axis.begin[cell], to + axis.begin[cell + 1], static_cast<int>(cell));
  return cells;
}

py::array_t<float> weights_of(const Axis& axis, int pixels) { return py::array_t<float>(pixels, axis.weight.data()); }

class PyMaskPlan {
 public:
  PyMaskPlan(const MaskSetup& setup, bool is_nhwc) : plan_(setup), is_nhwc_(is_nhwc) {}

  void run(const py::buffer& logits, const py::buffer& mask, const py::object& confidence, const py::object& areas,
           const py::object& overlay, const py::object& frame, const py::object& picture) {
    const MaskSetup& setup = plan_.setup();
    const py::buffer_info logits_info = logits.request(), mask_info = mask.request();
    const LogitsView view = view_logits(setup, is_nhwc_, logits_info);
    check_rows("mask", mask_info, setup.mask_height, setup.mask_width, 1, true);
    refuse_overlap("logits", logits_info, "mask", mask_info);
    MaskTarget target{static_cast<std::uint8_t*>(mask_info.ptr), mask_info.strides[0], nullptr, 0, nullptr};
    Extras extras;
    take_confidence(confidence, logits_info, mask_info, extras, target);
    std::int64_t counts[kLabels];
    if (take_areas(areas, logits_info, mask_info, extras)) target.areas = counts;
    OverlayPlan* painter = overlay.is_none() ? nullptr : &overlay.cast<PyOverlayPlan&>().plan();
    OverlayJob job{};
    if (painter != nullptr) job = take_picture(frame, picture, logits_info, mask_info, extras);
    {
      py::gil_scoped_release release;
      plan_.run(view, target);
      if (painter != nullptr) painter->run(job);
    }
    if (target.areas != nullptr) give_areas(counts, extras.areas);
  }

  py::dict tables() const {
    const MaskSetup& setup = plan_.setup();
    py::dict all;
    all["x_cell"] = cells_of(plan_.x_axis(), setup.mask_width);
    all["x_weight"] = weights_of(plan_.x_axis(), setup.mask_width);
    all["y_cell"] = cells_of(plan_.y_axis(), setup.mask_height);
    all["y_weight"] = weights_of(plan_.y_axis(), setup.mask_height);
    all["window_xywh"] = py::make_tuple(setup.window_x, setup.window_y, setup.window_width, setup.window_height);
    all["classes"] = plan_.classes();
    all["confidence"] = static_cast<int>(plan_.confidence());
    all["faint"] = plan_.faint();
    return all;
  }

 private:
  void take_confidence(const py::object& object, const py::buffer_info& logits, const py::buffer_info& mask,
                       Extras& extras, MaskTarget& target) const {
    const MaskSetup& setup = plan_.setup();
    if (object.is_none() == setup.has_confidence)
      throw py::value_error(setup.has_confidence ? "confidence is missing: this plan makes one"
                                                 : "confidence is given: this plan makes none");
    if (!setup.has_confidence) return;
    py::buffer_info& info = extras.confidence = take("confidence", object);
    check_rows("confidence", info, setup.mask_height, setup.mask_width, 1, true);
    refuse_overlap("confidence", info, "mask", mask);
    refuse_overlap("confidence", info, "logits", logits);
    target.confidence = static_cast<std::uint8_t*>(info.ptr);
    target.confidence_pitch = info.strides[0];
  }

  bool take_areas(const py::object& object, const py::buffer_info& logits, const py::buffer_info& mask,
                  Extras& extras) const {
    if (object.is_none()) return false;
    py::buffer_info& info = extras.areas = take("areas", object);
    const bool is_int64 = (has_format(info, "q") || has_format(info, "l")) && info.itemsize == 8;
    if (!is_int64 || !has_shape(info, {kLabels})) refuse("areas", info, "int64 (256)");
    refuse_read_only("areas", info);
    refuse_overlap("areas", info, "logits", logits);
    refuse_overlap("areas", info, "mask", mask);
    if (plan_.setup().has_confidence) refuse_overlap("areas", info, "confidence", extras.confidence);
    return true;
  }

  // They are counted aside and moved by memcpy: the caller's buffer promises no alignment.
  static void give_areas(const std::int64_t* counts, const py::buffer_info& info) {
    for (int label = 0; label < kLabels; ++label)
      std::memcpy(static_cast<char*>(info.ptr) + label * info.strides[0], &counts[label], sizeof counts[0]);
  }

  OverlayJob take_picture(const py::object& frame, const py::object& picture, const py::buffer_info& logits,
                          const py::buffer_info& mask, Extras& extras) const {
    extras.frame = take("frame", frame);
    extras.picture = take("picture", picture);
    const OverlayJob job = PyOverlayPlan::make_job(extras.frame, mask, extras.picture);
    refuse_overlap("frame", extras.frame, "mask", mask);
    refuse_overlap("logits", logits, "picture", extras.picture);
    if (!plan_.setup().has_confidence) return job;
    refuse_overlap("confidence", extras.confidence, "frame", extras.frame);
    refuse_overlap("confidence", extras.confidence, "picture", extras.picture);
    return job;
  }

  MaskPlan plan_;
  bool is_nhwc_;
};

int choice(const char* what, const std::string& given, const std::vector<std::string>& names) {
  const auto found = std::find(names.begin(), names.end(), given);
  if (found != names.end()) return static_cast<int>(found - names.begin());
  std::string all;
  for (const std::string& name : names) all += " " + name;
  throw py::value_error(std::string(what) + " is '" + given + "'; expected one of" + all);
}

using Pair = std::pair<int, int>;
using Box = std::tuple<int, int, int, int>;
using FloatBox = std::tuple<float, float, float, float>;

}  // namespace

void bind_postprocess(py::module_& module) {
  py::class_<PyOverlayPlan>(module, "OverlayPlan")
      .def(py::init<const py::buffer&, const py::buffer&, int, const py::object&, int>(), py::kw_only(),
           py::arg("colours"), py::arg("is_clear"), py::arg("weight"), py::arg("boundary") = py::none(),
           py::arg("threads"))
      .def("run", &PyOverlayPlan::run, py::arg("frame"), py::arg("mask"), py::arg("picture"))
      .def("tables", &PyOverlayPlan::tables);

  py::class_<PyMaskPlan>(module, "MaskPlan")
      .def(py::init([](int channels, Pair logits_hw, const std::string& layout, const std::string& dtype, float scale,
                       Pair size_hw, const std::string& coordinates, const std::string& rounding, Pair grid_hw,
                       FloatBox region, Box window, int outside, int ignored, float threshold,
                       const std::string& scores, bool has_confidence, int threads) {
             MaskSetup setup{};
             setup.channels = channels;
             setup.logits_height = logits_hw.first, setup.logits_width = logits_hw.second;
             setup.type = static_cast<LogitType>(choice("dtype", dtype, {"float32", "float16", "int8"}));
             setup.scale = scale;
             setup.mask_height = size_hw.first, setup.mask_width = size_hw.second;
             setup.rule =
                 static_cast<Rule>(choice("coordinates", coordinates, {"half_pixel", "align_corners", "asymmetric"}));
             setup.rounding = static_cast<Rounding>(
                 choice("rounding", rounding, {"none", "floor", "ceil", "round_prefer_floor", "round_prefer_ceil"}));
             setup.grid_height = grid_hw.first, setup.grid_width = grid_hw.second;
             std::tie(setup.region_x, setup.region_y, setup.region_width, setup.region_height) = region;
             std::tie(setup.window_x, setup.window_y, setup.window_width, setup.window_height) = window;
             setup.outside = outside, setup.ignored = ignored, setup.threshold = threshold;
             setup.has_probabilities = choice("scores", scores, {"logits", "probabilities"}) == 1;
             setup.has_confidence = has_confidence, setup.threads = threads;
             return new PyMaskPlan(setup, choice("layout", layout, {"NCHW", "NHWC"}) == 1);
           }),
           py::kw_only(), py::arg("channels"), py::arg("logits_hw"), py::arg("layout") = "NCHW",
           py::arg("dtype") = "float32", py::arg("scale") = 1.0f, py::arg("size_hw"),
           py::arg("coordinates") = "half_pixel", py::arg("rounding") = "none", py::arg("grid_hw"),
           py::arg("region_xywh"), py::arg("window_xywh"), py::arg("outside") = 255, py::arg("ignored_class") = -1,
           py::arg("threshold") = 0.0f, py::arg("scores") = "logits", py::arg("has_confidence") = false, py::arg("threads"))
      .def("run", &PyMaskPlan::run, py::arg("logits"), py::arg("mask"), py::kw_only(),
           py::arg("confidence") = py::none(), py::arg("areas") = py::none(), py::arg("overlay") = py::none(),
           py::arg("frame") = py::none(), py::arg("picture") = py::none())
      .def("tables", &PyMaskPlan::tables);
}

}  // namespace edgeseg

// The extension module edgeseg.imaging._native: what Python sees of the pixel kernels.
#include <pybind11/pybind11.h>

namespace edgeseg {
void bind_preprocess(pybind11::module_& module);
void bind_postprocess(pybind11::module_& module);
}  // namespace edgeseg

PYBIND11_MODULE(_native, module, pybind11::mod_gil_not_used()) {
  module.doc() = "Fused pre- and post-processing on C buffers; see edgeseg.imaging for the public names.";
  edgeseg::bind_preprocess(module);
  edgeseg::bind_postprocess(module);
}

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import edgeseg.imaging

NATIVE = Path(edgeseg.imaging.__file__).parent / "native"

PIXEL_KERNEL = """
#include "pixel_math.h"

// One pixel a thread: every function of the post-processing's arithmetic, as a kernel would use it.
__global__ void pixel(const unsigned short* halves, const unsigned char* frame, unsigned char* out, int width, int in) {
  const int x = blockIdx.x * blockDim.x + threadIdx.x;
  if (x >= width) return;
  const float place = edgeseg::source_of(edgeseg::Rule::half_pixel,
                                         edgeseg::scale_of(edgeseg::Rule::half_pixel, in, width), x);
  float best = -1.0f, sum = 0.0f;
  for (int c = 0; c < 4; ++c) {
    const float logit = edgeseg::clean_logit(edgeseg::half_to_float(halves[c * in + static_cast<int>(place)]));
    const float value = edgeseg::bilinear(logit, logit, logit, logit, 0.5f, place - static_cast<int>(place));
    if (edgeseg::beats(value, best) && edgeseg::least_of(value) > edgeseg::most_of(best)) best = value;
    sum += edgeseg::exp_of_nonpositive(value - best);
  }
  out[x] = edgeseg::blend(frame[x], edgeseg::confidence_of(sum), 128);
}
"""


COLOUR_KERNEL = """
#include "colour_math.h"
using namespace edgeseg;

__global__ void pixel(const unsigned char* yuv, YuvMatrix m, unsigned short* halves, signed char* bytes, int width) {
  const int x = blockIdx.x * blockDim.x + threadIdx.x;
  if (x >= width) return;
  const float y = yuv[3 * x], u = yuv[3 * x + 1], v = yuv[3 * x + 2];
  const float red = with_luma(m, y, red_chroma(m, v)), blue = with_luma(m, y, blue_chroma(m, u));
  const float grey = grey_of(red, with_luma(m, y, green_chroma(m, u, v)), blue);
  const float value = normalised(mix(grey, red, 0.25f), 0.02f, -2.0f);
  halves[x] = half_bits(value);
  bytes[x] = static_cast<signed char>(static_cast<int>(rounded(clamped(value, -128.0f, 127.0f))));
}
"""


@pytest.mark.parametrize("kernel", [PIXEL_KERNEL, COLOUR_KERNEL], ids=["pixel", "colour"])
def test_the_shared_arithmetic_compiles_for_a_jetson_orin(tmp_path: Path, kernel: str) -> None:
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("nvcc is not on the path")
    source, cubin = tmp_path / "pixel.cu", tmp_path / "pixel.cubin"
    source.write_text(kernel)
    words = [nvcc, "-arch=sm_87", "-cubin", "--fmad=false", "-std=c++17", "-Werror=all-warnings", f"-I{NATIVE}"]
    done = subprocess.run([*words, str(source), "-o", str(cubin)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert cubin.read_bytes()[:4] == b"\x7fELF"

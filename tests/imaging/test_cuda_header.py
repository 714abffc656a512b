from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import edgeseg.imaging

NATIVE = Path(edgeseg.imaging.__file__).parent / "native"

KERNEL = """
#include "pixel_math.h"
#include "colour_math.h"

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


def test_the_pixel_arithmetic_compiles_for_a_jetson_orin(tmp_path: Path) -> None:
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("nvcc is not on the path")
    source, cubin = tmp_path / "pixel.cu", tmp_path / "pixel.cubin"
    source.write_text(KERNEL)
    words = [nvcc, "-arch=sm_87", "-cubin", "--fmad=false", "-std=c++17", "-Werror=all-warnings", f"-I{NATIVE}"]
    done = subprocess.run([*words, str(source), "-o", str(cubin)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert cubin.read_bytes()[:4] == b"\x7fELF"

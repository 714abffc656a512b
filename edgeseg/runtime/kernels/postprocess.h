// What the kernels of the post-processing are told; postprocess.py mirrors every struct. Plain data.
//
// Pointers are the device's. Strides and pitches count bytes. Tables and their meaning come from MaskPlan::tables.
#pragma once

#include "pixel_math.h"

namespace edgeseg {

// Scores of one picture at any strides: NCHW, NHWC, and TensorRT's HWC8 and HWC16, whose padding is never read. Address
// and strides are multiples of the type's size.
struct LogitsParams {
  const char* data;
  long long channel, row, column;
  int channels, height, width;
  int type;         // LogitType
  float scale;      // of int8
  float threshold;  // of one class
  int ignored;      // the class that never wins, -1 for none
  int is_nearest;
};

struct CornersParams {
  LogitsParams logits;
  unsigned char* labels;  // height x width, dense
};

// Where the pixels of the mask lie among the logits. Tables along x are padded to a multiple of 16 entries by cell -1.
struct GridParams {
  const int* x_cell;  // the logit at or before a pixel; -1 outside of the window
  const float* x_weight;
  const int* y_cell;
  const float* y_weight;
  int width, height;  // of the mask
};

struct MaskParams {
  LogitsParams logits;
  GridParams grid;
  const unsigned char* labels;  // made by edgeseg_corners
  unsigned char* mask;
  long long mask_pitch;
  int outside;
  int reserved;
};

struct ConfidenceParams {
  LogitsParams logits;
  GridParams grid;
  unsigned char* confidence;
  long long confidence_pitch;
  int kind;     // Confidence
  float faint;  // how far below the winner's lowest corner a class's highest may lie and still count; 0 but for softmax
};

struct IdsParams {
  const int* ids;
  long long ids_pitch;
  GridParams grid;  // its weights are not read
  unsigned char* mask;
  long long mask_pitch;
  int outside;
  int reserved;
};

struct AreasParams {
  const unsigned char* mask;
  long long mask_pitch;
  unsigned long long* areas;  // 256; added to, so set them to 0 first
  int width, height;
};

struct OverlayParams {
  const unsigned char* frame;  // 3 bytes a pixel; may be the picture
  long long frame_pitch;
  const unsigned char* mask;
  long long mask_pitch;
  unsigned char* picture;
  long long picture_pitch;
  const unsigned short* colours;  // 256 x 4, of OverlayPlan::tables
  int width, height;
  int boundary;  // colour of its pixels, the first channel in the lowest byte; -1 draws none
  int reserved;
};

static_assert(sizeof(LogitsParams) == 64 && sizeof(GridParams) == 40, "mirrored by postprocess.py");
static_assert(sizeof(CornersParams) == 72 && sizeof(MaskParams) == 136, "mirrored by postprocess.py");
static_assert(sizeof(ConfidenceParams) == 128 && sizeof(IdsParams) == 80, "mirrored by postprocess.py");
static_assert(sizeof(AreasParams) == 32 && sizeof(OverlayParams) == 72, "mirrored by postprocess.py");

}  // namespace edgeseg

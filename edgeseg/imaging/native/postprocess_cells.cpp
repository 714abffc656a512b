// The inner loops of the mask, written in vectors of kLanes values; the compiler maps them to what the CPU has.
//
// Why the shortcut gives the plain loop's mask, bit for bit. All values are finite (clean_logit). For a pixel with the
// weights w_ij >= 0 let F(p) be the computed bilinear value of four corners and L(p) = sum w_ij p_ij the exact one.
//   (1) F never falls when a corner rises: every product with w >= 0 and every sum is rounded monotonically.
//   (2) |F(p) - L(p)| <= g sum w_ij |p_ij| + t: a corner passes four roundings, so g < 2^-21; t < 2^-122 covers what
//       falls below the normal numbers. sum w_ij is 1 but for rounding.
// Agreeing corners. Let class a win at all four corners, and by  least_of(a_ij) > most_of(s_ij)  where s_ij is the
// largest logit among the classes below a. A class b > a: b_ij <= a_ij, so F(b) <= F(a) by (1), and a tie keeps a, the
// lower one. A class b < a: F(b) <= F(s) by (1), and by (2) F(a) - F(s) >= sum w_ij (a_ij - s_ij - g (|a_ij| + |s_ij|))
// - 2t > 0, for least_of and most_of leave kSlack = 2^-20 of |a| and |s| and kTiny = 2^-120. So the loop ends with a.
// Dropped classes. Let d have the corner minimum m and c the corner maximum M < m by the same margin. By (1) and (2)
// F(c) <= F(M, M, M, M) < F(m, m, m, m) <= F(d): c never wins, wherever it stands. The class with the largest m is kept
// itself, as its own maximum is not below its minimum; so the winner is always among the kept ones, in their order.
#include "postprocess_cells.h"

#include <cstring>

#include "clones.h"
#include "pixel_math.h"
#include "postprocess_lanes.h"

namespace edgeseg {
EDGESEG_CLONES
void label_row(const StagedRow& row, int width, std::uint8_t* best_label, std::uint8_t* clear_label) {
  const int first = row.ignored == 0 ? 1 : 0;
  for (int x = 0; x <= width; x += kLanes) {
    Floats best = AT(row.values + first * row.plane + x);
    Floats below = Floats{} - kLogitLimit;  // the largest of the classes before the winner
    Ints label = Ints{} + first;
    for (int c = first + 1; c < row.classes; ++c) {
      if (c == row.ignored) continue;
      const Floats value = AT(row.values + c * row.plane + x);
      const Ints wins = value > best;
      below = wins ? best : below;
      best = wins ? value : best;
      label = wins ? Ints{} + c : label;
    }
    const Floats least = best - (kSlack * MAGNITUDE(best) + kTiny), most = below + kSlack * MAGNITUDE(below);
    const Ints clear = (label == first) | (least > most) ? label : Ints{} + kMixed;
    *reinterpret_cast<BytesAt*>(best_label + x) = __builtin_convertvector(label, Bytes);
    *reinterpret_cast<BytesAt*>(clear_label + x) = __builtin_convertvector(clear, Bytes);
  }
}

EDGESEG_CLONES
void agree_cells(const std::uint8_t* top, const std::uint8_t* bottom, int width, std::uint8_t* cells) {
  for (int x = 0; x < width; ++x) {
    const bool agree = (top[x] == top[x + 1]) & (top[x] == bottom[x]) & (top[x] == bottom[x + 1]);
    cells[x] = agree ? top[x] : kMixed;
  }
}

EDGESEG_CLONES
void find_candidates(const StagedRow& top, const StagedRow& bottom, int width, const std::uint8_t* cells, float margin,
                     std::uint32_t* sets, std::ptrdiff_t pitch) {
  const int words = (top.classes + kWordBits - 1) / kWordBits;
  for (int x = 0; x < width; x += kLanes) {
    const int here = width - x < kLanes ? width - x : kLanes;
    if (margin == 0.0f && std::memchr(cells + x, kMixed, static_cast<std::size_t>(here)) == nullptr) continue;
    Floats floor = Floats{} - kLogitLimit;
    for (int c = 0; c < top.classes; ++c) {
      if (c == top.ignored) continue;
      const float *a = top.values + c * top.plane + x, *b = bottom.values + c * bottom.plane + x;
      const Floats left = SMALLER(AT(a), AT(b)), right = SMALLER(AT(a + 1), AT(b + 1));
      const Floats least = SMALLER(left, right);
      floor = LARGER(floor, least);
    }
    const Floats bar = floor - (kSlack * MAGNITUDE(floor) + kTiny) - margin;
    for (int word = 0; word < words; ++word) {
      Ints set = Ints{};
      const int end = top.classes < (word + 1) * kWordBits ? top.classes : (word + 1) * kWordBits;
      for (int c = word * kWordBits; c < end; ++c) {
        if (c == top.ignored) continue;
        const float *a = top.values + c * top.plane + x, *b = bottom.values + c * bottom.plane + x;
        const Floats left = LARGER(AT(a), AT(b)), right = LARGER(AT(a + 1), AT(b + 1));
        const Floats most = LARGER(left, right);
        const Ints keep = most + kSlack * MAGNITUDE(most) >= bar;
        set |= keep & static_cast<int>(1u << (c % kWordBits));
      }
      *reinterpret_cast<IntsAt*>(sets + word * pitch + x) = set;
    }
  }
}

// A block's next cell overwrites what is of its own pixels, so every store is a whole vector.
EDGESEG_CLONES
void expand_cell(const StagedRow& top, const StagedRow& bottom, int cell, const int* ids, int count,
                 const float* column_weight, int offset, float* along_top, float* along_bottom) {
  const Floats weight = AT(column_weight + offset), rest = 1.0f - weight;
  for (int n = 0; n < count; ++n) {
    const float *a = top.values + ids[n] * top.plane + cell, *b = bottom.values + ids[n] * bottom.plane + cell;
    *reinterpret_cast<FloatsAt*>(along_top + n * kExpanded + offset) = rest * a[0] + weight * a[1];
    *reinterpret_cast<FloatsAt*>(along_bottom + n * kExpanded + offset) = rest * b[0] + weight * b[1];
  }
}

}  // namespace edgeseg

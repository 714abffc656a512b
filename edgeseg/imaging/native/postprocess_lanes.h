// Vectors of 16 values for the post-processing's inner loops; included by the files that hold such loops only.
//
// The compiler's own vector types: AVX-512, two of AVX2, four of SSE or NEON, as the function's target allows.
#pragma once

namespace edgeseg {
namespace {

typedef float Floats __attribute__((vector_size(64), may_alias));
typedef int Ints __attribute__((vector_size(64), may_alias));
typedef unsigned char Bytes __attribute__((vector_size(16)));
// The same in memory, at any address of a float or a byte.
typedef float FloatsAt __attribute__((vector_size(64), aligned(4), may_alias));
typedef int IntsAt __attribute__((vector_size(64), aligned(4), may_alias));
typedef unsigned char BytesAt __attribute__((vector_size(16), aligned(1), may_alias));

// Macros, not functions: vectors as arguments would tie their calls to one instruction set.
#define AT(address) (*reinterpret_cast<const FloatsAt*>(address))
#define LARGER(a, b) ((a) > (b) ? (a) : (b))
#define SMALLER(a, b) ((a) < (b) ? (a) : (b))
#define MAGNITUDE(a) LARGER(a, -(a))

}  // namespace
}  // namespace edgeseg

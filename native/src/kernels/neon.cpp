// The set for 64-bit ARM: NEON, which all have, with the dot products of bytes (sdot of ARMv8.2) and the products of
// matrices of bytes (smmla of ARMv8.6) where the processor and the compiler know them.
#include "sets.h"

#if defined(__aarch64__)

#include <arm_neon.h>

#include <cstring>
#include <limits>

#if defined(__linux__)
#include <sys/auxv.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#include "numbers.h"
#include "target.h"

// What the regions of the two are compiled for; not defined where the compiler knows them by no such region, as clang
// before version 17 unless all code is compiled for such processors. gcc wants ARMv8.2 below them.
#if defined(__clang__)
#if defined(__ARM_FEATURE_DOTPROD) || __clang_major__ >= 17
#define ATTENTO_DOT_PRODUCTS "dotprod"
#endif
#if (defined(__ARM_FEATURE_DOTPROD) && defined(__ARM_FEATURE_MATMUL_INT8)) || __clang_major__ >= 17
#define ATTENTO_MATRIX_PRODUCTS "dotprod,i8mm"
#endif
#elif defined(__ARM_FEATURE_DOTPROD)
#define ATTENTO_DOT_PRODUCTS "+dotprod"
#define ATTENTO_MATRIX_PRODUCTS "+dotprod+i8mm"
#else
#define ATTENTO_DOT_PRODUCTS "arch=armv8.2-a+dotprod"
#define ATTENTO_MATRIX_PRODUCTS "arch=armv8.2-a+dotprod+i8mm"
#endif

namespace attento {
namespace {

#include "neon_vectors.inl"
#include "vector_floats.inl"
// Attention stands on the functions before it.
#include "vector_attend.inl"

// A panel has eight vectors of outputs here. Two rows by eight vectors leave registers for what is multiplied.
constexpr int kMostRows = 2;
constexpr int vectors_at_once(int) { return 8; }

inline uint8x16_t bytes_at(const std::byte* values) { return vld1q_u8(reinterpret_cast<const std::uint8_t*>(values)); }
inline uint32x4_t group_at(const std::byte* values) {
  return vld1q_dup_u32(reinterpret_cast<const std::uint32_t*>(values));
}

struct Floats {
  using Sum = V;
  using Weights = V;
  using Inputs = V;
  struct Outputs {};

  static Sum start(const Matrix&, std::int64_t) { return zeros(); }
  static Weights weights(const std::byte* values) { return load(reinterpret_cast<const float*>(values)); }
  static Inputs inputs(const std::byte* values) { return vreinterpretq_f32_u32(group_at(values)); }
  static Sum step(Sum sum, Weights weights, Inputs inputs) { return add_product(weights, inputs, sum); }
  static Outputs outputs(const Matrix&, std::int64_t) { return {}; }
  static V value(Sum sum, Outputs, float) { return sum; }
};

// The numbers at even and those at odd places become floats.
struct Bf16 : Floats {
  using Weights = Pair;
  using Inputs = Pair;

  static Pair split(uint32x4_t pairs) {
    return {vreinterpretq_f32_u32(vshlq_n_u32(pairs, 16)),
            vreinterpretq_f32_u32(vandq_u32(pairs, vdupq_n_u32(0xffff0000u)))};
  }
  static Pair weights(const std::byte* values) { return split(vreinterpretq_u32_u8(bytes_at(values))); }
  static Pair inputs(const std::byte* values) { return split(group_at(values)); }
  static Sum step(Sum sum, const Pair& weights, const Pair& inputs) {
    return add_product(weights.second, inputs.second, add_product(weights.first, inputs.first, sum));
  }
};

// Without dot products. Two products of integers are 2 * 127 * 127 at most and fit 16 bits.
struct Integers {
  using Sum = int32x4_t;
  using Weights = int8x16_t;
  using Inputs = int8x16_t;
  using Outputs = V;

  static Sum start(const Matrix&, std::int64_t) { return vdupq_n_s32(0); }
  static Weights weights(const std::byte* values) { return vreinterpretq_s8_u8(bytes_at(values)); }
  static Inputs inputs(const std::byte* values) { return vreinterpretq_s8_u32(group_at(values)); }
  static Sum step(Sum sum, Weights weights, Inputs inputs) {
    const int16x8_t low = vmull_s8(vget_low_s8(weights), vget_low_s8(inputs));
    return vpadalq_s16(sum, vpaddq_s16(low, vmull_high_s8(weights, inputs)));
  }
  static Outputs outputs(const Matrix& matrix, std::int64_t output) { return load(matrix.scales + output); }
  static V value(Sum sum, Outputs factors, float scale) {
    return multiply(multiply(vcvtq_f32_s32(sum), factors), all(scale));
  }
};

namespace plain {
#include "vector_product.inl"
}

void product(const Matrix& matrix, const Rows& rows, Epilogue epilogue, float* out, std::int64_t stride) {
  switch (matrix.number) {
    case Number::int8: return plain::multiply_matrix<Integers>(matrix, rows, epilogue, out, stride);
    case Number::bf16: return plain::multiply_matrix<Bf16>(matrix, rows, epilogue, out, stride);
    default: return plain::multiply_matrix<Floats>(matrix, rows, epilogue, out, stride);
  }
}

}  // namespace
}  // namespace attento

#if defined(ATTENTO_DOT_PRODUCTS)

ATTENTO_BEGIN_TARGET(ATTENTO_DOT_PRODUCTS)

namespace attento {
namespace {

struct DotIntegers : Integers {
  static Sum step(Sum sum, Weights weights, Inputs inputs) { return vdotq_s32(sum, weights, inputs); }
};

namespace dot {
#include "vector_product.inl"
}

void dot_product(const Matrix& matrix, const Rows& rows, Epilogue epilogue, float* out, std::int64_t stride) {
  if (matrix.number != Number::int8) return product(matrix, rows, epilogue, out, stride);
  dot::multiply_matrix<DotIntegers>(matrix, rows, epilogue, out, stride);
}

}  // namespace
}  // namespace attento

ATTENTO_END_TARGET

#endif

#if defined(ATTENTO_MATRIX_PRODUCTS)

ATTENTO_BEGIN_TARGET(ATTENTO_MATRIX_PRODUCTS)

namespace attento {
namespace {

namespace i8mm {
using namespace dot;
#include "neon_i8mm.inl"
}

// Two rows take as many instructions either way, and of one row half the work would be for nothing.
void matrix_product(const Matrix& matrix, const Rows& rows, Epilogue epilogue, float* out, std::int64_t stride) {
  if (matrix.number != Number::int8 || rows.count <= 2) return dot_product(matrix, rows, epilogue, out, stride);
  i8mm::multiply_matrix(matrix, rows, epilogue, out, stride);
}

}  // namespace
}  // namespace attento

ATTENTO_END_TARGET

#endif

namespace attento {
namespace {

constexpr Kernels kPlain = {"neon", prepare, product, attend, normalize, gate, sum_exp, raise, store_numbers};
#if defined(ATTENTO_DOT_PRODUCTS)
constexpr Kernels kDot = {"neon", prepare, dot_product, attend, normalize, gate, sum_exp, raise, store_numbers};
#endif
#if defined(ATTENTO_MATRIX_PRODUCTS)
constexpr Kernels kMatrix = {"neon", prepare, matrix_product, attend, normalize, gate, sum_exp, raise, store_numbers};
#endif

#if defined(__linux__)
// HWCAP_ASIMDDP and HWCAP2_I8MM, which older headers lack.
[[maybe_unused]] bool has_dot_products() { return (getauxval(AT_HWCAP) & 1ul << 20) != 0; }
[[maybe_unused]] bool has_matrix_products() { return (getauxval(AT_HWCAP2) & 1ul << 13) != 0; }
#elif defined(__APPLE__)
bool has(const char* feature) {
  int value = 0;
  std::size_t size = sizeof value;
  return sysctlbyname(feature, &value, &size, nullptr, 0) == 0 && value != 0;
}
[[maybe_unused]] bool has_dot_products() { return has("hw.optional.arm.FEAT_DotProd"); }
[[maybe_unused]] bool has_matrix_products() { return has("hw.optional.arm.FEAT_I8MM"); }
#else
[[maybe_unused]] bool has_dot_products() { return false; }
[[maybe_unused]] bool has_matrix_products() { return false; }
#endif

}  // namespace

const Kernels* neon_kernels() {
#if defined(ATTENTO_MATRIX_PRODUCTS)
  if (has_dot_products() && has_matrix_products()) return &kMatrix;
#endif
#if defined(ATTENTO_DOT_PRODUCTS)
  if (has_dot_products()) return &kDot;
#endif
  return &kPlain;
}

}  // namespace attento

#endif

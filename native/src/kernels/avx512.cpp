// The sets for processors with AVX512: "avx512" (F, BW, VL) and "avx512_vnni", which multiplies integers, and bf16
// where the processor can, with one instruction. They differ in their products alone.
#include "sets.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <cstring>
#include <limits>

#include "numbers.h"
#include "target.h"

ATTENTO_BEGIN_TARGET("avx2,fma,avx512f,avx512bw,avx512vl")

namespace attento {
namespace {

#include "avx512_vectors.inl"
#include "vector_floats.inl"
// Attention stands on the functions before it.
#include "vector_attend.inl"

// A panel has two vectors of outputs here. Twelve rows by two vectors fill the registers.
constexpr int kMostRows = 12;
constexpr int vectors_at_once(int rows) { return rows <= 3 ? 8 : rows <= 6 ? 4 : 2; }

inline std::int32_t group_at(const std::byte* values) {
  std::int32_t group;
  std::memcpy(&group, values, sizeof group);
  return group;
}

struct Floats {
  using Sum = V;
  using Weights = V;
  using Inputs = V;
  struct Outputs {};

  static Sum start(const Matrix&, std::int64_t) { return zeros(); }
  static Weights weights(const std::byte* values) { return load(reinterpret_cast<const float*>(values)); }
  static Inputs inputs(const std::byte* values) { return _mm512_castsi512_ps(_mm512_set1_epi32(group_at(values))); }
  static Sum step(Sum sum, Weights weights, Inputs inputs) { return add_product(weights, inputs, sum); }
  static Outputs outputs(const Matrix&, std::int64_t) { return {}; }
  static V value(Sum sum, Outputs, float) { return sum; }
};

// Without an instruction for bf16: the numbers at even and those at odd places become floats.
struct ConvertedBf16 : Floats {
  using Weights = Pair;
  using Inputs = Pair;

  static Pair weights(const std::byte* values) { return split_bf16(_mm512_loadu_si512(values)); }
  static Pair inputs(const std::byte* values) { return split_bf16(_mm512_set1_epi32(group_at(values))); }
  static Sum step(Sum sum, const Pair& weights, const Pair& inputs) {
    return add_product(weights.second, inputs.second, add_product(weights.first, inputs.first, sum));
  }
};

// Without VNNI: |weight| times the input with the weight's sign. Two products are 2 * 127 * 127 at most and fit 16
// bits.
struct SignedIntegers {
  struct Weights {
    __m512i magnitudes;
    __mmask64 negative;
  };
  using Sum = __m512i;
  using Inputs = __m512i;
  using Outputs = V;

  static Sum start(const Matrix&, std::int64_t) { return _mm512_setzero_si512(); }
  static Weights weights(const std::byte* values) {
    const __m512i loaded = _mm512_loadu_si512(values);
    return {_mm512_abs_epi8(loaded), _mm512_movepi8_mask(loaded)};
  }
  static Inputs inputs(const std::byte* values) {
    return _mm512_set1_epi32(group_at(values) ^ static_cast<std::int32_t>(0x80808080u));
  }
  static Sum step(Sum sum, const Weights& weights, Inputs inputs) {
    const __m512i turned = _mm512_mask_sub_epi8(inputs, weights.negative, _mm512_setzero_si512(), inputs);
    const __m512i pairs = _mm512_maddubs_epi16(weights.magnitudes, turned);
    return _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
  }
  static Outputs outputs(const Matrix& matrix, std::int64_t output) { return load(matrix.scales + output); }
  static V value(Sum sum, Outputs factors, float scale) {
    return multiply(multiply(_mm512_cvtepi32_ps(sum), factors), all(scale));
  }
};

namespace plain {
#include "vector_product.inl"
}

void product(const Matrix& matrix, const Rows& rows, Epilogue epilogue, float* out, std::int64_t stride) {
  switch (matrix.number) {
    case Number::int8: return plain::multiply_matrix<SignedIntegers>(matrix, rows, epilogue, out, stride);
    case Number::bf16: return plain::multiply_matrix<ConvertedBf16>(matrix, rows, epilogue, out, stride);
    default: return plain::multiply_matrix<Floats>(matrix, rows, epilogue, out, stride);
  }
}

}  // namespace
}  // namespace attento

ATTENTO_END_TARGET
ATTENTO_BEGIN_TARGET("avx2,fma,avx512f,avx512bw,avx512vl,avx512vnni")

namespace attento {
namespace {

// An instruction multiplies unsigned by signed bytes: inputs are 128 too great, for which the sum begins lower.
struct Integers {
  using Sum = __m512i;
  using Weights = __m512i;
  using Inputs = __m512i;
  using Outputs = V;

  static Sum start(const Matrix& matrix, std::int64_t output) {
    return _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32(_mm512_loadu_si512(matrix.sums + output), 7));
  }
  static Weights weights(const std::byte* values) { return _mm512_loadu_si512(values); }
  static Inputs inputs(const std::byte* values) { return _mm512_set1_epi32(group_at(values)); }
  // Not by the intrinsic function, around which gcc 12 copies every sum twice.
  static Sum step(Sum sum, Weights weights, Inputs inputs) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(inputs), "v"(weights));
    return sum;
  }
  static Outputs outputs(const Matrix& matrix, std::int64_t output) { return load(matrix.scales + output); }
  static V value(Sum sum, Outputs factors, float scale) { return SignedIntegers::value(sum, factors, scale); }
};

namespace vnni {
#include "vector_product.inl"
}

void vnni_product(const Matrix& matrix, const Rows& rows, Epilogue epilogue, float* out, std::int64_t stride) {
  if (matrix.number != Number::int8) return product(matrix, rows, epilogue, out, stride);
  vnni::multiply_matrix<Integers>(matrix, rows, epilogue, out, stride);
}

}  // namespace
}  // namespace attento

ATTENTO_END_TARGET
ATTENTO_BEGIN_TARGET("avx2,fma,avx512f,avx512bw,avx512vl,avx512bf16")

namespace attento {
namespace {

struct Bf16 : Floats {
  using Weights = __m512i;
  using Inputs = __m512i;

  static Weights weights(const std::byte* values) { return _mm512_loadu_si512(values); }
  static Inputs inputs(const std::byte* values) { return _mm512_set1_epi32(group_at(values)); }
  static Sum step(Sum sum, Weights weights, Inputs inputs) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(inputs), reinterpret_cast<__m512bh>(weights));
  }
};

namespace bf16 {
#include "vector_product.inl"
}

void bf16_product(const Matrix& matrix, const Rows& rows, Epilogue epilogue, float* out, std::int64_t stride) {
  if (matrix.number != Number::bf16) return vnni_product(matrix, rows, epilogue, out, stride);
  bf16::multiply_matrix<Bf16>(matrix, rows, epilogue, out, stride);
}

}  // namespace
}  // namespace attento

ATTENTO_END_TARGET

namespace attento {
namespace {

constexpr Kernels kAvx512 = {"avx512", prepare, product, attend, normalize, gate, sum_exp, raise, store_numbers};
constexpr Kernels kVnni = {"avx512_vnni", prepare,     vnni_product, attend,       normalize,
                           gate,          sum_exp, raise, store_numbers};
constexpr Kernels kVnniBf16 = {"avx512_vnni", prepare,     bf16_product, attend,       normalize,
                               gate,          sum_exp, raise, store_numbers};

bool has_avx512() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("avx512f") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}

}  // namespace

const Kernels* avx512_kernels() { return has_avx512() ? &kAvx512 : nullptr; }

const Kernels* avx512_vnni_kernels() {
  if (!has_avx512() || !__builtin_cpu_supports("avx512vnni")) return nullptr;
  return __builtin_cpu_supports("avx512bf16") ? &kVnniBf16 : &kVnni;
}

}  // namespace attento

#endif

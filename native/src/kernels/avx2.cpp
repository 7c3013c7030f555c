// The set for processors with AVX2 and FMA.
#include "sets.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <cstring>
#include <limits>

#include "numbers.h"
#include "target.h"

ATTENTO_BEGIN_TARGET("avx2,fma")

namespace attento {
namespace {

#include "avx2_vectors.inl"
#include "vector_floats.inl"
// Attention stands on the functions before it.
#include "vector_attend.inl"

// A panel has four vectors of outputs here. Two rows by four vectors take half of the sixteen registers; with three
// rows converted bf16 and integers want more than there are.
constexpr int kMostRows = 2;
constexpr int panels_at_once(int rows) { return rows == 1 ? 2 : 1; }


inline std::int32_t group_at(const std::byte* values) {
  std::int32_t group;
  std::memcpy(&group, values, sizeof group);
  return group;
}

inline __m256i vector_at(const std::byte* values) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values));
}

struct Floats {
  using Sum = V;
  using Weights = V;
  using Inputs = V;
  struct Outputs {};

  static Sum start(const Matrix&, std::int64_t) { return zeros(); }
  static Weights weights(const std::byte* values) { return load(reinterpret_cast<const float*>(values)); }
  static Inputs inputs(const std::byte* values) { return _mm256_broadcast_ss(reinterpret_cast<const float*>(values)); }
  static Sum step(Sum sum, Weights weights, Inputs inputs) { return add_product(weights, inputs, sum); }
  static Outputs outputs(const Matrix&, std::int64_t) { return {}; }
  static V value(Sum sum, Outputs, float) { return sum; }
};

// The numbers at even and those at odd places become floats.
struct Bf16 : Floats {
  using Weights = Pair;
  using Inputs = Pair;

  static Pair weights(const std::byte* values) { return split_bf16(vector_at(values)); }
  static Pair inputs(const std::byte* values) { return split_bf16(_mm256_set1_epi32(group_at(values))); }
  static Sum step(Sum sum, const Pair& weights, const Pair& inputs) {
    return add_product(weights.second, inputs.second, add_product(weights.first, inputs.first, sum));
  }
};

// |weight| times the input with the weight's sign. Two products are 2 * 127 * 127 at most and fit 16 bits.
struct Integers {
  using Sum = __m256i;
  using Weights = __m256i;
  using Inputs = __m256i;
  using Outputs = V;

  static Sum start(const Matrix&, std::int64_t) { return _mm256_setzero_si256(); }
  static Weights weights(const std::byte* values) { return vector_at(values); }
  static Inputs inputs(const std::byte* values) { return _mm256_set1_epi32(group_at(values)); }
  static Sum step(Sum sum, Weights weights, Inputs inputs) {
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(inputs, weights));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
  static Outputs outputs(const Matrix& matrix, std::int64_t output) { return load(matrix.scales + output); }
  static V value(Sum sum, Outputs factors, float scale) {
    return multiply(multiply(_mm256_cvtepi32_ps(sum), factors), all(scale));
  }
};

#include "vector_product.inl"

void product(const Matrix& matrix, const Rows& rows, Epilogue epilogue, float* out, std::int64_t stride) {
  switch (matrix.number) {
    case Number::int8: return multiply_matrix<Integers>(matrix, rows, epilogue, out, stride);
    case Number::bf16: return multiply_matrix<Bf16>(matrix, rows, epilogue, out, stride);
    default: return multiply_matrix<Floats>(matrix, rows, epilogue, out, stride);
  }
}

constexpr Kernels kKernels = {"avx2", prepare, product, attend, normalize, gate, sum_exp, raise, store_numbers};

}  // namespace
}  // namespace attento

ATTENTO_END_TARGET

namespace attento {

const Kernels* avx2_kernels() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &kKernels : nullptr;
}

}  // namespace attento

#endif

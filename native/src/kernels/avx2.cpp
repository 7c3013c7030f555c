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

// Products of fewer rows are done before `Integers::start` has paid.
constexpr int kManyRows = 5;

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
struct SignedIntegers {
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

// For more rows, as an exclusive or takes any of four units where a change of sign takes one of the two that multiply:
// bits of the input turned where the weight is negative are -input - 1, for which the sum begins greater. Two products
// are 2 * 127 * 128 at most.
struct Integers : SignedIntegers {
  struct Weights {
    __m256i magnitudes;
    __m256i negative;
  };

  static Sum start(const Matrix& matrix, std::int64_t output) {
    const std::byte* weights = matrix.panels + output / kPanel * kPanel * matrix.padded_inputs() + output % kPanel * 4;
    Sum sum = _mm256_setzero_si256();
    // 127 pairs of no less than -256 fit 16 bits.
    for (int left = static_cast<int>(matrix.padded_inputs() / 4); left > 0; left -= 127) {
      __m256i pairs = _mm256_setzero_si256();
      for (int groups = least(left, 127); groups > 0; --groups, weights += kPanel * 4) {
        const __m256i below = _mm256_min_epi8(vector_at(weights), _mm256_setzero_si256());
        pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(_mm256_set1_epi8(1), below));
      }
      sum = _mm256_sub_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
    return sum;
  }
  static Weights weights(const std::byte* values) {
    const __m256i loaded = vector_at(values);
    return {_mm256_abs_epi8(loaded), _mm256_cmpgt_epi8(_mm256_setzero_si256(), loaded)};
  }
  static Sum step(Sum sum, const Weights& weights, Inputs inputs) {
    const __m256i pairs = _mm256_maddubs_epi16(weights.magnitudes, _mm256_xor_si256(inputs, weights.negative));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
};

// A panel has four vectors of outputs here. Six rows by two vectors leave four of the sixteen registers for what is
// multiplied.
constexpr int kMostRows = 6;
constexpr int vectors_at_once(int rows) { return rows == 1 ? 8 : rows <= 3 ? 4 : 2; }
#include "vector_product.inl"

// Converted numbers want more of them.
namespace converted {
constexpr int kMostRows = 2;
constexpr int vectors_at_once(int rows) { return rows == 1 ? 8 : 4; }
#include "vector_product.inl"
}  // namespace converted

void product(const Matrix& matrix, const Rows& rows, Epilogue epilogue, float* out, std::int64_t stride) {
  switch (matrix.number) {
    case Number::int8:
      if (rows.count < kManyRows) return multiply_matrix<SignedIntegers>(matrix, rows, epilogue, out, stride);
      return multiply_matrix<Integers>(matrix, rows, epilogue, out, stride);
    case Number::bf16: return converted::multiply_matrix<Bf16>(matrix, rows, epilogue, out, stride);
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

// Vectors of 16 floats in AVX512, as vector_floats.inl, vector_attend.inl and vector_product.inl read them.

constexpr int kLanes = 16;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

using V = __m512;

inline V zeros() { return _mm512_setzero_ps(); }
inline V all(float x) { return _mm512_set1_ps(x); }
inline V add(V a, V b) { return _mm512_add_ps(a, b); }
inline V subtract(V a, V b) { return _mm512_sub_ps(a, b); }
inline V multiply(V a, V b) { return _mm512_mul_ps(a, b); }
inline V divide(V a, V b) { return _mm512_div_ps(a, b); }
inline V add_product(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
inline V add_negative_product(V a, V b, V c) { return _mm512_fnmadd_ps(a, b, c); }
inline V maximum(V a, V b) { return _mm512_max_ps(a, b); }
inline V minimum(V a, V b) { return _mm512_min_ps(a, b); }
inline V magnitude(V x) { return _mm512_abs_ps(x); }
inline V nearest(V x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
inline V times_power_of_two(V x, V power) { return _mm512_scalef_ps(x, power); }
inline float sum(V x) { return _mm512_reduce_add_ps(x); }
inline float greatest_lane(V x) { return _mm512_reduce_max_ps(x); }
inline unsigned equal_lanes(V a, V b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
inline unsigned lanes_without_number(V x) { return _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q); }

inline __mmask16 first_lanes(int n) { return static_cast<__mmask16>((1u << n) - 1u); }

// The first n numbers; behind them zeros, or what `filled` holds.
inline V load(const float* x) { return _mm512_loadu_ps(x); }
inline V load(const float* x, int n) { return _mm512_maskz_loadu_ps(first_lanes(n), x); }
inline V load(const float* x, int n, V filled) { return _mm512_mask_loadu_ps(filled, first_lanes(n), x); }
inline void store(float* out, V x) { _mm512_storeu_ps(out, x); }
inline void store(float* out, V x, int n) { _mm512_mask_storeu_ps(out, first_lanes(n), x); }

// The greatest absolute value, found among bits taken as integers.
using Bits = __m512i;
inline Bits no_bits() { return _mm512_setzero_si512(); }
inline Bits greater_magnitude(Bits greatest, V x) {
  return _mm512_max_epi32(greatest, _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7fffffff)));
}
inline std::uint32_t greatest_of(Bits bits) { return static_cast<std::uint32_t>(_mm512_reduce_max_epi32(bits)); }

// Rows of integers are stored 128 too great, as the product reads them.
constexpr int kZeroInteger = 128;
inline void store_integers(std::byte* out, V x) {
  const __m128i bytes = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm_xor_si128(bytes, _mm_set1_epi8(-128)));
}

// As bf16_of_float.
inline void store_bf16(std::uint16_t* out, V x) {
  const __m512i bits = _mm512_castps_si512(x);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  const __m512i none = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
  const __m512i chosen = _mm512_mask_mov_epi32(rounded, static_cast<__mmask16>(lanes_without_number(x)), none);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm512_cvtepi32_epi16(_mm512_srli_epi32(chosen, 16)));
}

struct Pair {
  V first;
  V second;
};

// How many pairs of key or value numbers attention holds at once.
constexpr int kMostPairs = 2;

inline Pair split_bf16(__m512i numbers) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(numbers, 16)),
          _mm512_castsi512_ps(_mm512_and_si512(numbers, _mm512_set1_epi32(static_cast<int>(0xffff0000u))))};
}
inline Pair load_bf16(const std::uint16_t* x) { return split_bf16(_mm512_loadu_si512(x)); }
inline Pair load_bf16(const std::uint16_t* x, int count) {
  return split_bf16(_mm512_maskz_loadu_epi16(static_cast<__mmask32>((std::uint64_t{1} << count) - 1u), x));
}
inline Pair load_floats(const float* x, int count) {
  return {load(x, count < kLanes ? count : kLanes), load(x + kLanes, count < kLanes ? 0 : count - kLanes)};
}
inline Pair arrange(const Pair& pair) {
  const __m512i even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
  return {_mm512_permutex2var_ps(pair.first, even, pair.second), _mm512_permutex2var_ps(pair.first, odd, pair.second)};
}
inline Pair restore(const Pair& pair) {
  const __m512i low = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
  return {_mm512_permutex2var_ps(pair.first, low, pair.second), _mm512_permutex2var_ps(pair.first, high, pair.second)};
}

// Lane i becomes the sum of all lanes of parts[i].
inline V sums_of(const V (&parts)[kLanes]) {
  V fours[4];
  for (int i = 0; i < 4; ++i) {
    const V* x = parts + 4 * i;
    const __m512d a = _mm512_castps_pd(add(_mm512_unpacklo_ps(x[0], x[1]), _mm512_unpackhi_ps(x[0], x[1])));
    const __m512d b = _mm512_castps_pd(add(_mm512_unpacklo_ps(x[2], x[3]), _mm512_unpackhi_ps(x[2], x[3])));
    fours[i] = add(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
  }
  const V low = add(_mm512_shuffle_f32x4(fours[0], fours[1], 0x88), _mm512_shuffle_f32x4(fours[0], fours[1], 0xdd));
  const V high = add(_mm512_shuffle_f32x4(fours[2], fours[3], 0x88), _mm512_shuffle_f32x4(fours[2], fours[3], 0xdd));
  return add(_mm512_shuffle_f32x4(low, high, 0x88), _mm512_shuffle_f32x4(low, high, 0xdd));
}

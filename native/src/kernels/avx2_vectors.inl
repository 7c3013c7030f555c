// Vectors of 8 floats in AVX2 with FMA, as vector_floats.inl, vector_attend.inl and vector_product.inl read them.

constexpr int kLanes = 8;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

using V = __m256;

inline V zeros() { return _mm256_setzero_ps(); }
inline V all(float x) { return _mm256_set1_ps(x); }
inline V add(V a, V b) { return _mm256_add_ps(a, b); }
inline V subtract(V a, V b) { return _mm256_sub_ps(a, b); }
inline V multiply(V a, V b) { return _mm256_mul_ps(a, b); }
inline V divide(V a, V b) { return _mm256_div_ps(a, b); }
inline V add_product(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
inline V add_negative_product(V a, V b, V c) { return _mm256_fnmadd_ps(a, b, c); }
inline V maximum(V a, V b) { return _mm256_max_ps(a, b); }
inline V minimum(V a, V b) { return _mm256_min_ps(a, b); }
inline V magnitude(V x) { return _mm256_andnot_ps(all(-0.0f), x); }
inline V nearest(V x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

// In two steps, as 2^power may be too great or too small for a float where the result is none of it.
inline V times_power_of_two(V x, V power) {
  const __m256i whole = _mm256_cvtps_epi32(power);
  const __m256i half = _mm256_srai_epi32(whole, 1);
  const __m256i rest = _mm256_sub_epi32(whole, half);
  const __m256i one = _mm256_set1_epi32(127);
  const V first = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, one), 23));
  const V second = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, one), 23));
  return multiply(multiply(x, first), second);
}

inline float sum(V x) {
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  four = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(four, _mm_shuffle_ps(four, four, 1)));
}
inline float greatest_lane(V x) {
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  four = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(four, _mm_shuffle_ps(four, four, 1)));
}
inline unsigned equal_lanes(V a, V b) {
  return static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_EQ_OQ)));
}
inline unsigned lanes_without_number(V x) {
  return static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(x, x, _CMP_UNORD_Q)));
}

inline __m256i first_lanes(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

// The first n numbers; behind them zeros, or what `filled` holds.
inline V load(const float* x) { return _mm256_loadu_ps(x); }
inline V load(const float* x, int n) { return n == kLanes ? load(x) : _mm256_maskload_ps(x, first_lanes(n)); }
inline V load(const float* x, int n, V filled) {
  return n == kLanes ? load(x) : _mm256_blendv_ps(filled, load(x, n), _mm256_castsi256_ps(first_lanes(n)));
}
inline void store(float* out, V x) { _mm256_storeu_ps(out, x); }
inline void store(float* out, V x, int n) {
  if (n == kLanes) return store(out, x);
  _mm256_maskstore_ps(out, first_lanes(n), x);
}

// The greatest absolute value, found among bits taken as integers.
using Bits = __m256i;
inline Bits no_bits() { return _mm256_setzero_si256(); }
inline Bits greater_magnitude(Bits greatest, V x) {
  return _mm256_max_epi32(greatest, _mm256_castps_si256(magnitude(x)));
}
inline std::uint32_t greatest_of(Bits bits) {
  __m128i four = _mm_max_epi32(_mm256_castsi256_si128(bits), _mm256_extracti128_si256(bits, 1));
  four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0xb1));
  return static_cast<std::uint32_t>(_mm_cvtsi128_si32(four));
}

constexpr int kZeroInteger = 0;
inline void store_integers(std::byte* out, V x) {
  const __m256i integers = _mm256_cvtps_epi32(x);
  const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(integers), _mm256_extracti128_si256(integers, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(out), _mm_packs_epi16(words, words));
}

// As bf16_of_float.
inline void store_bf16(std::uint16_t* out, V x) {
  const __m256i bits = _mm256_castps_si256(x);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  const __m256i none = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
  const __m256i chosen = _mm256_blendv_epi8(rounded, none, _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q)));
  const __m256i words = _mm256_srli_epi32(chosen, 16);
  const __m128i packed = _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), packed);
}

struct Pair {
  V first;
  V second;
};

// How many pairs of key or value numbers attention holds at once.
constexpr int kMostPairs = 1;

inline Pair split_bf16(__m256i numbers) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(numbers, 16)),
          _mm256_castsi256_ps(_mm256_and_si256(numbers, _mm256_set1_epi32(static_cast<int>(0xffff0000u))))};
}
inline Pair load_bf16(const std::uint16_t* x) {
  return split_bf16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)));
}
// Less than a pair are eight here.
inline Pair load_bf16(const std::uint16_t* x, int) {
  return split_bf16(_mm256_zextsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x))));
}
inline Pair load_floats(const float* x, int) { return {load(x), zeros()}; }
inline Pair arrange(const Pair& pair) {
  const __m256i evens_first = _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7);
  const V a = _mm256_permutevar8x32_ps(pair.first, evens_first);
  const V b = _mm256_permutevar8x32_ps(pair.second, evens_first);
  return {_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31)};
}
inline Pair restore(const Pair& pair) {
  const V low = _mm256_unpacklo_ps(pair.first, pair.second);
  const V high = _mm256_unpackhi_ps(pair.first, pair.second);
  return {_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31)};
}

// Lane i becomes the sum of all lanes of parts[i].
inline V sums_of(const V (&parts)[kLanes]) {
  const V low = _mm256_hadd_ps(_mm256_hadd_ps(parts[0], parts[1]), _mm256_hadd_ps(parts[2], parts[3]));
  const V high = _mm256_hadd_ps(_mm256_hadd_ps(parts[4], parts[5]), _mm256_hadd_ps(parts[6], parts[7]));
  return add(_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31));
}

// Vectors of 4 floats in NEON, as vector_floats.inl, vector_attend.inl and vector_product.inl read them.

constexpr int kLanes = 4;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

using V = float32x4_t;

inline V zeros() { return vdupq_n_f32(0.0f); }
inline V all(float x) { return vdupq_n_f32(x); }
inline V add(V a, V b) { return vaddq_f32(a, b); }
inline V subtract(V a, V b) { return vsubq_f32(a, b); }
inline V multiply(V a, V b) { return vmulq_f32(a, b); }
inline V divide(V a, V b) { return vdivq_f32(a, b); }
inline V add_product(V a, V b, V c) { return vfmaq_f32(c, a, b); }
inline V add_negative_product(V a, V b, V c) { return vfmsq_f32(c, a, b); }
// Not vmaxq and vminq, whose result is no number where one of the two is none.
inline V maximum(V a, V b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
inline V minimum(V a, V b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
inline V magnitude(V x) { return vabsq_f32(x); }
inline V nearest(V x) { return vrndnq_f32(x); }
inline float sum(V x) { return vaddvq_f32(x); }
inline float greatest_lane(V x) { return vmaxvq_f32(x); }

inline unsigned bits_of(uint32x4_t lanes) {
  const uint32x4_t bits = {1, 2, 4, 8};
  return vaddvq_u32(vandq_u32(lanes, bits));
}
inline unsigned equal_lanes(V a, V b) { return bits_of(vceqq_f32(a, b)); }
inline unsigned lanes_without_number(V x) { return bits_of(vmvnq_u32(vceqq_f32(x, x))); }

// x 2^power in two steps, so that the result may be denormal or infinite.
inline V times_power_of_two(V x, V power) {
  const int32x4_t whole = vcvtq_s32_f32(power);
  const int32x4_t half = vshrq_n_s32(whole, 1);
  const int32x4_t zero_power = vdupq_n_s32(127);
  const V first = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(half, zero_power), 23));
  const V second = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vsubq_s32(whole, half), zero_power), 23));
  return multiply(multiply(x, first), second);
}

// The first n numbers; behind them zeros, or what `filled` holds.
inline V load(const float* x) { return vld1q_f32(x); }
inline V load(const float* x, int n, V filled) {
  if (n == kLanes) return load(x);
  float room[kLanes];
  vst1q_f32(room, filled);
  for (int i = 0; i < n; ++i) room[i] = x[i];
  return load(room);
}
inline V load(const float* x, int n) { return load(x, n, zeros()); }
inline void store(float* out, V x) { vst1q_f32(out, x); }
inline void store(float* out, V x, int n) {
  if (n == kLanes) return store(out, x);
  float room[kLanes];
  vst1q_f32(room, x);
  for (int i = 0; i < n; ++i) out[i] = room[i];
}

// The greatest absolute value, found among bits taken as integers.
using Bits = uint32x4_t;
inline Bits no_bits() { return vdupq_n_u32(0); }
inline Bits greater_magnitude(Bits greatest, V x) { return vmaxq_u32(greatest, vreinterpretq_u32_f32(magnitude(x))); }
inline std::uint32_t greatest_of(Bits bits) { return vmaxvq_u32(bits); }

constexpr int kZeroInteger = 0;
inline void store_integers(std::byte* out, V x) {
  const int16x4_t integers = vmovn_s32(vcvtnq_s32_f32(x));
  const int8x8_t bytes = vmovn_s16(vcombine_s16(integers, integers));
  vst1_lane_s32(reinterpret_cast<std::int32_t*>(out), vreinterpret_s32_s8(bytes), 0);
}

// As bf16_of_float.
inline void store_bf16(std::uint16_t* out, V x) {
  const uint32x4_t bits = vreinterpretq_u32_f32(x);
  const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
  const uint32x4_t rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
  const uint32x4_t none = vorrq_u32(bits, vdupq_n_u32(0x400000));
  vst1_u16(out, vshrn_n_u32(vbslq_u32(vceqq_f32(x, x), rounded, none), 16));
}

struct Pair {
  V first;
  V second;
};

// How many pairs of key or value numbers attention holds at once.
constexpr int kMostPairs = 2;

// A pair has 8 numbers, so that it is always whole and its numbers stand in their own order.
inline Pair load_bf16(const std::uint16_t* x) {
  const uint16x8_t numbers = vld1q_u16(x);
  return {vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(numbers), 16)),
          vreinterpretq_f32_u32(vshll_high_n_u16(numbers, 16))};
}
inline Pair load_bf16(const std::uint16_t* x, int) { return load_bf16(x); }
inline Pair load_floats(const float* x, int) { return {load(x), load(x + kLanes)}; }
inline Pair arrange(const Pair& pair) { return pair; }
inline Pair restore(const Pair& pair) { return pair; }

// Lane i becomes the sum of all lanes of parts[i].
inline V sums_of(const V (&parts)[kLanes]) {
  return vpaddq_f32(vpaddq_f32(parts[0], parts[1]), vpaddq_f32(parts[2], parts[3]));
}

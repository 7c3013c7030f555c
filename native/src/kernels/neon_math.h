// What the NEON set computes four numbers at a time: loads and stores of a part, functions, bf16.
#pragma once

#include <arm_neon.h>

#include <limits>

#include "kernels.h"

namespace attento {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// The first `count` numbers of four, `fill` behind them.
inline float32x4_t load(const float* x, int count, float fill = 0) {
  if (count >= 4) return vld1q_f32(x);
  float room[4] = {fill, fill, fill, fill};
  for (int i = 0; i < count; ++i) room[i] = x[i];
  return vld1q_f32(room);
}

inline void save(float* out, int count, float32x4_t values) {
  if (count >= 4) return vst1q_f32(out, values);
  float room[4];
  vst1q_f32(room, values);
  for (int i = 0; i < count; ++i) out[i] = room[i];
}

// ---- Functions of four numbers ----

// exp(x) = 2^n exp(r) with |r| <= ln(2) / 2, and exp(r) by its series: within 2 units in the last place.
inline float32x4_t exponential(float32x4_t x) {
  constexpr float kLeast = -87.3f;  // below it the result is no normal number: 0
  constexpr float kGreatest = 88.37f;
  const float32x4_t bounded = vminq_f32(vmaxq_f32(x, vdupq_n_f32(kLeast)), vdupq_n_f32(kGreatest));
  const float32x4_t n = vrndnq_f32(vmulq_n_f32(bounded, 1.44269504f));
  // ln(2) in two parts, of which n times the first is exact
  const float32x4_t r = vfmsq_n_f32(vfmsq_n_f32(bounded, n, 0.693359375f), n, -2.12194440e-4f);
  constexpr float kSeries[] = {1.f / 720, 1.f / 120, 1.f / 24, 1.f / 6, 1.f / 2, 1, 1};
  float32x4_t sum = vdupq_n_f32(1.f / 5040);
  for (const float coefficient : kSeries) sum = vfmaq_f32(vdupq_n_f32(coefficient), sum, r);
  const int32x4_t power = vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)), 23);
  const float32x4_t result = vmulq_f32(sum, vreinterpretq_f32_s32(power));
  return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(result), vcltq_f32(x, vdupq_n_f32(kLeast))));
}

inline float32x4_t sigmoid(float32x4_t x) {
  const float32x4_t one = vdupq_n_f32(1);
  return vdivq_f32(one, vaddq_f32(one, exponential(vnegq_f32(x))));
}

// Within 1.5e-7 (Abramowitz & Stegun 1964, formula 7.1.26).
inline float32x4_t error_function(float32x4_t x) {
  const float32x4_t size = vabsq_f32(x);
  const float32x4_t one = vdupq_n_f32(1);
  const float32x4_t t = vdivq_f32(one, vfmaq_n_f32(one, size, 0.3275911f));
  constexpr float kCoefficients[] = {-1.453152027f, 1.421413741f, -0.284496736f, 0.254829592f, 0};
  float32x4_t sum = vdupq_n_f32(1.061405429f);
  for (const float coefficient : kCoefficients) sum = vfmaq_f32(vdupq_n_f32(coefficient), sum, t);
  const float32x4_t result = vfmsq_f32(one, sum, exponential(vnegq_f32(vmulq_f32(size, size))));
  return vbslq_f32(vdupq_n_u32(0x80000000u), x, result);
}

inline float32x4_t activate(Activation activation, float32x4_t x) {
  switch (activation) {
    case Activation::none: return x;
    case Activation::relu: return vmaxq_f32(x, vdupq_n_f32(0));
    case Activation::silu: return vmulq_f32(x, sigmoid(x));
    case Activation::sigmoid: return sigmoid(x);
    case Activation::gelu: {
      const float32x4_t half = vmulq_n_f32(x, 0.5f);
      return vfmaq_f32(half, half, error_function(vmulq_n_f32(x, 0.70710678f)));
    }
    case Activation::gelu_tanh: {  // (1 + tanh(u)) / 2 = sigmoid(2 u)
      const float32x4_t cube = vmulq_f32(x, vmulq_f32(x, x));
      return vmulq_f32(x, sigmoid(vmulq_n_f32(vfmaq_n_f32(x, cube, 0.044715f), 1.59576912f)));
    }
  }
  return x;
}

inline float sum_of(const float* x, int count) {
  float32x4_t sums = vdupq_n_f32(0);
  for (int i = 0; i < count; i += 4) sums = vaddq_f32(sums, load(x + i, count - i));
  return vaddvq_f32(sums);
}

// No number where one of them is none.
inline float greatest_of(const float* x, int count) {
  float32x4_t greatest = vdupq_n_f32(-kInfinity);
  for (int i = 0; i < count; i += 4) greatest = vmaxq_f32(greatest, load(x + i, count - i, -kInfinity));
  return vmaxvq_f32(greatest);
}

// ---- bf16 ----

// To nearest, ties to even; what is no number stays none.
inline uint16x4_t to_bf16(float32x4_t x) {
  const uint32x4_t bits = vreinterpretq_u32_f32(x);
  const uint32x4_t even = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
  const uint32x4_t rounded = vaddq_u32(bits, vaddq_u32(even, vdupq_n_u32(0x7fff)));
  const uint32x4_t quiet = vorrq_u32(bits, vdupq_n_u32(0x400000));
  return vshrn_n_u32(vbslq_u32(vceqq_f32(x, x), rounded, quiet), 16);
}

struct Eight {
  float32x4_t low, high;
};

template <Number N>
inline Eight load_eight(const std::byte* cache, int first) {
  if constexpr (N == Number::f32) {
    const float* x = reinterpret_cast<const float*>(cache) + first;
    return {vld1q_f32(x), vld1q_f32(x + 4)};
  } else {
    const uint16x8_t x = vld1q_u16(reinterpret_cast<const std::uint16_t*>(cache) + first);
    return {vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(x), 16)), vreinterpretq_f32_u32(vshll_high_n_u16(x, 16))};
  }
}

}  // namespace
}  // namespace attento

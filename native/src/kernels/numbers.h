// Single numbers in the formats of rows and caches.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>

namespace attento {

inline float float_of_bf16(std::uint16_t value) {
  const std::uint32_t bits = static_cast<std::uint32_t>(value) << 16;
  float result;
  std::memcpy(&result, &bits, sizeof result);
  return result;
}

// Rounded to nearest, ties to even. What is no number stays none.
inline std::uint16_t bf16_of_float(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>(bits >> 16 | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

// How a row becomes integers: `inverse` is 0 where all of them are zero.
struct RowScale {
  float scale;
  float inverse;
};

// From the bits of the greatest absolute value of a row: as integers, infinity and what is no number are the greatest.
inline RowScale row_scale(std::uint32_t greatest_bits) {
  if (greatest_bits >= 0x7f800000u) return {std::numeric_limits<float>::quiet_NaN(), 0.0f};
  float greatest;
  std::memcpy(&greatest, &greatest_bits, sizeof greatest);
  // Of a row so small that 127 / greatest is infinite nothing is left after scaling.
  if (greatest < 1e-36f) return {0.0f, 0.0f};
  return {greatest / 127.0f, 127.0f / greatest};
}

}  // namespace attento

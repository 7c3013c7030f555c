// A matrix of weights as the products read it, and the two numbers that say how it is cut into panels.
#pragma once

#include <cstddef>
#include <cstdint>

namespace attento {

// How numbers are stored. The values stand in the model file and never change.
enum class Number : std::uint32_t { f32 = 0, int8 = 1, bf16 = 2, i32 = 3, f64 = 4, bytes = 5 };

// Outputs are cut into panels of so many; what is missing of the last one is filled with zeros.
inline constexpr int kPanel = 32;

// How many inputs of one output stand side by side in a panel: what one instruction multiplies at once.
constexpr int group_of(Number number) { return number == Number::int8 ? 4 : number == Number::bf16 ? 2 : 1; }

constexpr int size_of(Number number) {
  switch (number) {
    case Number::f64: return 8;
    case Number::f32:
    case Number::i32: return 4;
    case Number::bf16: return 2;
    default: return 1;
  }
}

constexpr std::int64_t round_up(std::int64_t value, std::int64_t step) { return (value + step - 1) / step * step; }

// y = W x + b. `panels` is [outputs / 32][inputs / group][32][group], both numbers rounded up and filled with zeros.
struct Matrix {
  Number number = Number::f32;  // f32, int8 or bf16
  int outputs = 0;
  int inputs = 0;
  const std::byte* panels = nullptr;     // 64-byte aligned
  const float* scales = nullptr;         // int8: a weight is its integer times the scale of its output; outputs rounded up
  const std::int32_t* sums = nullptr;    // int8: the sum of each output's integers; outputs rounded up
  const float* bias = nullptr;           // outputs rounded up, or nullptr

  std::int64_t padded_outputs() const { return round_up(outputs, kPanel); }
  std::int64_t padded_inputs() const { return round_up(inputs, group_of(number)); }
  std::int64_t bytes() const { return padded_outputs() * padded_inputs() * size_of(number); }
};

}  // namespace attento

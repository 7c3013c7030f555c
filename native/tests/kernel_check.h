// What the checks of kernels share: random numbers and matrices, comparisons, and the functions in double precision.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "../src/kernels/kernels.h"
#include "../src/kernels/numbers.h"

namespace attento {

inline constexpr float kInfinity = std::numeric_limits<float>::infinity();
inline constexpr float kNone = std::numeric_limits<float>::quiet_NaN();
inline constexpr float kUntouched = 12345.0f;
inline constexpr int kMostRows = 70;
inline constexpr Number kFormats[] = {Number::f32, Number::int8, Number::bf16};
inline constexpr Activation kActivations[] = {Activation::none,      Activation::relu, Activation::gelu,
                                              Activation::gelu_tanh, Activation::silu, Activation::sigmoid};

inline int failures = 0;
inline std::mt19937 generator(7);

inline void expect(bool right, const char* set, const std::string& what) {
  if (right) return;
  ++failures;
  if (failures <= 40) std::printf("FAILED %s: %s\n", set, what.c_str());
}

inline std::string text(const char* format, double a, double b = 0, double c = 0, double d = 0, double e = 0) {
  char line[256];
  std::snprintf(line, sizeof line, format, a, b, c, d, e);
  return line;
}

inline std::vector<float> random_floats(std::size_t count, float width = 1.0f) {
  std::normal_distribution<float> normal(0.0f, width);
  std::vector<float> result(count);
  for (float& x : result) x = normal(generator);
  return result;
}

inline bool same_bits(const float* a, const float* b, std::size_t count) {
  return std::memcmp(a, b, count * sizeof(float)) == 0;
}

inline bool near(double value, double right, double bound) {
  if (std::isnan(right)) return std::isnan(value);
  return value == right || std::fabs(value - right) <= bound;
}

// Bytes that begin at a multiple of 64.
class Room {
 public:
  explicit Room(std::int64_t size) : bytes_(static_cast<std::size_t>(size) + 64, std::byte{0x5a}) {}
  std::byte* data() { return bytes_.data() + (64 - reinterpret_cast<std::uintptr_t>(bytes_.data()) % 64) % 64; }

 private:
  std::vector<std::byte> bytes_;
};

inline double activated(double x, Activation activation) {
  switch (activation) {
    case Activation::none: return x;
    case Activation::relu: return x < 0 ? 0 : x;
    case Activation::gelu: return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case Activation::gelu_tanh: return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::silu: return x / (1 + std::exp(-x));
    case Activation::sigmoid: return 1 / (1 + std::exp(-x));
  }
  return x;
}

// A random matrix, and its weights as the numbers they stand for.
struct Weights {
  Matrix matrix;
  std::vector<double> values;  // integers for int8
  Room panels;
  std::vector<float> scales, bias;
  std::vector<std::int32_t> sums;

  Weights(Number number, int outputs, int inputs)
      : matrix{number, outputs, inputs, nullptr, nullptr, nullptr, nullptr},
        values(static_cast<std::size_t>(outputs) * inputs),
        panels(matrix.bytes()) {
    const auto padded = static_cast<std::size_t>(matrix.padded_outputs());
    scales = random_floats(padded, 0.01f);
    bias = random_floats(padded);
    sums.assign(padded, 0);
    std::memset(panels.data(), 0, static_cast<std::size_t>(matrix.bytes()));
    std::uniform_int_distribution<int> integer(-127, 127);
    std::normal_distribution<float> normal;
    const int group = group_of(number);
    for (int o = 0; o < outputs; ++o) {
      for (int i = 0; i < inputs; ++i) {
        const std::int64_t place =
            ((o / kPanel * (matrix.padded_inputs() / group) + i / group) * kPanel + o % kPanel) * group + i % group;
        double& value = values[static_cast<std::size_t>(o) * inputs + i];
        if (number == Number::int8) {
          // The greatest and least often, where sums could overflow.
          const int drawn = o % 11 == 5 ? -127 : i % 7 == 0 ? 127 : integer(generator);
          reinterpret_cast<std::int8_t*>(panels.data())[place] = static_cast<std::int8_t>(drawn);
          sums[o] += drawn;
          value = drawn;
        } else if (number == Number::bf16) {
          const std::uint16_t drawn = bf16_of_float(normal(generator));
          reinterpret_cast<std::uint16_t*>(panels.data())[place] = drawn;
          value = float_of_bf16(drawn);
        } else {
          reinterpret_cast<float*>(panels.data())[place] = normal(generator);
          value = reinterpret_cast<float*>(panels.data())[place];
        }
      }
    }
    matrix.panels = panels.data();
    matrix.scales = number == Number::int8 ? scales.data() : nullptr;
    matrix.sums = number == Number::int8 ? sums.data() : nullptr;
    matrix.bias = bias.data();
  }
};

struct Prepared {
  std::vector<float> scales;
  Room room;
  Rows rows;

  Prepared(const Kernels& kernels, Number number, const float* x, std::int64_t stride, int width, int count)
      : scales(static_cast<std::size_t>(count)), room(row_bytes(number, width) * count) {
    rows = {room.data(), number == Number::int8 ? scales.data() : nullptr, row_bytes(number, width), count};
    kernels.prepare(number, x, stride, width, rows);
  }
};

// A row as it should be prepared: integers for int8, and its scale.
inline std::vector<double> prepared_row(Number number, const float* x, int width, double* scale) {
  std::vector<double> result(x, x + width);
  *scale = 1;
  if (number == Number::bf16) {
    for (double& value : result) value = float_of_bf16(bf16_of_float(static_cast<float>(value)));
  }
  if (number == Number::int8) {
    float greatest = 0;
    for (int i = 0; i < width; ++i) greatest = std::max(greatest, std::fabs(x[i]));
    *scale = greatest / 127.0f;
    for (int i = 0; i < width; ++i) result[i] = greatest == 0 ? 0 : std::nearbyint(x[i] * (127.0f / greatest));
  }
  return result;
}

}  // namespace attento

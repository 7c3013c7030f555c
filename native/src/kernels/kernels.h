// What a processor does for the engine: a set of functions for each instruction set, one of which is chosen at load.
//
// All sets give the same integers, and floats that differ in rounding alone. A row's result never depends on how many
// rows are computed together, nor on which: sums over inputs always run in one order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "../matrix.h"

namespace attento {

enum class Activation { none, relu, gelu, gelu_tanh, silu, sigmoid };

// What becomes of a product: out = activation(product + bias), or out += product + bias for a residual.
struct Epilogue {
  Activation activation = Activation::none;
  bool add = false;
};

// The rows that a product multiplies, in the number format of its matrix. Room is the caller's.
struct Rows {
  std::byte* values = nullptr;  // `count` rows of `stride` bytes, each stride a multiple of 64; what lies behind `width` is zeros
  float* scales = nullptr;      // int8: a value is its integer times the scale of its row
  std::int64_t stride = 0;
  int count = 0;
};

// Bytes of one row of `width` inputs as a product reads it.
constexpr std::int64_t row_bytes(Number number, int width) {
  return round_up(round_up(width, group_of(number)) * size_of(number), 64);
}

// Keys and values that some queries attend to. Position t stands at base + t * step + slots[t] * width; without slots
// at base + t * step. Counted in numbers of `number`, f32 or bf16.
struct Attended {
  Number number = Number::f32;
  const std::byte* keys = nullptr;
  const std::byte* values = nullptr;
  std::int64_t key_step = 0;
  std::int64_t value_step = 0;
  const std::uint8_t* slots = nullptr;
  int length = 0;
  int key_width = 0;    // a multiple of 8
  int value_width = 0;  // a multiple of 8
};

struct Queries {
  const float* queries = nullptr;  // `count` of key_width numbers, `stride` floats apart
  float* contexts = nullptr;       // `count` of value_width numbers, `context_stride` floats apart: what is written
  const float* bias = nullptr;     // `count` rows of `length`, `bias_stride` floats apart, added to the scaled scores; or nullptr
  float* weights = nullptr;        // room for `count` rows of `length` floats, one behind the other: the softmax's weights are left there
  std::int64_t stride = 0;
  std::int64_t context_stride = 0;
  std::int64_t bias_stride = 0;
  int count = 0;
  float scale = 1;
};

struct Kernels {
  const char* name;

  // Turn float rows into what `product` reads: int8 rows are rint(x * (127 / max|x|)), in every set the same integers.
  // A row that holds what is no number gets a scale that is none. `stride` is in floats.
  void (*prepare)(Number number, const float* x, std::int64_t stride, int width, Rows& rows);

  // out[row, output] for all outputs of the matrix; `stride` is in floats and may be wider than the outputs.
  void (*product)(const Matrix& matrix, const Rows& rows, Epilogue epilogue, float* out, std::int64_t stride);

  // contexts = softmax(scale * queries keys^T + bias) values (Vaswani et al. 2017, section 3.2.1, eq. 1).
  void (*attend)(const Attended& attended, const Queries& queries);

  // Layer normalization (Ba et al. 2016), or without mean and bias (Zhang & Sennrich 2019) where `centred` is false.
  // `bias` may be nullptr. `out` may be `x`.
  void (*normalize)(const float* x, int count, int width, bool centred, float epsilon, const float* gain, const float* bias,
                    float* out);

  // out[i] = activation(gate[i]) * inner[i], where each row is [gate | inner] of width 2 * width; `out` rows are `width` wide.
  void (*gate)(const float* x, int count, int width, Activation activation, float* out);

  // The sum of exp(x - shift); minus infinity counts as nothing.
  float (*sum_exp)(const float* x, int count, float shift);

  // greatest[i] = max(greatest[i], x[i]), where x[i] is a number.
  void (*raise)(const float* x, int count, float* greatest);

  // Floats into a cache of keys or values, f32 or bf16 (rounded to nearest, ties to even).
  void (*store)(Number number, const float* x, int count, std::byte* out);
};

// The sets that were compiled in and that this processor runs, fastest first; `portable` is always the last.
std::vector<const Kernels*> available_kernels();

// The fastest, or the one of that name. Throws std::invalid_argument that names what there is.
const Kernels& choose_kernels(const std::string& name = "");

}  // namespace attento

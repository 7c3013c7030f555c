// The set that runs everywhere: plain C++, with loops over the outputs of a panel that a compiler can vectorise.
#include <cmath>
#include <cstring>
#include <limits>

#include "numbers.h"
#include "sets.h"

namespace attento {
namespace {

float activate(float x, Activation activation) {
  switch (activation) {
    case Activation::none: return x;
    case Activation::relu: return x < 0.0f ? 0.0f : x;
    case Activation::gelu: return 0.5f * x * std::erfc(x * -0.70710678f);
    case Activation::gelu_tanh: return x / (1.0f + std::exp(-1.59576912f * (x + 0.044715f * x * x * x)));
    case Activation::silu: return x / (1.0f + std::exp(-x));
    case Activation::sigmoid: return 1.0f / (1.0f + std::exp(-x));
  }
  return x;
}

void prepare_int8(const float* x, int width, std::byte* values, float* scale) {
  std::uint32_t greatest = 0;
  for (int i = 0; i < width; ++i) {
    std::uint32_t bits;
    std::memcpy(&bits, x + i, sizeof bits);
    bits &= 0x7fffffffu;
    greatest = bits > greatest ? bits : greatest;
  }
  const RowScale found = row_scale(greatest);
  *scale = found.scale;
  if (found.inverse == 0.0f) {
    std::memset(values, 0, static_cast<std::size_t>(width));
    return;
  }
  auto* integers = reinterpret_cast<std::int8_t*>(values);
  for (int i = 0; i < width; ++i) integers[i] = static_cast<std::int8_t>(std::nearbyint(x[i] * found.inverse));
}

void store(Number number, const float* x, int count, std::byte* out) {
  if (number == Number::f32) {
    std::memcpy(out, x, static_cast<std::size_t>(count) * sizeof(float));
    return;
  }
  auto* numbers = reinterpret_cast<std::uint16_t*>(out);
  for (int i = 0; i < count; ++i) numbers[i] = bf16_of_float(x[i]);
}

void prepare(Number number, const float* x, std::int64_t stride, int width, Rows& rows) {
  const std::int64_t used = static_cast<std::int64_t>(width) * size_of(number);
  const auto behind = static_cast<std::size_t>(row_bytes(number, width) - used);
  for (int row = 0; row < rows.count; ++row) {
    std::byte* values = rows.values + row * rows.stride;
    if (number == Number::int8) {
      prepare_int8(x + row * stride, width, values, rows.scales + row);
    } else {
      store(number, x + row * stride, width, values);
    }
    std::memset(values + used, 0, behind);
  }
}

// The three products of one row and one panel. A group of inputs is four bytes in every format.
void multiply_f32(const float* panel, const float* row, std::int64_t inputs, float* sums) {
  float parts[kPanel] = {};
  for (std::int64_t i = 0; i < inputs; ++i) {
    for (int o = 0; o < kPanel; ++o) parts[o] += panel[i * kPanel + o] * row[i];
  }
  std::memcpy(sums, parts, sizeof parts);
}

void multiply_bf16(const std::uint16_t* panel, const std::uint16_t* row, std::int64_t inputs, float* sums) {
  float parts[kPanel] = {};
  for (std::int64_t i = 0; i < inputs; i += 2) {
    const float first = float_of_bf16(row[i]);
    const float second = float_of_bf16(row[i + 1]);
    const std::uint16_t* pairs = panel + i * kPanel;
    for (int o = 0; o < kPanel; ++o) {
      parts[o] += float_of_bf16(pairs[2 * o]) * first + float_of_bf16(pairs[2 * o + 1]) * second;
    }
  }
  std::memcpy(sums, parts, sizeof parts);
}

void multiply_int8(const std::int8_t* panel, const std::int8_t* row, std::int64_t inputs, float* sums) {
  std::int32_t parts[kPanel] = {};
  for (std::int64_t i = 0; i < inputs; i += 4) {
    const std::int8_t* group = panel + i * kPanel;
    for (int o = 0; o < kPanel; ++o) {
      parts[o] += group[4 * o] * row[i] + group[4 * o + 1] * row[i + 1] + group[4 * o + 2] * row[i + 2] +
                  group[4 * o + 3] * row[i + 3];
    }
  }
  for (int o = 0; o < kPanel; ++o) sums[o] = static_cast<float>(parts[o]);
}

void multiply(const Matrix& matrix, const std::byte* panel, const std::byte* row, float* sums) {
  const std::int64_t inputs = matrix.padded_inputs();
  if (matrix.number == Number::f32) {
    multiply_f32(reinterpret_cast<const float*>(panel), reinterpret_cast<const float*>(row), inputs, sums);
  } else if (matrix.number == Number::bf16) {
    multiply_bf16(reinterpret_cast<const std::uint16_t*>(panel), reinterpret_cast<const std::uint16_t*>(row), inputs,
                  sums);
  } else {
    multiply_int8(reinterpret_cast<const std::int8_t*>(panel), reinterpret_cast<const std::int8_t*>(row), inputs, sums);
  }
}

void product(const Matrix& matrix, const Rows& rows, Epilogue epilogue, float* out, std::int64_t stride) {
  const std::int64_t panel_bytes = matrix.padded_inputs() * size_of(matrix.number) * kPanel;
  for (std::int64_t first = 0; first < matrix.outputs; first += kPanel) {
    const std::byte* panel = matrix.panels + first / kPanel * panel_bytes;
    const int outputs = static_cast<int>(matrix.outputs - first < kPanel ? matrix.outputs - first : kPanel);
    for (int row = 0; row < rows.count; ++row) {
      float sums[kPanel];
      multiply(matrix, panel, rows.values + row * rows.stride, sums);
      float* results = out + row * stride + first;
      for (int o = 0; o < outputs; ++o) {
        float value = sums[o];
        if (matrix.number == Number::int8) value = value * matrix.scales[first + o] * rows.scales[row];
        if (matrix.bias != nullptr) value += matrix.bias[first + o];
        value = activate(value, epilogue.activation);
        results[o] = epilogue.add ? results[o] + value : value;
      }
    }
  }
}

float number_at(Number number, const std::byte* numbers, std::int64_t i) {
  if (number == Number::f32) return reinterpret_cast<const float*>(numbers)[i];
  return float_of_bf16(reinterpret_cast<const std::uint16_t*>(numbers)[i]);
}

std::int64_t offset(const std::uint8_t* slots, int t, std::int64_t step, int width) {
  return t * step + (slots == nullptr ? 0 : std::int64_t{slots[t]} * width);
}

// The scores become weights in place. A row of minus infinities becomes zeros.
void softmax(float* scores, int length) {
  float greatest = -std::numeric_limits<float>::infinity();
  for (int t = 0; t < length; ++t) greatest = scores[t] > greatest ? scores[t] : greatest;
  if (greatest == -std::numeric_limits<float>::infinity()) greatest = 0.0f;
  float sum = 0.0f;
  for (int t = 0; t < length; ++t) {
    scores[t] = std::exp(scores[t] - greatest);
    sum += scores[t];
  }
  const float inverse = sum == 0.0f ? 0.0f : 1.0f / sum;
  for (int t = 0; t < length; ++t) scores[t] *= inverse;
}

void attend(const Attended& attended, const Queries& queries) {
  for (int q = 0; q < queries.count; ++q) {
    const float* query = queries.queries + q * queries.stride;
    float* weights = queries.weights + std::int64_t{q} * attended.length;
    for (int t = 0; t < attended.length; ++t) {
      const std::int64_t key = offset(attended.slots, t, attended.key_step, attended.key_width);
      float score = 0.0f;
      for (int i = 0; i < attended.key_width; ++i) {
        score += query[i] * number_at(attended.number, attended.keys, key + i);
      }
      weights[t] = score * queries.scale;
      if (queries.bias != nullptr) weights[t] += queries.bias[q * queries.bias_stride + t];
    }
    softmax(weights, attended.length);
    float* context = queries.contexts + q * queries.context_stride;
    for (int i = 0; i < attended.value_width; ++i) context[i] = 0.0f;
    for (int t = 0; t < attended.length; ++t) {
      const std::int64_t value = offset(attended.slots, t, attended.value_step, attended.value_width);
      for (int i = 0; i < attended.value_width; ++i) {
        context[i] += weights[t] * number_at(attended.number, attended.values, value + i);
      }
    }
  }
}

void normalize(const float* x, int count, int width, bool centred, float epsilon, const float* gain, const float* bias,
               float* out) {
  for (int row = 0; row < count; ++row, x += width, out += width) {
    double sum = 0.0;
    for (int i = 0; centred && i < width; ++i) sum += x[i];
    const auto mean = static_cast<float>(sum / width);
    double squares = 0.0;
    for (int i = 0; i < width; ++i) squares += static_cast<double>(x[i] - mean) * (x[i] - mean);
    const auto inverse = static_cast<float>(1.0 / std::sqrt(squares / width + epsilon));
    for (int i = 0; i < width; ++i) {
      out[i] = (x[i] - mean) * inverse * gain[i];
      if (bias != nullptr) out[i] += bias[i];
    }
  }
}

void gate(const float* x, int count, int width, Activation activation, float* out) {
  for (int row = 0; row < count; ++row, x += 2 * std::int64_t{width}, out += width) {
    for (int i = 0; i < width; ++i) out[i] = activate(x[i], activation) * x[width + i];
  }
}

float sum_exp(const float* x, int count, float shift) {
  double sum = 0.0;
  for (int i = 0; i < count; ++i) sum += std::exp(x[i] - shift);
  return static_cast<float>(sum);
}

void raise(const float* x, int count, float* greatest) {
  for (int i = 0; i < count; ++i) greatest[i] = x[i] > greatest[i] ? x[i] : greatest[i];
}

constexpr Kernels kKernels = {"portable", prepare, product, attend, normalize, gate, sum_exp, raise, store};

}  // namespace

const Kernels* portable_kernels() { return &kKernels; }

}  // namespace attento

// Checks every set of kernels that runs here against formulas in double precision. Prints what failed; the exit status
// is 1 then. Arguments: the names of sets, or none for all.
#include "kernel_check.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "../src/kernels/kernels.h"

using namespace attento;

namespace {

void check_product(const Kernels& kernels, Number number, int outputs, int inputs, Epilogue epilogue, bool bias) {
  Weights weights(number, outputs, inputs);
  if (!bias) weights.matrix.bias = nullptr;
  const std::int64_t stride = outputs + 5;
  const std::int64_t x_stride = inputs + 3;
  const std::vector<float> x = random_floats(static_cast<std::size_t>(x_stride) * kMostRows);
  const std::vector<float> before = random_floats(static_cast<std::size_t>(stride) * kMostRows);
  const std::string name = text("product of format %g, %g x %g, activation %g, add %g", static_cast<double>(number),
                                outputs, inputs, static_cast<double>(epilogue.activation), epilogue.add);
  Prepared all(kernels, number, x.data(), x_stride, inputs, kMostRows);
  std::vector<float> out = before;
  kernels.product(weights.matrix, all.rows, epilogue, out.data(), stride);
  for (int row = 0; row < kMostRows; row += 23) {
    double scale;
    const std::vector<double> values = prepared_row(number, x.data() + row * x_stride, inputs, &scale);
    for (int o = 0; o < outputs; ++o) {
      double right = 0, size = 0;
      for (int i = 0; i < inputs; ++i) {
        const double term = values[i] * weights.values[static_cast<std::size_t>(o) * inputs + i];
        right += term;
        size += std::fabs(term);
      }
      if (number == Number::int8) {
        right *= scale * weights.scales[o];
        size = std::fabs(right);
      }
      if (bias) right += weights.bias[o];
      right = activated(right, epilogue.activation);
      if (epilogue.add) right += before[row * stride + o];
      const double bound = 4e-6 + 1e-6 * (size + std::fabs(right));
      if (near(out[row * stride + o], right, bound)) continue;
      return expect(false, kernels.name,
                    name + text(", row %g output %g: %.9g for %.9g", row, o, out[row * stride + o], right));
    }
  }
  for (int row = 0; row < kMostRows; ++row) {
    expect(same_bits(&out[row * stride + outputs], &before[row * stride + outputs], 5), kernels.name,
           name + " wrote behind");
  }
  for (int count = 1; count < kMostRows; ++count) {
    const int first = count % 3;  // the same rows elsewhere among others
    if (first + count > kMostRows) continue;
    Prepared some(kernels, number, x.data() + first * x_stride, x_stride, inputs, count);
    std::vector<float> few(before.begin() + first * stride, before.begin() + (first + count) * stride);
    kernels.product(weights.matrix, some.rows, epilogue, few.data(), stride);
    expect(same_bits(few.data(), out.data() + first * stride, few.size()), kernels.name,
           name + text(" depends on the number of rows, %g", count));
  }
}

void check_products(const Kernels& kernels) {
  for (Number number : kFormats) {
    for (int outputs : {1, 31, 64, 131, 257}) {
      for (int inputs : {1, 5, 67, 256}) check_product(kernels, number, outputs, inputs, {}, outputs != 31);
    }
    for (Activation activation : kActivations) check_product(kernels, number, 37, 11, {activation, false}, true);
    check_product(kernels, number, 97, 515, {Activation::none, true}, true);
  }
  for (int inputs : {2049, 4099}) check_product(kernels, Number::int8, 33, inputs, {}, true);
}

// Integer products are equal to the last bit in all sets, whatever the rows hold.
void check_extremes(const Kernels& kernels, const Kernels& portable) {
  const int width = 103, outputs = 67, count = 9;
  std::vector<float> x = random_floats(static_cast<std::size_t>(width) * count);
  auto row = [&](int r) { return x.data() + r * width; };
  std::fill(row(1), row(2), 0.0f);
  for (float* p = row(2); p != row(3); ++p) *p *= 1e37f;
  for (float* p = row(3); p != row(4); ++p) *p *= 1e-41f;
  row(4)[5] = kNone;
  row(5)[101] = -kInfinity;
  row(6)[0] = -1e30f;
  for (float* p = row(7); p != row(8); ++p) *p = *p > 0 ? 127.0f : -63.5f;  // ties and the greatest integers
  for (Number number : kFormats) {
    Weights weights(number, outputs, width);
    Prepared mine(kernels, number, x.data(), width, width, count);
    Prepared theirs(portable, number, x.data(), width, width, count);
    std::vector<float> out(static_cast<std::size_t>(outputs) * count), right(out.size());
    for (bool relu : {false, true}) {
      const Epilogue epilogue{relu ? Activation::relu : Activation::none, false};
      kernels.product(weights.matrix, mine.rows, epilogue, out.data(), outputs);
      portable.product(weights.matrix, theirs.rows, epilogue, right.data(), outputs);
      for (int o = 0; o < outputs; ++o) {
        expect(std::isnan(out[4 * outputs + o]), kernels.name, "product of a row with no number is a number");
        if (number != Number::int8) continue;
        expect(std::isnan(out[5 * outputs + o]), kernels.name, "integers of an infinite row");
        for (int r : {0, 1, 2, 3, 6, 7, 8}) {
          expect(
              same_bits(&out[r * outputs + o], &right[r * outputs + o], 1), kernels.name,
              text("integers of row %g, output %g: %.9g for %.9g", r, o, out[r * outputs + o], right[r * outputs + o]));
        }
      }
    }
    if (number == Number::int8) {
      for (int r : {0, 1, 2, 3, 6, 7, 8}) {
        expect(same_bits(&mine.scales[r], &theirs.scales[r], 1), kernels.name, text("scale of row %g", r));
      }
    }
  }
}

struct Shape {
  Number number;
  int key_width, value_width, length, count;
  bool slots, bias;
};

void check_attend(const Kernels& kernels, const Shape& shape) {
  const Number number = shape.number;
  const int key_width = shape.key_width, value_width = shape.value_width, length = shape.length, count = shape.count;
  const bool with_slots = shape.slots, with_bias = shape.bias;
  const int most_slots = 5;
  const std::int64_t key_step = most_slots * key_width + 8, value_step = most_slots * value_width + 16;
  const std::string name = text("attend, format %g, widths %g and %g, length %g, queries %g",
                                static_cast<double>(number), key_width, value_width, length, count) +
                           (with_slots ? ", slots" : "") + (with_bias ? ", bias" : "");
  const std::vector<float> keys = random_floats(static_cast<std::size_t>(key_step) * length + 1);
  const std::vector<float> values = random_floats(static_cast<std::size_t>(value_step) * length + 1);
  Room key_room(key_step * length * 4 + 4), value_room(value_step * length * 4 + 4);
  kernels.store(number, keys.data(), static_cast<int>(keys.size()), key_room.data());
  kernels.store(number, values.data(), static_cast<int>(values.size()), value_room.data());
  std::vector<std::uint8_t> slots(static_cast<std::size_t>(length));
  for (std::uint8_t& slot : slots) slot = static_cast<std::uint8_t>(generator() % most_slots);
  const Attended attended{number,   key_room.data(), value_room.data(),
                          key_step, value_step,      with_slots ? slots.data() : nullptr,
                          length,   key_width,       value_width};
  const std::int64_t stride = key_width + 3, context_stride = value_width + 5, bias_stride = length + 1;
  std::vector<float> queries = random_floats(static_cast<std::size_t>(stride) * count);
  std::vector<float> bias = random_floats(static_cast<std::size_t>(bias_stride) * count);
  for (std::size_t i = 0; i < bias.size(); i += 3) bias[i] = -kInfinity;
  std::vector<float> contexts(static_cast<std::size_t>(context_stride) * count, kUntouched);
  std::vector<float> weights(static_cast<std::size_t>(length) * count + 1, kUntouched);
  const Queries asked{queries.data(), contexts.data(), with_bias ? bias.data() : nullptr,
                      weights.data(), stride,          context_stride,
                      bias_stride,    count,           0.3f};
  kernels.attend(attended, asked);
  auto number_of = [number](float x) { return number == Number::f32 ? x : float_of_bf16(bf16_of_float(x)); };
  for (int q = 0; q < count; ++q) {
    std::vector<double> right(static_cast<std::size_t>(length));
    double sum = 0;
    for (int t = 0; t < length; ++t) {
      const std::int64_t at = t * key_step + (with_slots ? slots[t] * key_width : 0);
      double score = 0;
      for (int i = 0; i < key_width; ++i)
        score += static_cast<double>(queries[q * stride + i]) * number_of(keys[at + i]);
      right[t] = std::exp(score * 0.3f + (with_bias ? bias[q * bias_stride + t] : 0.0));
      sum += right[t];
    }
    std::vector<double> context(static_cast<std::size_t>(value_width));
    for (int t = 0; t < length; ++t) {
      const std::int64_t at = t * value_step + (with_slots ? slots[t] * value_width : 0);
      right[t] = sum == 0 ? 0 : right[t] / sum;
      expect(near(weights[q * length + t], right[t], 4e-6), kernels.name, name + text(": weight %g", t));
      for (int i = 0; i < value_width; ++i) context[i] += right[t] * number_of(values[at + i]);
    }
    for (int i = 0; i < value_width; ++i) {
      expect(near(contexts[q * context_stride + i], context[i], 2e-5), kernels.name, name + text(": context %g", i));
    }
    for (int i = value_width; i < context_stride; ++i) {
      expect(contexts[q * context_stride + i] == kUntouched, kernels.name, name + ": wrote behind a context");
    }
    std::vector<float> alone(static_cast<std::size_t>(value_width));
    Queries one = asked;
    one.queries += q * stride;
    one.contexts = alone.data();
    one.bias = with_bias ? bias.data() + q * bias_stride : nullptr;
    one.count = 1;
    std::vector<float> own(static_cast<std::size_t>(length) + 1);
    one.weights = own.data();
    kernels.attend(attended, one);
    expect(same_bits(alone.data(), &contexts[q * context_stride], alone.size()), kernels.name,
           name + ": depends on others");
  }
  expect(weights.back() == kUntouched, kernels.name, name + ": wrote behind the weights");
}

void check_attends(const Kernels& kernels) {
  for (Number number : {Number::f32, Number::bf16}) {
    for (int length : {0, 1, 7, 16, 17, 37, 128}) {
      for (int count : {1, 2, 3, 5, 11}) {
        const bool slots = (length + count) % 2 == 0;
        check_attend(kernels, {number, 64, 64, length, count, slots, count % 3 != 0});
      }
    }
    for (int width : {8, 16, 24, 32, 40, 56, 72, 96, 128, 136}) {
      check_attend(kernels, {number, width, 152 - width, 29, 4, true, true});
      check_attend(kernels, {number, width, 24, 5, 1, false, false});
    }
    // A score without number spreads, great scores do not overflow.
    const int width = 16, length = 3;
    std::vector<float> x(static_cast<std::size_t>(width) * length, 30.0f);
    Room room(width * length * 4);
    kernels.store(number, x.data(), width * length, room.data());
    std::vector<float> context(width), weights(length);
    Attended attended{number, room.data(), room.data(), width, width, nullptr, length, width, width};
    Queries asked{x.data(), context.data(), nullptr, weights.data(), width, width, 0, 1, 1.0f};
    kernels.attend(attended, asked);
    expect(near(context[7], 30.0, 1e-4), kernels.name, "attend to equal great keys");
    std::vector<float> none(width, kNone);
    asked.queries = none.data();
    kernels.attend(attended, asked);
    expect(std::isnan(context[7]), kernels.name, "attend with no number");
  }
}

void check_normalize(const Kernels& kernels) {
  for (int width : {1, 7, 64, 131, 517}) {
    for (int mode = 0; mode < 4; ++mode) {
      const bool centred = mode % 2 == 0, with_bias = mode >= 2;
      const int count = 3;
      std::vector<float> x = random_floats(static_cast<std::size_t>(width) * count, 3.0f);
      for (float& value : x) value += 5.0f;
      const std::vector<float> gain = random_floats(static_cast<std::size_t>(width)), bias = random_floats(gain.size());
      std::vector<float> out = x;
      kernels.normalize(out.data(), count, width, centred, 1e-5f, gain.data(), with_bias ? bias.data() : nullptr,
                        out.data());
      for (int row = 0; row < count; ++row) {
        const float* row_x = x.data() + row * width;
        double mean = 0, square = 0;
        for (int i = 0; centred && i < width; ++i) mean += row_x[i] / static_cast<double>(width);
        for (int i = 0; i < width; ++i) square += (row_x[i] - mean) * (row_x[i] - mean) / width;
        for (int i = 0; i < width; ++i) {
          const double scaled = (row_x[i] - mean) / std::sqrt(square + 1e-5);
          const double right = scaled * gain[i] + (with_bias ? bias[i] : 0.0f);
          expect(near(out[row * width + i], right, 1e-5 + (width == 1 ? 1e-3 : 0)), kernels.name,
                 text("normalize width %g at %g: %.9g for %.9g", width, i, out[row * width + i], right));
        }
      }
    }
  }
}

void check_gate(const Kernels& kernels) {
  const int width = 4099;
  std::vector<float> x(2 * width, 1.0f), out(width + 1, kUntouched);
  for (int i = 0; i < width; ++i) x[i] = static_cast<float>(i - 2049) / 128.0f;
  for (Activation activation : kActivations) {
    kernels.gate(x.data(), 1, width, activation, out.data());
    for (int i = 0; i < width; ++i) {
      const double right = activated(x[i], activation);
      expect(near(out[i], right, 1.2e-6 * std::max(std::fabs(right), 0.3)), kernels.name,
             text("activation %g of %g: %.9g for %.9g", static_cast<double>(activation), x[i], out[i], right));
    }
    expect(out[width] == kUntouched, kernels.name, "gate wrote behind");
    const float greats[] = {1e30f, -1e30f, kNone, 0.0f, kInfinity, 2.0f, 3.0f, 5.0f, 7.0f, 11.0f};
    float results[5];
    kernels.gate(greats, 1, 5, activation, results);
    const bool bounded = activation == Activation::sigmoid;
    expect(results[0] == (bounded ? 2.0f : 2.0f * 1e30f), kernels.name, "activation of a great number");
    const double least = activation == Activation::none ? -3e30 : 0.0;
    expect(near(results[1], least, activation == Activation::none ? 1e24 : 1e-30), kernels.name,
           text("activation of a number far below: %g", results[1]));
    expect(std::isnan(results[2]), kernels.name, "activation of no number");
  }
  const std::vector<float> rows = random_floats(3 * 2 * 37);
  std::vector<float> gated(3 * 37);
  kernels.gate(rows.data(), 3, 37, Activation::silu, gated.data());
  for (int i = 0; i < 3 * 37; ++i) {
    const float* row = rows.data() + i / 37 * 74;
    const double right = activated(row[i % 37], Activation::silu) * row[37 + i % 37];
    expect(near(gated[i], right, 2e-6), kernels.name, "gate of rows");
  }
}

void check_sums(const Kernels& kernels) {
  for (int count : {1, 3, 16, 31, 67, 8009}) {
    std::vector<float> x = random_floats(static_cast<std::size_t>(count), 5.0f);
    if (count > 20) x[11] = -kInfinity;
    for (float shift : {0.0f, 7.0f}) {
      double sum = 0;
      for (float value : x) sum += std::exp(static_cast<double>(value) - shift);
      expect(near(kernels.sum_exp(x.data(), count, shift), sum, 3e-6 * sum), kernels.name, text("sum_exp of %g", count));
    }
    for (int place : {0, count / 2, count - 1}) {
      std::vector<float> y = x;
      y[place] = kNone;
      expect(std::isnan(kernels.sum_exp(y.data(), count, 0)), kernels.name, "sum_exp without number");
      y[place] = kInfinity;
      expect(kernels.sum_exp(y.data(), count, 0) == kInfinity, kernels.name, "sum_exp of infinity");
    }
    std::fill(x.begin(), x.end(), -kInfinity);
    expect(kernels.sum_exp(x.data(), count, 0) == 0, kernels.name, "sum_exp of minus infinities");
  }
}

void check_raise(const Kernels& kernels) {
  for (int count : {1, 7, 37, 256}) {
    const std::vector<float> before = random_floats(static_cast<std::size_t>(count) + 1);
    std::vector<float> x = random_floats(static_cast<std::size_t>(count)), raised = before;
    x[count / 2] = kNone;
    kernels.raise(x.data(), count, raised.data());
    bool right = raised[count] == before[count];
    for (int i = 0; i < count; ++i) right &= raised[i] == (i == count / 2 ? before[i] : std::max(before[i], x[i]));
    expect(right, kernels.name, text("raise of %g", count));
  }
}

void check_store(const Kernels& kernels) {
  std::vector<float> x = random_floats(73);
  const std::uint32_t odd[] = {0x3f808000u, 0x3f818000u, 0x3f808001u, 0x7f7fffffu, 0x7f800000u,
                               0xff800000u, 0x7f800001u, 0xffffffffu, 0x00000001u, 0x00018000u};
  std::memcpy(x.data() + 3, odd, sizeof odd);
  for (int count : {1, 8, 73}) {
    std::vector<std::uint16_t> out(74, 0x1234);
    kernels.store(Number::bf16, x.data(), count, reinterpret_cast<std::byte*>(out.data()));
    for (int i = 0; i < count; ++i) {
      expect(out[i] == bf16_of_float(x[i]), kernels.name, text("bf16 of %.9g: %g", x[i], out[i]));
    }
    expect(out[count] == 0x1234, kernels.name, "store wrote behind");
    std::vector<float> copy(74, kUntouched);
    kernels.store(Number::f32, x.data(), count, reinterpret_cast<std::byte*>(copy.data()));
    expect(same_bits(copy.data(), x.data(), count) && copy[count] == kUntouched, kernels.name, "store of floats");
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> asked(argv + 1, argv + argc);
  for (const Kernels* kernels : available_kernels()) {
    if (!asked.empty() && std::find(asked.begin(), asked.end(), kernels->name) == asked.end()) continue;
    const int before = failures;
    check_store(*kernels);
    check_sums(*kernels);
    check_raise(*kernels);
    check_gate(*kernels);
    check_normalize(*kernels);
    check_products(*kernels);
    check_extremes(*kernels, choose_kernels("portable"));
    check_attends(*kernels);
    std::printf("%-12s %s\n", kernels->name, failures == before ? "right" : "WRONG");
  }
  if (failures > 40) std::printf("and %d failures more\n", failures - 40);
  return failures == 0 ? 0 : 1;
}

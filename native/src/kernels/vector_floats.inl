// Everything on floats that is no product of matrices, over the vectors of one instruction set. Included inside the
// anonymous namespace and the target region of a set, which must have defined `V` (kLanes floats) and the functions on
// it. No attention here (vector_attend.inl) and no matrix (vector_product.inl).

inline int least(int a, int b) { return a < b ? a : b; }

// exp(x), relative error below 3e-7. Cody-Waite reduction by ln 2, then 1 + r + r^2 p(r) with p fitted to least
// greatest relative error on |r| <= ln(2) / 2. `maximum` and `minimum` give their second argument where one is no
// number.
inline V exponential(V x) {
  x = minimum(all(89.0f), maximum(all(-105.0f), x));
  const V n = nearest(multiply(x, all(1.44269504f)));
  const V r = add_negative_product(n, all(-2.12194440e-4f), add_negative_product(n, all(0.693359375f), x));
  V p = all(0.00139517172f);
  p = add_product(p, r, all(0.00836959841f));
  p = add_product(p, r, all(0.0416661873f));
  p = add_product(p, r, all(0.166665129f));
  p = add_product(p, r, all(0.5f));
  p = add_product(p, multiply(r, r), add(r, all(1.0f)));
  return times_power_of_two(p, n);
}

inline V sigmoid(V x) { return divide(all(1.0f), add(all(1.0f), exponential(subtract(zeros(), x)))); }

// x Phi(x) with Phi(-t) = exp(-t^2 / 2) p(1 / (1 + 0.35 t)) for t = |x|: the form of Abramowitz & Stegun 7.1.26, with a
// polynomial of degree 7 fitted to least greatest relative error (3.1e-7) on t <= 13. Beyond that Phi(-t) < 1e-38.
inline V gelu(V x) {
  const V t = minimum(all(13.0f), magnitude(x));
  const V s = divide(all(1.0f), add_product(t, all(0.35f), all(1.0f)));
  V p = all(0.0489427286f);
  p = add_product(p, s, all(-0.202120382f));
  p = add_product(p, s, all(0.240642538f));
  p = add_product(p, s, all(-0.0170248337f));
  p = add_product(p, s, all(0.15596211f));
  p = add_product(p, s, all(0.133354949f));
  p = add_product(p, s, all(0.14027036f));
  p = add_product(p, s, all(-2.7316025e-05f));
  const V tail = multiply(p, exponential(multiply(multiply(t, t), all(-0.5f))));
  // For x > 0 this is x - x Phi(-x), else x Phi(x).
  return add_negative_product(t, tail, maximum(zeros(), x));
}

// 0.5 x (1 + tanh(u)) = x / (1 + exp(-2 u)).
inline V gelu_tanh(V x) {
  const V cubic = add_product(multiply(multiply(x, x), x), all(0.044715f), x);
  return divide(x, add(all(1.0f), exponential(multiply(cubic, all(-1.59576912f)))));
}

inline V activate(V x, Activation activation) {
  switch (activation) {
    case Activation::none: return x;
    case Activation::relu: return maximum(zeros(), x);
    case Activation::gelu: return gelu(x);
    case Activation::gelu_tanh: return gelu_tanh(x);
    case Activation::silu: return divide(x, add(all(1.0f), exponential(subtract(zeros(), x))));
    case Activation::sigmoid: return sigmoid(x);
  }
  return x;
}

inline void store_numbers(Number number, const float* x, int count, std::byte* out) {
  if (number == Number::f32) {
    std::memcpy(out, x, static_cast<std::size_t>(count) * sizeof(float));
    return;
  }
  auto* numbers = reinterpret_cast<std::uint16_t*>(out);
  int i = 0;
  for (; i + kLanes <= count; i += kLanes) store_bf16(numbers + i, load(x + i));
  for (; i < count; ++i) numbers[i] = bf16_of_float(x[i]);
}

inline float prepare_int8(const float* x, int width, std::byte* values) {
  Bits greatest = no_bits();
  int i = 0;
  for (; i + kLanes <= width; i += kLanes) greatest = greater_magnitude(greatest, load(x + i));
  if (i < width) greatest = greater_magnitude(greatest, load(x + i, width - i));
  const RowScale found = row_scale(greatest_of(greatest));
  if (found.inverse == 0.0f) {
    std::memset(values, kZeroInteger, static_cast<std::size_t>(width));
    return found.scale;
  }
  const V inverse = all(found.inverse);
  for (i = 0; i + kLanes <= width; i += kLanes) store_integers(values + i, multiply(load(x + i), inverse));
  // A row has room for whole vectors, as kLanes divides 64.
  if (i < width) store_integers(values + i, multiply(load(x + i, width - i), inverse));
  return found.scale;
}

void prepare(Number number, const float* x, std::int64_t stride, int width, Rows& rows) {
  const std::int64_t used = static_cast<std::int64_t>(width) * size_of(number);
  const auto behind = static_cast<std::size_t>(row_bytes(number, width) - used);
  for (int row = 0; row < rows.count; ++row) {
    std::byte* values = rows.values + row * rows.stride;
    if (number == Number::int8) {
      rows.scales[row] = prepare_int8(x + row * stride, width, values);
    } else {
      store_numbers(number, x + row * stride, width, values);
    }
    std::memset(values + used, 0, behind);
  }
}

inline float sum_of(const float* x, int width) {
  V first = zeros(), second = zeros();
  int i = 0;
  for (; i + 2 * kLanes <= width; i += 2 * kLanes) {
    first = add(first, load(x + i));
    second = add(second, load(x + i + kLanes));
  }
  for (; i < width; i += kLanes) first = add(first, load(x + i, least(width - i, kLanes)));
  return sum(add(first, second));
}

inline float squares_around(float mean, const float* x, int width) {
  const V centre = all(mean);
  V first = zeros(), second = zeros();
  int i = 0;
  for (; i + 2 * kLanes <= width; i += 2 * kLanes) {
    const V a = subtract(load(x + i), centre);
    const V b = subtract(load(x + i + kLanes), centre);
    first = add_product(a, a, first);
    second = add_product(b, b, second);
  }
  for (; i < width; i += kLanes) {
    const V a = subtract(load(x + i, least(width - i, kLanes), centre), centre);
    first = add_product(a, a, first);
  }
  return sum(add(first, second));
}

void normalize(const float* x, int count, int width, bool centred, float epsilon, const float* gain, const float* bias,
               float* out) {
  for (int row = 0; row < count; ++row, x += width, out += width) {
    const float mean = centred ? sum_of(x, width) / static_cast<float>(width) : 0.0f;
    const float variance = squares_around(mean, x, width) / static_cast<float>(width);
    const V centre = all(mean);
    const V inverse = all(1.0f / __builtin_sqrtf(variance + epsilon));
    for (int i = 0; i < width; i += kLanes) {
      const int n = least(width - i, kLanes);
      const V scaled = multiply(subtract(load(x + i, n), centre), inverse);
      const V factor = load(gain + i, n);
      store(out + i, bias == nullptr ? multiply(scaled, factor) : add_product(scaled, factor, load(bias + i, n)), n);
    }
  }
}

void gate(const float* x, int count, int width, Activation activation, float* out) {
  for (int row = 0; row < count; ++row, x += 2 * std::int64_t{width}, out += width) {
    for (int i = 0; i < width; i += kLanes) {
      const int n = least(width - i, kLanes);
      store(out + i, multiply(activate(load(x + i, n), activation), load(x + width + i, n)), n);
    }
  }
}

// Numbers that are none do not count here.
inline float greatest_of(const float* x, int count) {
  const V lowest = all(-kInfinity);
  V first = lowest, second = lowest;
  int i = 0;
  for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
    first = maximum(load(x + i), first);
    second = maximum(load(x + i + kLanes), second);
  }
  for (; i < count; i += kLanes) first = maximum(load(x + i, least(count - i, kLanes), lowest), first);
  return greatest_lane(maximum(first, second));
}

void raise(const float* x, int count, float* greatest) {
  for (int i = 0; i < count; i += kLanes) {
    const int n = least(count - i, kLanes);
    store(greatest + i, maximum(load(x + i, n), load(greatest + i, n)), n);
  }
}

float sum_exp(const float* x, int count, float shift) {
  const V centre = all(shift);
  V first = zeros(), second = zeros();
  int i = 0;
  for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
    first = add(first, exponential(subtract(load(x + i), centre)));
    second = add(second, exponential(subtract(load(x + i + kLanes), centre)));
  }
  for (; i < count; i += kLanes) {
    first = add(first, exponential(subtract(load(x + i, least(count - i, kLanes), all(-kInfinity)), centre)));
  }
  return sum(add(first, second));
}

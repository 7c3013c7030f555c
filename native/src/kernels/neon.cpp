// The set for 64-bit ARM: NEON, which all have, and the dot products of bytes (ARMv8.2 sdot) where the processor has them.
#include "sets.h"

#if defined(__aarch64__)

#include <arm_neon.h>

#include <cmath>
#include <cstring>
#include <limits>

#if defined(__linux__)
#include <sys/auxv.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#include "neon_math.h"
#include "numbers.h"

// What compiles functions for processors with dot products. Clang knows them so only from version 17 on; before that,
// and for processors that all have them, as Apple's, by the flags of the whole.
#if defined(__ARM_FEATURE_DOTPROD)
#define ATTENTO_DOT_PRODUCTS
#define ATTENTO_TARGET_DOT_PRODUCTS
#define ATTENTO_TARGET_END
#elif defined(__clang__) && __clang_major__ >= 17
#define ATTENTO_DOT_PRODUCTS
#define ATTENTO_TARGET_DOT_PRODUCTS \
  _Pragma("clang attribute push(__attribute__((target(\"dotprod\"))), apply_to = function)")
#define ATTENTO_TARGET_END _Pragma("clang attribute pop")
#elif !defined(__clang__)
#define ATTENTO_DOT_PRODUCTS
#define ATTENTO_TARGET_DOT_PRODUCTS _Pragma("GCC push_options") _Pragma("GCC target(\"arch=armv8.2-a+dotprod\")")
#define ATTENTO_TARGET_END _Pragma("GCC pop_options")
#endif

namespace attento {
namespace {

void store(Number number, const float* x, int count, std::byte* out) {
  if (number == Number::f32) {
    std::memcpy(out, x, sizeof(float) * static_cast<std::size_t>(count));
    return;
  }
  auto* numbers = reinterpret_cast<std::uint16_t*>(out);
  for (int i = 0; i < count; i += 4) {
    std::uint16_t room[4];
    vst1_u16(room, to_bf16(load(x + i, count - i)));
    std::memcpy(numbers + i, room, sizeof(std::uint16_t) * static_cast<std::size_t>(count - i < 4 ? count - i : 4));
  }
}

// ---- Products ----

// Eight numbers at a time: a row's room is a multiple of 64 bytes. Returns the row's scale.
float integers_of(const float* x, int width, std::byte* out) {
  uint32x4_t greatest = vdupq_n_u32(0);
  for (int i = 0; i < width; i += 4) {
    greatest = vmaxq_u32(greatest, vreinterpretq_u32_f32(vabsq_f32(load(x + i, width - i))));
  }
  const RowScale found = row_scale(vmaxvq_u32(greatest));
  if (found.inverse == 0) {
    std::memset(out, 0, static_cast<std::size_t>(width));
    return found.scale;
  }
  for (int i = 0; i < width; i += 8) {
    const int32x4_t low = vcvtnq_s32_f32(vmulq_n_f32(load(x + i, width - i), found.inverse));
    const int32x4_t high = vcvtnq_s32_f32(vmulq_n_f32(load(x + i + 4, width - i - 4), found.inverse));
    const int16x8_t integers = vcombine_s16(vmovn_s32(low), vmovn_s32(high));
    vst1_s8(reinterpret_cast<std::int8_t*>(out) + i, vmovn_s16(integers));
  }
  return found.scale;
}

void prepare(Number number, const float* x, std::int64_t stride, int width, Rows& rows) {
  const std::int64_t filled = std::int64_t{width} * size_of(number);
  const auto behind = static_cast<std::size_t>(row_bytes(number, width) - filled);
  for (int row = 0; row < rows.count; ++row) {
    std::byte* out = rows.values + row * rows.stride;
    if (number == Number::int8) {
      rows.scales[row] = integers_of(x + row * stride, width, out);
    } else {
      store(number, x + row * stride, width, out);
    }
    std::memset(out + filled, 0, behind);
  }
}

// In each format a group of a row has 4 bytes, and of four outputs of a panel 16. `add<L>` adds the products of the
// weights of four outputs with the row's group L of four; for kSums vectors of sums there are registers.
struct F32 {
  static constexpr int kSums = 16;
  using Sum = float32x4_t;
  using Row = float32x4_t;
  static Sum zero() { return vdupq_n_f32(0); }
  static Row load(const std::byte* row) { return vld1q_f32(reinterpret_cast<const float*>(row)); }
  template <int L>
  static Sum add(Sum sum, uint8x16_t weights, Row row) {
    return vfmaq_laneq_f32(sum, vreinterpretq_f32_u8(weights), row, L);
  }
  static float32x4_t floats(Sum sum) { return sum; }
};

struct Bf16 {
  static constexpr int kSums = 16;
  using Sum = float32x4_t;
  struct Row {
    float32x4_t even, odd;
  };
  static Sum zero() { return vdupq_n_f32(0); }
  static Row widen(uint8x16_t numbers) {
    const uint32x4_t pairs = vreinterpretq_u32_u8(numbers);
    return {vreinterpretq_f32_u32(vshlq_n_u32(pairs, 16)),
            vreinterpretq_f32_u32(vandq_u32(pairs, vdupq_n_u32(0xffff0000u)))};
  }
  static Row load(const std::byte* row) { return widen(vld1q_u8(reinterpret_cast<const std::uint8_t*>(row))); }
  template <int L>
  static Sum add(Sum sum, uint8x16_t weights, const Row& row) {
    const Row pairs = widen(weights);
    return vfmaq_laneq_f32(vfmaq_laneq_f32(sum, pairs.even, row.even, L), pairs.odd, row.odd, L);
  }
  static float32x4_t floats(Sum sum) { return sum; }
};

struct Int8 {
  static constexpr int kSums = 8;
  using Sum = int32x4_t;
  using Row = int8x16_t;
  static Sum zero() { return vdupq_n_s32(0); }
  static Row load(const std::byte* row) { return vld1q_s8(reinterpret_cast<const std::int8_t*>(row)); }
  template <int L>
  static Sum add(Sum sum, uint8x16_t weights, Row row) {
    const int8x16_t w = vreinterpretq_s8_u8(weights);
    const int32x4_t group = vdupq_laneq_s32(vreinterpretq_s32_s8(row), L);
    const int8x16_t x = vreinterpretq_s8_s32(group);
    const int16x8_t low = vmull_s8(vget_low_s8(w), vget_low_s8(x));
    // two products of integers up to 127 fit 16 bits
    return vpadalq_s16(sum, vpaddq_s16(low, vmull_high_s8(w, x)));
  }
  static float32x4_t floats(Sum sum) { return vcvtq_f32_s32(sum); }
};

constexpr std::int64_t kGroupBytes = 4 * kPanel;
constexpr int kRows = 4;  // rows that are multiplied at once

// The sums of some rows with a panel: rows of kPanel floats.
using SumPanel = void (*)(const std::byte* panel, const std::byte* rows, std::int64_t stride, int groups, float* sums);

namespace plain {
#include "neon_sums.inl"
}

#if defined(ATTENTO_DOT_PRODUCTS)
namespace dotted {

ATTENTO_TARGET_DOT_PRODUCTS

struct Int8 : attento::Int8 {
  static constexpr int kSums = 16;
  template <int L>
  static Sum add(Sum sum, uint8x16_t weights, Row row) {
    return vdotq_laneq_s32(sum, vreinterpretq_s8_u8(weights), row, L);
  }
};

#include "neon_sums.inl"

ATTENTO_TARGET_END

}  // namespace dotted
#endif

// `sums` of one row and a panel into its outputs from `first` on. `scale`: the row's.
void finish(const Matrix& matrix, const float* sums, float scale, int first, Epilogue epilogue, float* out) {
  const int count = matrix.outputs - first < kPanel ? matrix.outputs - first : kPanel;
  for (int i = 0; i < count; i += 4) {
    float32x4_t values = vld1q_f32(sums + i);
    if (matrix.number == Number::int8) {
      values = vmulq_n_f32(vmulq_f32(values, vld1q_f32(matrix.scales + first + i)), scale);
    }
    if (matrix.bias != nullptr) values = vaddq_f32(values, vld1q_f32(matrix.bias + first + i));
    values = activate(epilogue.activation, values);
    if (epilogue.add) values = vaddq_f32(values, load(out + first + i, count - i));
    save(out + first + i, count - i, values);
  }
}

void multiply(const Matrix& matrix, const Rows& rows, Epilogue epilogue, float* out, std::int64_t stride,
              const SumPanel (&sum_panel)[kRows]) {
  const int groups = static_cast<int>(matrix.padded_inputs()) / group_of(matrix.number);
  for (int first = 0; first < matrix.outputs; first += kPanel) {
    const std::byte* panel = matrix.panels + first / kPanel * (groups * kGroupBytes);
    for (int row = 0; row < rows.count; row += kRows) {
      const int count = rows.count - row < kRows ? rows.count - row : kRows;
      float sums[kRows * kPanel];
      sum_panel[count - 1](panel, rows.values + row * rows.stride, rows.stride, groups, sums);
      for (int r = row; r < row + count; ++r) {
        const float scale = matrix.number == Number::int8 ? rows.scales[r] : 1;
        finish(matrix, sums + (r - row) * kPanel, scale, first, epilogue, out + r * stride);
      }
    }
  }
}

template <const SumPanel (&Integers)[kRows]>
void product(const Matrix& matrix, const Rows& rows, Epilogue epilogue, float* out, std::int64_t stride) {
  switch (matrix.number) {
    case Number::int8: return multiply(matrix, rows, epilogue, out, stride, Integers);
    case Number::bf16: return multiply(matrix, rows, epilogue, out, stride, plain::kSumPanel<Bf16>);
    default: return multiply(matrix, rows, epilogue, out, stride, plain::kSumPanel<F32>);
  }
}

// ---- Attention ----

inline const std::byte* position(const Attended& a, const std::byte* base, std::int64_t step, int width, int t) {
  return base + (t * step + (a.slots == nullptr ? 0 : std::int64_t{a.slots[t]} * width)) * size_of(a.number);
}

// The scores of one query at P positions from `t` on.
template <Number N, int P>
inline void score(const Attended& a, const float* query, int t, float* out) {
  const std::byte* keys[P];
  float32x4_t low[P], high[P];
  for (int p = 0; p < P; ++p) {
    keys[p] = position(a, a.keys, a.key_step, a.key_width, t + p);
    low[p] = high[p] = vdupq_n_f32(0);
  }
  for (int i = 0; i < a.key_width; i += 8) {
    const float32x4_t query_low = vld1q_f32(query + i), query_high = vld1q_f32(query + i + 4);
    for (int p = 0; p < P; ++p) {
      const Eight key = load_eight<N>(keys[p], i);
      low[p] = vfmaq_f32(low[p], key.low, query_low);
      high[p] = vfmaq_f32(high[p], key.high, query_high);
    }
  }
  for (int p = 0; p < P; ++p) out[t + p] = vaddvq_f32(vaddq_f32(low[p], high[p]));
}

// weights = softmax(scale * weights + bias); of minus infinities alone, zeros.
void soften(float* weights, int length, float scale, const float* bias) {
  for (int t = 0; t < length; t += 4) {
    float32x4_t scores = vmulq_n_f32(load(weights + t, length - t), scale);
    if (bias != nullptr) scores = vaddq_f32(scores, load(bias + t, length - t));
    save(weights + t, length - t, scores);
  }
  const float found = greatest_of(weights, length);
  const float32x4_t greatest = vdupq_n_f32(found == -kInfinity ? 0 : found);
  for (int t = 0; t < length; t += 4) {
    save(weights + t, length - t, exponential(vsubq_f32(load(weights + t, length - t), greatest)));
  }
  const float sum = sum_of(weights, length);
  const float factor = sum == 0 ? 0 : 1 / sum;
  for (int t = 0; t < length; t += 4) {
    save(weights + t, length - t, vmulq_n_f32(load(weights + t, length - t), factor));
  }
}

// 8 V numbers of a context from `first` on.
template <Number N, int V>
inline void mix(const Attended& a, const float* weights, int first, float* context) {
  float32x4_t low[V], high[V];
  for (int v = 0; v < V; ++v) low[v] = high[v] = vdupq_n_f32(0);
  for (int t = 0; t < a.length; ++t) {
    const std::byte* values = position(a, a.values, a.value_step, a.value_width, t);
    for (int v = 0; v < V; ++v) {
      const Eight value = load_eight<N>(values, first + 8 * v);
      low[v] = vfmaq_n_f32(low[v], value.low, weights[t]);
      high[v] = vfmaq_n_f32(high[v], value.high, weights[t]);
    }
  }
  for (int v = 0; v < V; ++v) {
    vst1q_f32(context + first + 8 * v, low[v]);
    vst1q_f32(context + first + 8 * v + 4, high[v]);
  }
}

template <Number N>
void attend_to(const Attended& a, const Queries& q) {
  for (int i = 0; i < q.count; ++i) {
    const float* query = q.queries + i * q.stride;
    float* weights = q.weights + std::int64_t{i} * a.length;
    int t = 0;
    for (; t + 4 <= a.length; t += 4) score<N, 4>(a, query, t, weights);
    for (; t < a.length; ++t) score<N, 1>(a, query, t, weights);
    soften(weights, a.length, q.scale, q.bias == nullptr ? nullptr : q.bias + i * q.bias_stride);
    float* context = q.contexts + i * q.context_stride;
    int first = 0;
    for (; first + 32 <= a.value_width; first += 32) mix<N, 4>(a, weights, first, context);
    for (; first < a.value_width; first += 8) mix<N, 1>(a, weights, first, context);
  }
}

void attend(const Attended& attended, const Queries& queries) {
  attended.number == Number::f32 ? attend_to<Number::f32>(attended, queries) : attend_to<Number::bf16>(attended, queries);
}

// ---- The rest ----

void normalize(const float* x, int count, int width, bool centred, float epsilon, const float* gain, const float* bias,
               float* out) {
  for (int row = 0; row < count; ++row, x += width, out += width) {
    const float mean = centred ? sum_of(x, width) / static_cast<float>(width) : 0;
    float32x4_t squares = vdupq_n_f32(0);
    for (int i = 0; i < width; i += 4) {
      const float32x4_t distance = vsubq_f32(load(x + i, width - i, mean), vdupq_n_f32(mean));
      squares = vfmaq_f32(squares, distance, distance);
    }
    const float factor = 1 / std::sqrt(vaddvq_f32(squares) / static_cast<float>(width) + epsilon);
    for (int i = 0; i < width; i += 4) {
      const int left = width - i;
      float32x4_t values = vmulq_n_f32(vsubq_f32(load(x + i, left), vdupq_n_f32(mean)), factor);
      values = vmulq_f32(values, load(gain + i, left));
      if (bias != nullptr) values = vaddq_f32(values, load(bias + i, left));
      save(out + i, left, values);
    }
  }
}

void gate(const float* x, int count, int width, Activation activation, float* out) {
  for (int row = 0; row < count; ++row, x += 2 * width, out += width) {
    for (int i = 0; i < width; i += 4) {
      const int left = width - i;
      save(out + i, left, vmulq_f32(activate(activation, load(x + i, left)), load(x + width + i, left)));
    }
  }
}

float log_sum_exp(const float* x, int count) {
  const float greatest = greatest_of(x, count);
  if (std::isinf(greatest)) return greatest;
  float32x4_t sums = vdupq_n_f32(0);
  for (int i = 0; i < count; i += 4) {
    sums = vaddq_f32(sums, exponential(vsubq_f32(load(x + i, count - i, -kInfinity), vdupq_n_f32(greatest))));
  }
  return greatest + std::log(vaddvq_f32(sums));
}

int argmax(const float* x, int count) {
  constexpr std::int32_t kLanes[] = {0, 1, 2, 3};
  float32x4_t greatest = vdupq_n_f32(-kInfinity);
  int32x4_t index = vld1q_s32(kLanes), found = index;
  uint32x4_t numbers = vdupq_n_u32(~0u);
  for (int i = 0; i < count; i += 4) {
    const float32x4_t values = load(x + i, count - i, -kInfinity);
    const uint32x4_t greater = vcgtq_f32(values, greatest);
    found = vbslq_s32(greater, index, found);
    greatest = vbslq_f32(greater, values, greatest);
    numbers = vandq_u32(numbers, vceqq_f32(values, values));
    index = vaddq_s32(index, vdupq_n_s32(4));
  }
  if (vminvq_u32(numbers) == 0) return -1;
  const uint32x4_t best = vceqq_f32(greatest, vdupq_n_f32(vmaxvq_f32(greatest)));
  return vminvq_s32(vbslq_s32(best, found, vdupq_n_s32(std::numeric_limits<std::int32_t>::max())));
}

#if defined(ATTENTO_DOT_PRODUCTS)
bool has_dot_products() {
#if defined(__linux__)
  constexpr unsigned long kDotProducts = 1ul << 20;  // HWCAP_ASIMDDP, which older headers lack
  return (getauxval(AT_HWCAP) & kDotProducts) != 0;
#elif defined(__APPLE__)
  int has = 0;
  std::size_t size = sizeof has;
  return sysctlbyname("hw.optional.arm.FEAT_DotProd", &has, &size, nullptr, 0) == 0 && has != 0;
#else
  return false;
#endif
}
#endif

template <const SumPanel (&Integers)[kRows]>
constexpr Kernels kSet{"neon", prepare, product<Integers>, attend, normalize, gate, log_sum_exp, argmax, store};

}  // namespace

const Kernels* neon_kernels() {
#if defined(ATTENTO_DOT_PRODUCTS)
  if (has_dot_products()) return &kSet<dotted::kSumPanel<dotted::Int8>>;
#endif
  return &kSet<plain::kSumPanel<Int8>>;
}

}  // namespace attento

#endif

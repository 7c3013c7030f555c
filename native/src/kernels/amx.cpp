// The set "amx": products of int8 and bf16 by the tile registers of processors with AMX, the rest of "avx512_vnni".
//
// Tiles 0 and 1 hold the sums of up to 16 rows with the 16 first and 16 last outputs of a panel, 2 and 3 those of up to
// 16 rows more; 4 and 5 the rows' inputs, 6 and 7 the weights of the panel's halves. A group of four bytes of 32
// outputs is 128 bytes of a panel, so a tile of weights is 16 groups of one half.
#include "sets.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <cstring>
#include <limits>

#if defined(__linux__) && !defined(ATTENTO_EMULATE_AMX)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "numbers.h"
#include "target.h"
#include "tiles.h"

ATTENTO_BEGIN_TARGET("avx2,fma,avx512f,avx512bw,avx512vl,amx-tile,amx-int8,amx-bf16")

namespace attento {
namespace {

// Of this only what turns sums into outputs is used.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include "avx512_vectors.inl"
#include "vector_floats.inl"
constexpr int kTileRows = 16;
constexpr int kMostRows = 2 * kTileRows;
constexpr int vectors_at_once(int) { return 2; }
#include "vector_product.inl"
#pragma GCC diagnostic pop

// As in "avx512_vnni" rows of integers are 128 too great, which the sums of weights take back.
struct Integers {
  using Sum = __m512i;
  static constexpr bool kIntegers = true;

  struct Outputs {
    __m512i excess;
    V factors;
  };

  static Outputs outputs(const Matrix& matrix, std::int64_t output) {
    return {_mm512_slli_epi32(_mm512_loadu_si512(matrix.sums + output), 7), load(matrix.scales + output)};
  }
  static V value(Sum sum, const Outputs& outputs, float scale) {
    const V exact = _mm512_cvtepi32_ps(_mm512_sub_epi32(sum, outputs.excess));
    return multiply(multiply(exact, outputs.factors), all(scale));
  }
};

struct Bf16 {
  using Sum = V;
  static constexpr bool kIntegers = false;

  struct Outputs {};

  static Outputs outputs(const Matrix&, std::int64_t) { return {}; }
  static V value(Sum sum, Outputs, float) { return sum; }
};

constexpr std::int64_t kStepBytes = 64;                         // of a row, that one multiplication of tiles takes
constexpr std::int64_t kStepWeights = kStepBytes / 4 * kGroup;  // and of a panel

// The weights of one panel, in whole steps; what is missing of the last one is zeros in `last`.
struct PanelSteps {
  const std::byte* weights;
  std::int64_t whole;
  bool more;
  alignas(64) std::byte last[kStepWeights];
};

inline void find_steps(const Work& work, std::int64_t panel, PanelSteps& steps) {
  steps.weights = work.panel(panel);
  steps.whole = work.groups * kGroup / kStepWeights;
  const std::int64_t rest = work.groups * kGroup % kStepWeights;
  steps.more = rest > 0;
  if (!steps.more) return;
  std::memcpy(steps.last, steps.weights + steps.whole * kStepWeights, static_cast<std::size_t>(rest));
  std::memset(steps.last + rest, 0, static_cast<std::size_t>(kStepWeights - rest));
  ATTENTO_TILE_WRITTEN(steps.last);
}

template <class Format, bool kBoth>
inline void step(const std::byte* inputs, std::int64_t stride, const std::byte* weights) {
  ATTENTO_TILE_LOAD(6, weights, kGroup);
  ATTENTO_TILE_LOAD(7, weights + kGroup / 2, kGroup);
  ATTENTO_TILE_LOAD(4, inputs, stride);
  if constexpr (Format::kIntegers) {
    ATTENTO_TILE_INTEGERS(0, 4, 6);
    ATTENTO_TILE_INTEGERS(1, 4, 7);
  } else {
    ATTENTO_TILE_BF16(0, 4, 6);
    ATTENTO_TILE_BF16(1, 4, 7);
  }
  if constexpr (kBoth) {
    ATTENTO_TILE_LOAD(5, inputs + kTileRows * stride, stride);
    if constexpr (Format::kIntegers) {
      ATTENTO_TILE_INTEGERS(2, 5, 6);
      ATTENTO_TILE_INTEGERS(3, 5, 7);
    } else {
      ATTENTO_TILE_BF16(2, 5, 6);
      ATTENTO_TILE_BF16(3, 5, 7);
    }
  }
}

// The sums of as many rows as the tiles are shaped for; kBoth: more than 16. `next`: what is read after this panel, or
// nullptr.
template <class Format, bool kBoth>
inline void sum_rows(const Work& work, int row, const PanelSteps& steps, const std::byte* next, void* sums) {
  const std::int64_t stride = work.rows.stride;
  const std::byte* inputs = work.rows.values + row * stride;
  const std::byte* weights = steps.weights;
  ATTENTO_TILE_ZERO(0);
  ATTENTO_TILE_ZERO(1);
  if constexpr (kBoth) {
    ATTENTO_TILE_ZERO(2);
    ATTENTO_TILE_ZERO(3);
  }
  for (std::int64_t i = 0; i < steps.whole; ++i, inputs += kStepBytes, weights += kStepWeights) {
    if (next != nullptr) {
      for (std::int64_t line = 0; line < kStepWeights; line += 64) __builtin_prefetch(next + line, 0, 2);
      next += kStepWeights;
    }
    step<Format, kBoth>(inputs, stride, weights);
  }
  if (steps.more) step<Format, kBoth>(inputs, stride, steps.last);
  auto* out = static_cast<std::byte*>(sums);
  ATTENTO_TILE_STORE(0, out, kGroup);
  ATTENTO_TILE_STORE(1, out + kGroup / 2, kGroup);
  if constexpr (kBoth) {
    ATTENTO_TILE_STORE(2, out + kTileRows * kGroup, kGroup);
    ATTENTO_TILE_STORE(3, out + kTileRows * kGroup + kGroup / 2, kGroup);
  }
}

// Shapes for `height` rows at once. Loaded anew for each product, which takes some 200 cycles: between two products the
// same thread may run other code that uses tiles.
inline void shape_tiles(int height) {
  const int first = least(height, kTileRows);
  const int second = height - first;
  const int rows[] = {first, first, second, second, first, second, kTileRows, kTileRows};
  TileShapes shapes;
  for (int tile = 0; tile < 8; ++tile) {
    shapes.rows[tile] = static_cast<std::uint8_t>(rows[tile]);
    shapes.row_bytes[tile] = rows[tile] == 0 ? 0 : static_cast<std::uint16_t>(kStepBytes);
  }
  ATTENTO_TILE_WRITTEN(&shapes);
  ATTENTO_TILE_CONFIGURE(&shapes);
}

// Rows `first` to `end`, cut into blocks of one height, as tiles keep their shapes. The last block begins a few rows
// early, and what it computes a second time is left.
template <class Format>
inline void multiply_tiles(const Work& work, int first, int end) {
  const int blocks = (end - first + kMostRows - 1) / kMostRows;
  const int height = (end - first + blocks - 1) / blocks;
  const std::int64_t panels = work.matrix.padded_outputs() / kPanel;
  alignas(64) typename Format::Sum sums[kMostRows * kVectors];
  PanelSteps steps;
  shape_tiles(height);
  for (std::int64_t panel = 0; panel < panels; ++panel) {
    find_steps(work, panel, steps);
    for (int begin = first; begin < end; begin += height) {
      const int row = least(begin, end - height);
      const bool to_next = begin + height >= end && panel + 1 < panels;
      const std::byte* next = to_next ? work.panel(panel + 1) : nullptr;
      if (height > kTileRows) {
        sum_rows<Format, true>(work, row, steps, next, sums);
      } else {
        sum_rows<Format, false>(work, row, steps, next, sums);
      }
      const int known = begin - row;
      finish<Format>(work, begin, height - known, panel * kPanel, kVectors, sums + known * kVectors);
    }
  }
  ATTENTO_TILE_RELEASE();
}

template <class Format>
void multiply_all(const Matrix& matrix, const Rows& rows, Epilogue epilogue, float* out, std::int64_t stride) {
  const Work work{matrix, rows, epilogue, out, stride, matrix.padded_inputs() * size_of(matrix.number) / 4};
  const std::int64_t near = kNearRows / (rows.stride * kMostRows) * kMostRows;
  const int most = near < kMostRows ? kMostRows : near > 4096 ? 4096 : static_cast<int>(near);
  for (int first = 0; first < rows.count; first += most) {
    multiply_tiles<Format>(work, first, least(rows.count, first + most));
  }
}

void tile_product(const Matrix& matrix, const Rows& rows, Epilogue epilogue, float* out, std::int64_t stride) {
  switch (matrix.number) {
    case Number::int8: return multiply_all<Integers>(matrix, rows, epilogue, out, stride);
    case Number::bf16: return multiply_all<Bf16>(matrix, rows, epilogue, out, stride);
    default: return avx512_vnni_kernels()->product(matrix, rows, epilogue, out, stride);
  }
}

}  // namespace
}  // namespace attento

ATTENTO_END_TARGET

namespace attento {
namespace {

// Linux lets a process use tiles only once it has asked.
bool has_tiles() {
#if defined(ATTENTO_EMULATE_AMX)
  return true;
#elif defined(__linux__)
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return false;
  constexpr unsigned kNeeded = 1u << 22 | 1u << 24 | 1u << 25;  // amx-bf16, amx-tile, amx-int8
  if ((edx & kNeeded) != kNeeded) return false;
  constexpr long kAskForPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;
  return syscall(SYS_arch_prctl, kAskForPermission, kTileData) == 0;
#else
  return false;
#endif
}

Kernels amx_of(Kernels kernels) {
  kernels.name = "amx";
  kernels.product = tile_product;
  return kernels;
}

}  // namespace

const Kernels* amx_kernels() {
  static const bool has = avx512_vnni_kernels() != nullptr && has_tiles();
  if (!has) return nullptr;
  static const Kernels kernels = amx_of(*avx512_vnni_kernels());
  return &kernels;
}

}  // namespace attento

#endif

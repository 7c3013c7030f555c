// The product of integers by smmla (i8mm of ARMv8.6), which multiplies 8 inputs of two rows by 8 inputs of two outputs:
// twice what sdot does. Included in neon.cpp after its dot products, in a namespace and a target region of its own.
//
// A panel holds four inputs of one output side by side, smmla wants eight: vectors of two neighbouring groups of inputs
// are zipped: ahead for all rows that pass by, or, where these are few, while they are multiplied. Half a panel is a
// strip. Three pairs of rows by a strip leave registers for what is multiplied, two pairs for zipping as well.

constexpr int kStrip = kPanel / 2;
constexpr int kAcross = kStrip / kLanes;
constexpr int kTilePairs = 3;                      // of rows, by a strip zipped ahead
constexpr int kFewPairs = 2;                       // by one that is not
constexpr std::int64_t kTwoGroups = kStrip * 8;    // bytes of two groups of a strip, once they are zipped
constexpr std::int64_t kMostArranged = 64 * 1024;  // bytes of such a strip, on the stack

// Eight inputs of outputs 0 and 1, and of 2 and 3, of a vector of four.
struct Zipped {
  int8x16_t low;
  int8x16_t high;
};

// `other`: how far away the second group stands.
inline Zipped zip(const std::byte* weights, std::int64_t other) {
  const int32x4_t first = vreinterpretq_s32_u8(bytes_at(weights));
  const int32x4_t second = vreinterpretq_s32_u8(bytes_at(weights + other));
  return {vreinterpretq_s8_s32(vzip1q_s32(first, second)), vreinterpretq_s8_s32(vzip2q_s32(first, second))};
}

// Behind a last odd group it stands once more: rows have zeros there.
inline void arrange(const std::byte* weights, std::int64_t groups, std::byte* arranged) {
  auto* out = reinterpret_cast<std::int8_t*>(arranged);
  for (std::int64_t group = 0; group < groups; group += 2, weights += 2 * kGroup) {
    const std::int64_t other = group + 1 < groups ? kGroup : 0;
    for (int j = 0; j < kAcross; ++j, out += 32) {
      const Zipped zipped = zip(weights + j * kVector, other);
      vst1q_s8(out, zipped.low);
      vst1q_s8(out + 16, zipped.high);
    }
  }
}

// Eight inputs of two rows.
inline int8x16_t inputs_at(const std::byte* even, const std::byte* odd) {
  const int64x2_t first = vcombine_s64(vld1_s64(reinterpret_cast<const std::int64_t*>(even)), vdup_n_s64(0));
  return vreinterpretq_s8_s64(vld1q_lane_s64(reinterpret_cast<const std::int64_t*>(odd), first, 1));
}

template <bool kArranged, int kPairs>
inline __attribute__((always_inline)) void multiply_groups(int32x4_t (&sums)[kPairs][2 * kAcross],
                                                           const std::byte* weights, std::int64_t other,
                                                           const std::byte* (&rows)[2 * kPairs]) {
  int8x16_t inputs[kPairs];
  for (int p = 0; p < kPairs; ++p) {
    inputs[p] = inputs_at(rows[2 * p], rows[2 * p + 1]);
    rows[2 * p] += 8;
    rows[2 * p + 1] += 8;
  }
  for (int j = 0; j < kAcross; ++j) {
    Zipped zipped;
    if constexpr (kArranged) {
      zipped = {vreinterpretq_s8_u8(bytes_at(weights + j * 32)), vreinterpretq_s8_u8(bytes_at(weights + j * 32 + 16))};
    } else {
      zipped = zip(weights + j * kVector, other);
    }
    for (int p = 0; p < kPairs; ++p) {
      sums[p][2 * j] = vmmlaq_s32(sums[p][2 * j], inputs[p], zipped.low);
      sums[p][2 * j + 1] = vmmlaq_s32(sums[p][2 * j + 1], inputs[p], zipped.high);
    }
  }
}

// An odd last row makes a pair with itself.
template <bool kArranged, int kPairs>
__attribute__((noinline)) void tile(const Work& work, int row, int rows, std::int64_t output, const std::byte* weights,
                                    Ahead ahead) {
  int32x4_t sums[kPairs][2 * kAcross];
  for (auto& pair : sums) {
    for (int32x4_t& sum : pair) sum = vdupq_n_s32(0);
  }
  // What will be written, and is mostly read before.
  for (int r = 0; r < rows; ++r) __builtin_prefetch(work.out + (row + r) * work.stride + output, 1, 3);
  const std::byte* at[2 * kPairs];
  for (int r = 0; r < 2 * kPairs; ++r) at[r] = work.rows.values + (row + least(r, rows - 1)) * work.rows.stride;
  constexpr std::int64_t kBytes = kArranged ? kTwoGroups : 2 * kGroup;
  for (std::int64_t left = (kArranged ? work.groups + 1 : work.groups) / 2; left > 0; left -= kStep / 2) {
    fetch(ahead.from, ahead.step, ahead.many);
    ahead.from += ahead.step;
    const std::byte* end = weights + (left < kStep / 2 ? left : kStep / 2) * kBytes;
    for (; weights < end; weights += kBytes) multiply_groups<kArranged>(sums, weights, kGroup, at);
  }
  if (!kArranged && work.groups % 2 != 0) multiply_groups<false>(sums, weights, 0, at);
  int32x4_t apart[2 * kPairs][kAcross];
  for (int p = 0; p < kPairs; ++p) {
    for (int j = 0; j < kAcross; ++j) {
      const int64x2_t low = vreinterpretq_s64_s32(sums[p][2 * j]), high = vreinterpretq_s64_s32(sums[p][2 * j + 1]);
      apart[2 * p][j] = vreinterpretq_s32_s64(vzip1q_s64(low, high));
      apart[2 * p + 1][j] = vreinterpretq_s32_s64(vzip2q_s64(low, high));
    }
  }
  finish<Integers>(work, row, rows, output, kAcross, apart[0]);
}

template <bool kArranged, int kPairs = kArranged ? kTilePairs : kFewPairs>
inline void pass(const Work& work, int row, int rows, std::int64_t output, const std::byte* weights, Ahead ahead) {
  if (rows > 2 * kPairs - 2) return tile<kArranged, kPairs>(work, row, rows, output, weights, ahead);
  if constexpr (kPairs > 1) pass<kArranged, kPairs - 1>(work, row, rows, output, weights, ahead);
}

// Rows `first` to `end`, cut into tiles of nearly one number of pairs.
inline void multiply_rows(const Work& work, int first, int end) {
  const int pairs = (end - first + 1) / 2;
  const bool arranging = pairs > kFewPairs && (work.groups + 1) / 2 * kTwoGroups <= kMostArranged;
  const int most = arranging ? kTilePairs : kFewPairs;
  const int tiles = (pairs + most - 1) / most;
  alignas(64) std::byte arranged[kMostArranged];
  Ahead ahead{.from = nullptr, .step = round_up(kStep * kGroup / (2 * tiles), 64), .many = tiles > 2};
  for (std::int64_t output = 0; output < work.matrix.outputs; output += kStrip) {
    const std::byte* weights = work.weights(output / kLanes);
    // Behind the last panel stands what is read next.
    if (output % kPanel == 0) ahead.from = work.panel(output / kPanel + 1);
    if (arranging) arrange(weights, work.groups, arranged);
    for (int t = 0, row = first; t < tiles; ++t) {
      const int rows = least(end - row, (pairs + t) / tiles * 2);
      if (arranging) {
        pass<true>(work, row, rows, output, arranged, ahead);
      } else {
        pass<false>(work, row, rows, output, weights, ahead);
      }
      ahead.from += (work.groups + kStep - 1) / kStep * ahead.step;
      row += rows;
    }
  }
}

void multiply_matrix(const Matrix& matrix, const Rows& rows, Epilogue epilogue, float* out, std::int64_t stride) {
  const Work work{matrix, rows, epilogue, out, stride, matrix.padded_inputs() / 4};
  const std::int64_t near = kNearRows / (rows.stride * 2 * kTilePairs) * 2 * kTilePairs;
  const int most = near < 2 * kTilePairs ? 2 * kTilePairs : near > 4096 ? 4096 : static_cast<int>(near);
  for (int first = 0; first < rows.count; first += most) multiply_rows(work, first, least(rows.count, first + most));
}

// The product of one number format. Included after vector_floats.inl, in a namespace and a target region of its own for
// each instruction that multiplies; `Format` says how.
//
// A group of inputs is four bytes in every format, so a step is: one or more vectors of weights, four bytes of each row
// spread over a vector, and kRows x kAcross multiplications into registers. All rows pass by some vectors of outputs
// while their weights are near; few rows take more of them at once, so that there are enough sums on their way.
// A Format has: Sum, Weights, Inputs, Outputs; start(matrix, output), weights(bytes), inputs(bytes), step(sum, weights,
// inputs), outputs(matrix, output), value(sum, outputs, scale of the row).

constexpr int kVectors = kPanel / kLanes;
constexpr std::int64_t kGroup = kPanel * 4;
constexpr std::int64_t kVector = kGroup / kVectors;
constexpr std::int64_t kStep = 16;  // groups of inputs
constexpr std::int64_t kNearRows = 384 * 1024;  // bytes of rows that stay in the second cache beside a panel

// What one tile computes: rows `row` and following, vectors of outputs `vector` and following.
struct Work {
  const Matrix& matrix;
  const Rows& rows;
  Epilogue epilogue;
  float* out;
  std::int64_t stride;
  std::int64_t groups;

  const std::byte* panel(std::int64_t index) const { return matrix.panels + index * groups * kGroup; }
  const std::byte* weights(std::int64_t vector) const {
    return panel(vector / kVectors) + vector % kVectors * kVector;
  }
};

// What becomes of a tile's sums, one vector of outputs of all rows after the other.
template <class Format>
__attribute__((noinline)) void finish(const Work& work, int row, int rows, std::int64_t output, int vectors,
                                      const typename Format::Sum* sums) {
  const Matrix& matrix = work.matrix;
  for (int j = 0; j < vectors; ++j) {
    const std::int64_t at = output + j * kLanes;
    const int n = matrix.outputs - at < kLanes ? static_cast<int>(matrix.outputs - at) : kLanes;
    if (n <= 0) break;
    const V bias = matrix.bias == nullptr ? zeros() : load(matrix.bias + at);
    const typename Format::Outputs factors = Format::outputs(matrix, at);
    float* out = work.out + row * work.stride + at;
    for (int r = 0; r < rows; ++r, out += work.stride) {
      const float scale = work.rows.scales == nullptr ? 1.0f : work.rows.scales[row + r];
      V value = activate(add(Format::value(sums[r * vectors + j], factors, scale), bias), work.epilogue.activation);
      if (n == kLanes) {
        store(out, work.epilogue.add ? add(load(out), value) : value);
      } else {
        store(out, work.epilogue.add ? add(load(out, n), value) : value, n);
      }
    }
  }
}

// What a tile asks memory for while it computes: the panels that come next, of which each of many tiles asks a share.
struct Ahead {
  const std::byte* from;
  std::int64_t step;  // bytes at every kStep groups
  bool many;          // many tiles have the time to bring them into the first cache, few into the second
};

inline void fetch(const std::byte* from, std::int64_t bytes, bool nearest) {
  for (std::int64_t i = 0; i < bytes; i += 64) {
    nearest ? __builtin_prefetch(from + i, 0, 3) : __builtin_prefetch(from + i, 0, 2);
  }
}

template <class Format, int kRows, int kAcross>
inline __attribute__((always_inline)) void multiply_group(typename Format::Sum (&sums)[kRows][kAcross],
                                                          const std::byte* weights, std::int64_t panel_bytes,
                                                          const std::byte* inputs, std::int64_t stride) {
  if constexpr (kRows < kAcross) {
    typename Format::Inputs spread[kRows];
    ATTENTO_UNROLL
    for (int r = 0; r < kRows; ++r) spread[r] = Format::inputs(inputs + r * stride);
    ATTENTO_UNROLL
    for (int j = 0; j < kAcross; ++j) {
      const auto loaded = Format::weights(weights + j / kVectors * panel_bytes + j % kVectors * kVector);
      ATTENTO_UNROLL
      for (int r = 0; r < kRows; ++r) sums[r][j] = Format::step(sums[r][j], loaded, spread[r]);
    }
  } else {
    typename Format::Weights loaded[kAcross];
    ATTENTO_UNROLL
    for (int j = 0; j < kAcross; ++j) {
      loaded[j] = Format::weights(weights + j / kVectors * panel_bytes + j % kVectors * kVector);
    }
    ATTENTO_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const auto spread = Format::inputs(inputs + r * stride);
      ATTENTO_UNROLL
      for (int j = 0; j < kAcross; ++j) sums[r][j] = Format::step(sums[r][j], loaded[j], spread);
    }
  }
}

template <class Format, int kRows, int kAcross>
void tile(const Work& work, int row, std::int64_t vector, const typename Format::Sum* starts, Ahead ahead) {
  constexpr int kPanels = (kAcross + kVectors - 1) / kVectors;
  typename Format::Sum sums[kRows][kAcross];
  ATTENTO_UNROLL
  for (int r = 0; r < kRows; ++r) {
    ATTENTO_UNROLL
    for (int j = 0; j < kAcross; ++j) sums[r][j] = starts[j];
  }
  // What will be written, and is mostly read before.
  for (int r = 0; r < kRows; ++r) {
    const float* out = work.out + (row + r) * work.stride + vector * kLanes;
    for (int j = 0; j < kAcross; ++j) __builtin_prefetch(out + j * kLanes, 1, 3);
  }
  const std::int64_t panel_bytes = work.groups * kGroup;
  const std::byte* weights = work.weights(vector);
  const std::int64_t stride = work.rows.stride;
  const std::byte* inputs = work.rows.values + row * stride;
  for (std::int64_t left = work.groups; left > 0; left -= kStep) {
    if constexpr (kPanels == 1) fetch(ahead.from, ahead.step, ahead.many);
    const std::byte* end = weights + (left < kStep ? left : kStep) * kGroup;
    for (; weights < end; weights += kGroup, inputs += 4) {
      if constexpr (kPanels > 1) {
        // One line of two: processors fetch the other with it.
        for (int p = 0; p < kPanels; ++p) __builtin_prefetch(weights + (kPanels + p) * panel_bytes, 0, 2);
      }
      multiply_group<Format>(sums, weights, panel_bytes, inputs, stride);
    }
    ahead.from += ahead.step;
  }
  // A copy, as gcc stores sums whose address is taken at every step.
  typename Format::Sum done[kRows][kAcross];
  ATTENTO_UNROLL
  for (int r = 0; r < kRows; ++r) {
    ATTENTO_UNROLL
    for (int j = 0; j < kAcross; ++j) done[r][j] = sums[r][j];
  }
  finish<Format>(work, row, kRows, vector * kLanes, kAcross, done[0]);
}

// `across` is what kRows rows take at once, or what kMostRows do.
template <class Format, int kRows>
void pass_rows(const Work& work, int row, std::int64_t vector, int across, const typename Format::Sum* starts,
               const Ahead& ahead) {
  constexpr int kMost = vectors_at_once(kRows), kLeast = vectors_at_once(kMostRows);
  if constexpr (kMost > kLeast) {
    if (across == kMost) return tile<Format, kRows, kMost>(work, row, vector, starts, ahead);
  }
  tile<Format, kRows, kLeast>(work, row, vector, starts, ahead);
}

template <class Format, int kRows = kMostRows>
inline void pass(const Work& work, int rows, int row, std::int64_t vector, int across,
                 const typename Format::Sum* starts, const Ahead& ahead) {
  if (rows == kRows) return pass_rows<Format, kRows>(work, row, vector, across, starts, ahead);
  if constexpr (kRows > 1) pass<Format, kRows - 1>(work, rows, row, vector, across, starts, ahead);
}

// Rows `first` to `end`, cut into tiles of nearly one height.
template <class Format>
inline void multiply_rows(const Work& work, int first, int end) {
  const int tiles = (end - first + kMostRows - 1) / kMostRows;
  const int height = (end - first + tiles - 1) / tiles;
  constexpr int kLeast = vectors_at_once(kMostRows);
  const int at_once = tiles == 1 ? vectors_at_once(height) : kLeast;
  // Of the next panel, as much as is passed of this one.
  const std::int64_t share = kVector * least(at_once, kVectors);
  Ahead ahead{.from = nullptr, .step = round_up(kStep * share / tiles, 64), .many = tiles > 2};
  const std::int64_t vectors = work.matrix.padded_outputs() / kLanes;
  for (std::int64_t vector = 0; vector < vectors;) {
    const int across = vectors - vector >= at_once ? at_once : kLeast;
    // Behind the last panel stands what is read next.
    ahead.from = work.matrix.panels + (vector + (across < kVectors ? kVectors : across)) * work.groups * kVector;
    typename Format::Sum starts[vectors_at_once(1)];
    for (int j = 0; j < across; ++j) starts[j] = Format::start(work.matrix, (vector + j) * kLanes);
    for (int t = 0, row = first; t < tiles; ++t) {
      const int rows = (end - row + tiles - t - 1) / (tiles - t);
      pass<Format>(work, rows, row, vector, across, starts, ahead);
      ahead.from += (work.groups + kStep - 1) / kStep * ahead.step;
      row += rows;
    }
    vector += across;
  }
}

template <class Format>
void multiply_matrix(const Matrix& matrix, const Rows& rows, Epilogue epilogue, float* out, std::int64_t stride) {
  const Work work{matrix, rows, epilogue, out, stride, matrix.padded_inputs() * size_of(matrix.number) / 4};
  const std::int64_t near = kNearRows / (rows.stride * kMostRows) * kMostRows;
  const int most = near < kMostRows ? kMostRows : near > 4096 ? 4096 : static_cast<int>(near);
  for (int first = 0; first < rows.count; first += most) {
    multiply_rows<Format>(work, first, least(rows.count, first + most));
  }
}

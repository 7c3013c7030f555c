// The sums of products, for all formats. It is included where it is to be compiled: once for every processor, and once
// for those with dot products, as a template alone cannot change what its functions are compiled for.

template <class Format, int L, int R, int V>
inline void add_group(typename Format::Sum (&sums)[R][V], const std::byte* weights, const typename Format::Row (&x)[R]) {
  for (int v = 0; v < V; ++v) {
    const uint8x16_t w = vld1q_u8(reinterpret_cast<const std::uint8_t*>(weights) + 16 * v);
    for (int r = 0; r < R; ++r) sums[r][v] = Format::template add<L>(sums[r][v], w, x[r]);
  }
}

// The sums of R rows with V times four outputs of a panel.
template <class Format, int R, int V>
inline void sum_block(const std::byte* weights, const std::byte* rows, std::int64_t stride, int groups, float* out) {
  typename Format::Sum sums[R][V];
  typename Format::Row x[R];
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < V; ++v) sums[r][v] = Format::zero();
  }
  int group = 0;
  for (; group + 4 <= groups; group += 4, weights += 4 * kGroupBytes) {
    for (int r = 0; r < R; ++r) x[r] = Format::load(rows + r * stride + 4 * group);
    add_group<Format, 0, R, V>(sums, weights, x);
    add_group<Format, 1, R, V>(sums, weights + kGroupBytes, x);
    add_group<Format, 2, R, V>(sums, weights + 2 * kGroupBytes, x);
    add_group<Format, 3, R, V>(sums, weights + 3 * kGroupBytes, x);
  }
  if (group < groups) {
    for (int r = 0; r < R; ++r) x[r] = Format::load(rows + r * stride + 4 * group);
    add_group<Format, 0, R, V>(sums, weights, x);
    if (group + 1 < groups) add_group<Format, 1, R, V>(sums, weights + kGroupBytes, x);
    if (group + 2 < groups) add_group<Format, 2, R, V>(sums, weights + 2 * kGroupBytes, x);
  }
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < V; ++v) vst1q_f32(out + r * kPanel + 4 * v, Format::floats(sums[r][v]));
  }
}

// As many sums as there are registers for: few rows with a whole panel, more with one half after the other.
template <class Format, int R>
void sum_panel(const std::byte* panel, const std::byte* rows, std::int64_t stride, int groups, float* out) {
  if constexpr (R * 8 <= Format::kSums) {
    sum_block<Format, R, 8>(panel, rows, stride, groups, out);
  } else {
    sum_block<Format, R, 4>(panel, rows, stride, groups, out);
    sum_block<Format, R, 4>(panel + kGroupBytes / 2, rows, stride, groups, out + kPanel / 2);
  }
}

template <class Format>
constexpr SumPanel kSumPanel[kRows] = {sum_panel<Format, 1>, sum_panel<Format, 2>, sum_panel<Format, 3>,
                                       sum_panel<Format, 4>};

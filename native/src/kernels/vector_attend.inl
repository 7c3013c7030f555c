// Attention over cached keys and values. Included after vector_floats.inl, as that file is.
//
// Keys are read once for a block of queries. kLanes positions at a time: the products of a query with each key are
// summed down to one vector of partial sums a position, and `sums_of` turns kLanes such vectors into one vector of
// scores. Numbers come in pairs of vectors (`Pair`): f32 as they stand, bf16 as those at even and those at odd places,
// which takes a shift and a mask and no permutation; `arrange` brings a query into the same order, `restore` takes it
// back.

constexpr int kPair = 2 * kLanes;

// The first `count` numbers of a pair, 8 or a multiple of 8; the others are zeros. All of them where `whole`.
template <Number number, bool whole>
inline Pair load_pair(const std::byte* numbers, int count) {
  if constexpr (number == Number::f32) {
    const auto* x = reinterpret_cast<const float*>(numbers);
    return whole ? Pair{load(x), load(x + kLanes)} : load_floats(x, count);
  } else {
    const auto* x = reinterpret_cast<const std::uint16_t*>(numbers);
    return whole ? load_bf16(x) : load_bf16(x, count);
  }
}

template <Number number, bool whole>
inline Pair load_query(const float* query, int count) {
  const Pair pair = load_pair<Number::f32, whole>(reinterpret_cast<const std::byte*>(query), count);
  return number == Number::f32 ? pair : arrange(pair);
}

inline std::int64_t offset(const std::uint8_t* slots, int t, std::int64_t step, int width) {
  return t * step + (slots == nullptr ? 0 : std::int64_t{slots[t]} * width);
}

// Where the keys of kLanes positions stand, of which `count` are there.
struct Positions {
  const std::byte* keys[kLanes];
  int count;
};

template <Number number>
inline void find_positions(const Attended& attended, int first, Positions& positions) {
  positions.count = least(attended.length - first, kLanes);
  for (int i = 0; i < positions.count; ++i) {
    const std::int64_t place = offset(attended.slots, first + i, attended.key_step, attended.key_width);
    positions.keys[i] = attended.keys + place * size_of(number);
  }
}

// Ask for the values of these positions and the keys of the next, where slots hide them from the processor's own
// foresight (which it is left to elsewhere: asking costs more than it brings).
template <Number number>
inline void prefetch(const Attended& attended, int first, int count) {
  const int size = size_of(number);
  for (int t = first; t < first + count; ++t) {
    const std::byte* value =
        attended.values + offset(attended.slots, t, attended.value_step, attended.value_width) * size;
    for (int i = 0; i < attended.value_width * size; i += 64) __builtin_prefetch(value + i);
    if (t + kLanes >= attended.length) continue;
    const std::byte* key =
        attended.keys + offset(attended.slots, t + kLanes, attended.key_step, attended.key_width) * size;
    for (int i = 0; i < attended.key_width * size; i += 64) __builtin_prefetch(key + i);
  }
}

// Adds to `parts` the products over kPairs whole pairs of numbers from `from` on, or over the rest of less than a pair.
template <Number number, int kQueries, int kPairs, bool whole>
inline void add_scores(const Positions& positions, const Queries& queries, int query, int from, int rest,
                       V (&parts)[kQueries][kLanes]) {
  Pair asked[kQueries][kPairs];
  ATTENTO_UNROLL
  for (int q = 0; q < kQueries; ++q) {
    const float* x = queries.queries + (query + q) * queries.stride + from;
    ATTENTO_UNROLL
    for (int c = 0; c < kPairs; ++c) asked[q][c] = load_query<number, whole>(x + c * kPair, rest);
  }
  for (int i = 0; i < positions.count; ++i) {
    const std::byte* key = positions.keys[i] + std::int64_t{from} * size_of(number);
    V total[kQueries];
    ATTENTO_UNROLL
    for (int q = 0; q < kQueries; ++q) total[q] = from == 0 ? zeros() : parts[q][i];
    ATTENTO_UNROLL
    for (int c = 0; c < kPairs; ++c) {
      const Pair pair = load_pair<number, whole>(key + c * kPair * size_of(number), rest);
      ATTENTO_UNROLL
      for (int q = 0; q < kQueries; ++q) {
        total[q] = add_product(asked[q][c].first, pair.first, total[q]);
        total[q] = add_product(asked[q][c].second, pair.second, total[q]);
      }
    }
    ATTENTO_UNROLL
    for (int q = 0; q < kQueries; ++q) parts[q][i] = total[q];
  }
}

template <Number number, int kQueries>
inline void score(const Attended& attended, const Queries& queries, int query) {
  Positions positions;
  V parts[kQueries][kLanes];
  for (int first = 0; first < attended.length; first += kLanes) {
    find_positions<number>(attended, first, positions);
    if (attended.slots != nullptr) prefetch<number>(attended, first, positions.count);
    int from = 0, rest = attended.key_width;
    for (; kMostPairs == 2 && rest >= 2 * kPair; from += 2 * kPair, rest -= 2 * kPair) {
      add_scores<number, kQueries, kMostPairs, true>(positions, queries, query, from, rest, parts);
    }
    for (; rest >= kPair; from += kPair, rest -= kPair) {
      add_scores<number, kQueries, 1, true>(positions, queries, query, from, rest, parts);
    }
    if (rest > 0) add_scores<number, kQueries, 1, false>(positions, queries, query, from, rest, parts);
    for (int q = 0; q < kQueries; ++q) {
      for (int i = positions.count; i < kLanes; ++i) parts[q][i] = zeros();
      V scores = multiply(sums_of(parts[q]), all(queries.scale));
      if (queries.bias != nullptr) {
        scores = add(scores, load(queries.bias + (query + q) * queries.bias_stride + first, positions.count));
      }
      store(queries.weights + std::int64_t{query + q} * attended.length + first, scores, positions.count);
    }
  }
}

// The scores become weights in place, all of them too great by one factor, whose inverse is returned: the contexts need
// not wait for it. A row of minus infinities becomes zeros.
inline float exponentials(float* scores, int length) {
  const V lowest = all(-kInfinity);
  const float greatest = greatest_of(scores, length);
  const V centre = all(greatest == -kInfinity ? 0.0f : greatest);
  V total = zeros();
  for (int t = 0; t < length; t += kLanes) {
    const int n = least(length - t, kLanes);
    const V weights = exponential(subtract(load(scores + t, n, lowest), centre));
    total = add(total, weights);
    store(scores + t, weights, n);
  }
  const float factor = sum(total);
  return factor == 0.0f ? 0.0f : 1.0f / factor;
}

inline void scale(float* weights, int length, float factor) {
  for (int t = 0; t < length; t += kLanes) {
    const int n = least(length - t, kLanes);
    store(weights + t, multiply(load(weights + t, n), all(factor)), n);
  }
}

// Writes kPairs whole pairs of the contexts from `from` on, or the rest of less than a pair, times each query's factor.
template <Number number, int kQueries, int kPairs, bool whole>
inline void add_values(const Attended& attended, const Queries& queries, int query, int from, int rest,
                       const float* factors) {
  const float* weights = queries.weights + std::int64_t{query} * attended.length;
  Pair totals[kQueries][kPairs];
  ATTENTO_UNROLL
  for (int q = 0; q < kQueries; ++q) {
    ATTENTO_UNROLL
    for (int c = 0; c < kPairs; ++c) totals[q][c] = Pair{zeros(), zeros()};
  }
  for (int t = 0; t < attended.length; ++t) {
    const std::int64_t place = offset(attended.slots, t, attended.value_step, attended.value_width) + from;
    const std::byte* value = attended.values + place * size_of(number);
    ATTENTO_UNROLL
    for (int c = 0; c < kPairs; ++c) {
      const Pair pair = load_pair<number, whole>(value + c * kPair * size_of(number), rest);
      ATTENTO_UNROLL
      for (int q = 0; q < kQueries; ++q) {
        const V weight = all(weights[std::int64_t{q} * attended.length + t]);
        totals[q][c].first = add_product(weight, pair.first, totals[q][c].first);
        totals[q][c].second = add_product(weight, pair.second, totals[q][c].second);
      }
    }
  }
  ATTENTO_UNROLL
  for (int q = 0; q < kQueries; ++q) {
    float* context = queries.contexts + (query + q) * queries.context_stride + from;
    const V factor = all(factors[q]);
    ATTENTO_UNROLL
    for (int c = 0; c < kPairs; ++c) {
      const Pair total = {multiply(totals[q][c].first, factor), multiply(totals[q][c].second, factor)};
      const Pair pair = number == Number::f32 ? total : restore(total);
      store(context + c * kPair, pair.first, whole ? kLanes : least(rest, kLanes));
      if (whole || rest > kLanes) store(context + c * kPair + kLanes, pair.second, whole ? kLanes : rest - kLanes);
    }
  }
}

template <Number number, int kQueries>
void attend_block(const Attended& attended, const Queries& queries, int query) {
  score<number, kQueries>(attended, queries, query);
  float* weights = queries.weights + std::int64_t{query} * attended.length;
  float factors[kQueries];
  for (int q = 0; q < kQueries; ++q)
    factors[q] = exponentials(weights + std::int64_t{q} * attended.length, attended.length);
  int from = 0, rest = attended.value_width;
  for (; kMostPairs == 2 && rest >= 2 * kPair; from += 2 * kPair, rest -= 2 * kPair) {
    add_values<number, kQueries, kMostPairs, true>(attended, queries, query, from, rest, factors);
  }
  for (; rest >= kPair; from += kPair, rest -= kPair) {
    add_values<number, kQueries, 1, true>(attended, queries, query, from, rest, factors);
  }
  if (rest > 0) add_values<number, kQueries, 1, false>(attended, queries, query, from, rest, factors);
  for (int q = 0; q < kQueries; ++q) scale(weights + std::int64_t{q} * attended.length, attended.length, factors[q]);
}

template <Number number>
inline void attend_to(const Attended& attended, const Queries& queries) {
  int query = 0;
  for (; query + 4 <= queries.count; query += 4) attend_block<number, 4>(attended, queries, query);
  switch (queries.count - query) {
    case 3: attend_block<number, 3>(attended, queries, query); break;
    case 2: attend_block<number, 2>(attended, queries, query); break;
    case 1: attend_block<number, 1>(attended, queries, query); break;
    default: break;
  }
}

void attend(const Attended& attended, const Queries& queries) {
  if (attended.number == Number::f32) {
    attend_to<Number::f32>(attended, queries);
  } else {
    attend_to<Number::bf16>(attended, queries);
  }
}

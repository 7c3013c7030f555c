// Attention over cached keys and values. Included after vector_floats.inl, as that file is.
//
// Keys are read once for a block of queries. kLanes positions at a time: the products of a query with each key are summed
// down to one vector of partial sums a position, and `sums_of` turns kLanes such vectors into one vector of scores.
// Numbers come in pairs of vectors (`Pair`): f32 as they stand, bf16 as those at even and those at odd places, which
// takes a shift and a mask and no permutation; `arrange` brings a query into the same order, `restore` takes it back.

constexpr int kPair = 2 * kLanes;

template <Number number>
inline Pair load_pair(const std::byte* numbers, const Part& part) {
  if constexpr (number == Number::f32) {
    return load_floats(reinterpret_cast<const float*>(numbers), part);
  } else {
    return load_bf16(reinterpret_cast<const std::uint16_t*>(numbers), part);
  }
}

template <Number number>
inline Pair load_query(const float* query, const Part& part) {
  const Pair pair = load_floats(query, part);
  return number == Number::f32 ? pair : arrange(pair);
}

inline std::int64_t offset(const std::uint8_t* slots, int t, std::int64_t step, int width) {
  return t * step + (slots == nullptr ? 0 : std::int64_t{slots[t]} * width);
}

inline void prefetch(const std::byte* from, std::int64_t bytes) {
  for (std::int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(from + i);
}

// What is computed together: kLanes positions from `first` on, of which `count` are there.
struct Positions {
  const std::byte* keys[kLanes];
  int first;
  int count;
};

template <Number number>
inline void find_positions(const Attended& attended, int first, Positions& positions) {
  const int size = size_of(number);
  const std::int64_t key_bytes = std::int64_t{attended.key_width} * size;
  const std::int64_t value_bytes = std::int64_t{attended.value_width} * size;
  positions.first = first;
  positions.count = least(attended.length - first, kLanes);
  for (int i = 0; i < positions.count; ++i) {
    const int t = first + i;
    positions.keys[i] = attended.keys + offset(attended.slots, t, attended.key_step, attended.key_width) * size;
    prefetch(attended.values + offset(attended.slots, t, attended.value_step, attended.value_width) * size, value_bytes);
    if (t + kLanes < attended.length) {
      const std::int64_t next = offset(attended.slots, t + kLanes, attended.key_step, attended.key_width);
      prefetch(attended.keys + next * size, key_bytes);
    }
  }
}

// Adds to `parts` the products over kPairs pairs of numbers that begin at `from`; the last pair may be a part only.
template <Number number, int kQueries, int kPairs>
inline void add_scores(const Positions& positions, const Queries& queries, int query, int from, int width,
                       V (&parts)[kQueries][kLanes]) {
  const Part whole = part_of(kPair);
  const Part last = part_of(least(width - from - (kPairs - 1) * kPair, kPair));
  Pair asked[kQueries][kPairs];
  for (int q = 0; q < kQueries; ++q) {
    const float* x = queries.queries + (query + q) * queries.stride + from;
    for (int c = 0; c < kPairs; ++c) asked[q][c] = load_query<number>(x + c * kPair, c + 1 == kPairs ? last : whole);
  }
  for (int i = 0; i < positions.count; ++i) {
    const std::byte* key = positions.keys[i] + std::int64_t{from} * size_of(number);
    V total[kQueries];
    for (int q = 0; q < kQueries; ++q) total[q] = from == 0 ? zeros() : parts[q][i];
    for (int c = 0; c < kPairs; ++c) {
      const Pair pair = load_pair<number>(key + c * kPair * size_of(number), c + 1 == kPairs ? last : whole);
      for (int q = 0; q < kQueries; ++q) {
        total[q] = add_product(asked[q][c].first, pair.first, total[q]);
        total[q] = add_product(asked[q][c].second, pair.second, total[q]);
      }
    }
    for (int q = 0; q < kQueries; ++q) parts[q][i] = total[q];
  }
}

template <Number number, int kQueries>
inline void score(const Attended& attended, const Queries& queries, int query) {
  Positions positions;
  V parts[kQueries][kLanes];
  for (int first = 0; first < attended.length; first += kLanes) {
    find_positions<number>(attended, first, positions);
    for (int from = 0; from < attended.key_width;) {
      if (attended.key_width - from > kPair && kMostPairs == 2) {
        add_scores<number, kQueries, 2>(positions, queries, query, from, attended.key_width, parts);
        from += 2 * kPair;
      } else {
        add_scores<number, kQueries, 1>(positions, queries, query, from, attended.key_width, parts);
        from += kPair;
      }
    }
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

// The scores become weights in place. A row of minus infinities becomes zeros.
inline void softmax(float* scores, int length) {
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
  const float all_of_them = sum(total);
  const V inverse = all(all_of_them == 0.0f ? 0.0f : 1.0f / all_of_them);
  for (int t = 0; t < length; t += kLanes) {
    const int n = least(length - t, kLanes);
    store(scores + t, multiply(load(scores + t, n), inverse), n);
  }
}

// Writes kPairs pairs of the contexts that begin at `from`.
template <Number number, int kQueries, int kPairs>
inline void add_values(const Attended& attended, const Queries& queries, int query, int from) {
  const Part whole = part_of(kPair);
  const Part last = part_of(least(attended.value_width - from - (kPairs - 1) * kPair, kPair));
  const float* weights = queries.weights + std::int64_t{query} * attended.length;
  Pair totals[kQueries][kPairs];
  for (int q = 0; q < kQueries; ++q) {
    for (int c = 0; c < kPairs; ++c) totals[q][c] = Pair{zeros(), zeros()};
  }
  for (int t = 0; t < attended.length; ++t) {
    const std::int64_t place = offset(attended.slots, t, attended.value_step, attended.value_width) + from;
    const std::byte* value = attended.values + place * size_of(number);
    for (int c = 0; c < kPairs; ++c) {
      const Pair pair = load_pair<number>(value + c * kPair * size_of(number), c + 1 == kPairs ? last : whole);
      for (int q = 0; q < kQueries; ++q) {
        const V weight = all(weights[std::int64_t{q} * attended.length + t]);
        totals[q][c].first = add_product(weight, pair.first, totals[q][c].first);
        totals[q][c].second = add_product(weight, pair.second, totals[q][c].second);
      }
    }
  }
  for (int q = 0; q < kQueries; ++q) {
    float* context = queries.contexts + (query + q) * queries.context_stride + from;
    for (int c = 0; c < kPairs; ++c) {
      const Pair pair = number == Number::f32 ? totals[q][c] : restore(totals[q][c]);
      store_floats(context + c * kPair, pair, c + 1 == kPairs ? last : whole);
    }
  }
}

template <Number number, int kQueries>
void attend_block(const Attended& attended, const Queries& queries, int query) {
  score<number, kQueries>(attended, queries, query);
  for (int q = 0; q < kQueries; ++q) softmax(queries.weights + std::int64_t{query + q} * attended.length, attended.length);
  for (int from = 0; from < attended.value_width;) {
    if (attended.value_width - from > kPair && kMostPairs == 2) {
      add_values<number, kQueries, 2>(attended, queries, query, from);
      from += 2 * kPair;
    } else {
      add_values<number, kQueries, 1>(attended, queries, query, from);
      from += kPair;
    }
  }
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

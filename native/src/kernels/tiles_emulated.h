// The tile instructions of AMX in plain C++, as Intel's manual has them (Software Developer's Manual, volume 2,
// LDTILECFG, TILELOADD, TDPBUSD, TDPBF16PS). Slow, only for tests. What faults on a processor ends the process here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "numbers.h"
#include "tiles.h"

namespace attento::emulated {

constexpr int kTiles = 8;
constexpr int kRows = 16;
constexpr int kRowBytes = 64;

struct State {
  bool configured = false;
  TileShapes shapes;
  std::byte tiles[kTiles][kRows][kRowBytes];
};

inline State& state() {
  thread_local State of_thread;
  return of_thread;
}

inline void expect(bool right, const char* what) {
  if (right) return;
  std::fprintf(stderr, "emulated tiles: %s\n", what);
  std::abort();
}

inline void configure(const TileShapes* shapes) {
  State& s = state();
  TileShapes read;
  std::memcpy(&read, shapes, sizeof read);
  expect(read.palette == 1 && read.start_row == 0, "LDTILECFG of another palette or from another row than the first");
  for (const std::uint8_t byte : read.reserved) expect(byte == 0, "LDTILECFG with a reserved byte that is not zero");
  for (int t = 0; t < 16; ++t) {
    expect(t < kTiles || (read.rows[t] == 0 && read.row_bytes[t] == 0), "LDTILECFG of more than 8 tiles");
    expect(read.rows[t] <= kRows && read.row_bytes[t] <= kRowBytes, "LDTILECFG of too large a tile");
    expect((read.rows[t] == 0) == (read.row_bytes[t] == 0), "LDTILECFG of a tile with rows and no columns, or without");
  }
  s.shapes = read;
  s.configured = true;
  std::memset(s.tiles, 0, sizeof s.tiles);
}

inline void release() { state().configured = false; }

inline State& state_with(int tile) {
  State& s = state();
  expect(s.configured, "a tile is used without LDTILECFG");
  expect(tile >= 0 && tile < kTiles && s.shapes.rows[tile] > 0, "a tile without a shape is used");
  return s;
}

inline void zero(int tile) { std::memset(state_with(tile).tiles[tile], 0, sizeof State::tiles[0]); }

inline void load(int tile, const void* from, std::int64_t stride) {
  State& s = state_with(tile);
  zero(tile);
  for (int row = 0; row < s.shapes.rows[tile]; ++row) {
    std::memcpy(s.tiles[tile][row], static_cast<const std::byte*>(from) + row * stride, s.shapes.row_bytes[tile]);
  }
}

inline void store(int tile, void* to, std::int64_t stride) {
  State& s = state_with(tile);
  for (int row = 0; row < s.shapes.rows[tile]; ++row) {
    std::memcpy(static_cast<std::byte*>(to) + row * stride, s.tiles[tile][row], s.shapes.row_bytes[tile]);
  }
}

inline State& state_for_product(int sums, int a, int b) {
  State& s = state_with(sums);
  state_with(a);
  state_with(b);
  expect(sums != a && sums != b && a != b, "a product of a tile with itself");
  const TileShapes& shapes = s.shapes;
  expect(shapes.row_bytes[sums] % 4 == 0 && shapes.row_bytes[a] % 4 == 0 && shapes.row_bytes[b] % 4 == 0,
         "a product of rows that are no multiple of four bytes");
  expect(shapes.rows[sums] == shapes.rows[a] && shapes.row_bytes[sums] == shapes.row_bytes[b] &&
             shapes.row_bytes[a] == 4 * shapes.rows[b],
         "a product of tiles whose shapes do not fit");
  return s;
}

template <class Value>
inline Value at(const State& s, int tile, int row, int column) {
  Value value;
  std::memcpy(&value, s.tiles[tile][row] + static_cast<std::size_t>(column) * sizeof value, sizeof value);
  return value;
}

inline void multiply_integers(int sums, int a, int b) {
  State& s = state_for_product(sums, a, b);
  for (int m = 0; m < s.shapes.rows[sums]; ++m) {
    for (int n = 0; n < s.shapes.row_bytes[sums] / 4; ++n) {
      auto sum = at<std::uint32_t>(s, sums, m, n);  // wraps around, as there
      for (int k = 0; k < s.shapes.row_bytes[a]; ++k) {
        const int product = at<std::uint8_t>(s, a, m, k) * at<std::int8_t>(s, b, k / 4, 4 * n + k % 4);
        sum += static_cast<std::uint32_t>(product);
      }
      std::memcpy(s.tiles[sums][m] + 4 * n, &sum, sizeof sum);
    }
  }
}

// Denormal numbers count as zeros there, which is not imitated.
inline void multiply_bf16(int sums, int a, int b) {
  State& s = state_for_product(sums, a, b);
  for (int m = 0; m < s.shapes.rows[sums]; ++m) {
    for (int n = 0; n < s.shapes.row_bytes[sums] / 4; ++n) {
      float parts[2] = {};
      for (int k = 0; k < s.shapes.row_bytes[a] / 2; ++k) {
        const float x = float_of_bf16(at<std::uint16_t>(s, a, m, k));
        const float weight = float_of_bf16(at<std::uint16_t>(s, b, k / 2, 2 * n + k % 2));
        parts[k % 2] = __builtin_fmaf(x, weight, parts[k % 2]);
      }
      const float sum = at<float>(s, sums, m, n) + (parts[0] + parts[1]);
      std::memcpy(s.tiles[sums][m] + 4 * n, &sum, sizeof sum);
    }
  }
}

}  // namespace attento::emulated

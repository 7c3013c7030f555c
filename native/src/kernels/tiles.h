// The tile registers of AMX: eight of up to 16 rows of 64 bytes. Their numbers must be literals.
//
// ATTENTO_TILE_LOAD(tile, from, stride)   rows that lie `stride` bytes apart, into a tile
// ATTENTO_TILE_STORE(tile, to, stride)
// ATTENTO_TILE_ZERO(tile)
// ATTENTO_TILE_INTEGERS(sums, a, b)       sums += a b: a of unsigned bytes, b of signed ones in groups of four
// ATTENTO_TILE_BF16(sums, a, b)           the same with pairs of bf16
// ATTENTO_TILE_CONFIGURE(shapes)          the shapes of all tiles, which become zeros
// ATTENTO_TILE_RELEASE()
//
// With ATTENTO_EMULATE_AMX they are plain C++, which tests the code that uses tiles on processors that have none.
#pragma once

#include <cstdint>

namespace attento {

// What LDTILECFG reads.
struct alignas(64) TileShapes {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};
};
static_assert(sizeof(TileShapes) == 64);

}  // namespace attento

#if defined(ATTENTO_EMULATE_AMX)

#include "tiles_emulated.h"

#define ATTENTO_TILE_LOAD attento::emulated::load
#define ATTENTO_TILE_STORE attento::emulated::store
#define ATTENTO_TILE_ZERO attento::emulated::zero
#define ATTENTO_TILE_INTEGERS attento::emulated::multiply_integers
#define ATTENTO_TILE_BF16 attento::emulated::multiply_bf16
#define ATTENTO_TILE_CONFIGURE attento::emulated::configure
#define ATTENTO_TILE_RELEASE attento::emulated::release

#else

#include <immintrin.h>

// A compiler does not see that these read memory (gcc 12 drops the stores before them), so what they are to read goes
// through ATTENTO_TILE_WRITTEN first.
#define ATTENTO_TILE_LOAD(tile, from, stride) _tile_loadd(tile, from, stride)
#define ATTENTO_TILE_STORE(tile, to, stride) _tile_stored(tile, to, stride)
#define ATTENTO_TILE_ZERO(tile) _tile_zero(tile)
#define ATTENTO_TILE_INTEGERS(sums, a, b) _tile_dpbusd(sums, a, b)
#define ATTENTO_TILE_BF16(sums, a, b) _tile_dpbf16ps(sums, a, b)
#define ATTENTO_TILE_CONFIGURE(shapes) _tile_loadconfig(shapes)
#define ATTENTO_TILE_RELEASE() _tile_release()

#endif

// Whatever was stored so far, at `pointer` above all, is in memory.
#define ATTENTO_TILE_WRITTEN(pointer) asm volatile("" : : "r"(pointer) : "memory")

// What this processor can do at most, measured on the spot: what the engine's speed is held against.
#pragma once

#include "kernels/kernels.h"

namespace attento {

// Bytes a second that one thread reads of a stretch of memory of this size, over and over.
double read_rate(std::int64_t bytes);

// Multiplications (each with its addition) a second of a product that stays in the caches nearest to the core.
double product_rate(const Kernels& kernels, Number number);

}  // namespace attento

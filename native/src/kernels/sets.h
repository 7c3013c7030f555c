// The sets of kernels, one function each: nullptr where this processor cannot run the set.
//
// Rules that all sets share, so that int8 products are equal to the last bit in all of them:
// - prepare: row_scale of numbers.h, then rint(x * inverse), ties to even.
// - product: (float(integer) * scale of the output) * scale of the row, then + bias, each step rounded.
// - The compiler must not fuse a product and a sum of its own accord: -ffp-contract=off.
#pragma once

#include "kernels.h"

namespace attento {

const Kernels* portable_kernels();

#if defined(__x86_64__)
const Kernels* avx2_kernels();
const Kernels* avx512_kernels();
const Kernels* avx512_vnni_kernels();
const Kernels* amx_kernels();
#endif

#if defined(__aarch64__)
const Kernels* neon_kernels();
#endif

}  // namespace attento

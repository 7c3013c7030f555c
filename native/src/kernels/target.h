// A region of functions for one instruction set. It begins after all #includes and holds no std:: template: an inline
// function compiled in it could otherwise replace, at the linker's choice, its twin for lesser machines.
#pragma once

#define ATTENTO_PRAGMA(words) _Pragma(#words)

#if defined(__clang__)
#define ATTENTO_BEGIN_TARGET(features) \
  ATTENTO_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define ATTENTO_END_TARGET ATTENTO_PRAGMA(clang attribute pop)
#else
#define ATTENTO_BEGIN_TARGET(features) ATTENTO_PRAGMA(GCC push_options) ATTENTO_PRAGMA(GCC target(features))
#define ATTENTO_END_TARGET ATTENTO_PRAGMA(GCC pop_options)
#endif

// Before a loop of few and constant turns over an array of sums: gcc keeps the sums in registers only where it unrolls the
// loop early; clang does of its own accord.
#if defined(__clang__)
#define ATTENTO_UNROLL
#else
#define ATTENTO_UNROLL ATTENTO_PRAGMA(GCC unroll 64)
#endif

#include "sets.h"
#if defined(__x86_64__)
namespace attento { const Kernels* avx2_kernels() { return nullptr; } }
#endif

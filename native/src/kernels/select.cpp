// Which set runs here.
#include <stdexcept>

#include "sets.h"

namespace attento {

std::vector<const Kernels*> available_kernels() {
  const Kernels* const sets[] = {
#if defined(__x86_64__)
    amx_kernels(),
    avx512_vnni_kernels(),
    avx512_kernels(),
    avx2_kernels(),
#endif
#if defined(__aarch64__)
    neon_kernels(),
#endif
    portable_kernels(),
  };
  std::vector<const Kernels*> available;
  for (const Kernels* set : sets) {
    if (set != nullptr) available.push_back(set);
  }
  return available;
}

const Kernels& choose_kernels(const std::string& name) {
  const std::vector<const Kernels*> available = available_kernels();
  if (name.empty()) return *available.front();
  std::string names;
  for (const Kernels* set : available) {
    if (name == set->name) return *set;
    names += (names.empty() ? "" : ", ") + std::string(set->name);
  }
  throw std::invalid_argument("kernels \"" + name + "\" do not run here; there are: " + names);
}

}  // namespace attento

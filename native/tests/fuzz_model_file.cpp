// A libFuzzer target: whatever bytes a model file holds, they are refused or read, and nothing crashes.
//
//   clang++ -g -O1 -std=c++20 -fsanitize=fuzzer,address,undefined src/model_file.cpp tests/fuzz_model_file.cpp
//
// Linux only: the file lies in memory.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "../src/model_file.h"

namespace {

using Bytes = std::vector<std::byte>;

constexpr std::size_t kHeader = 40, kSetting = 48, kTensor = 128;

template <typename Value>
Value get(const Bytes& file, std::size_t place) {
  Value value;
  std::memcpy(&value, file.data() + place, sizeof(value));
  return value;
}

void put(Bytes& file, std::size_t place, std::uint64_t value) {
  std::memcpy(file.data() + place, &value, sizeof(value));
}

// Make size and checksums right: a fuzzer never guesses them, and what it is to find lies behind.
void sign(Bytes& file) {
  if (file.size() < kHeader) return;
  const std::uint64_t settings = get<std::uint32_t>(file, 12) * std::uint64_t{kSetting};
  const std::uint64_t tensors = get<std::uint32_t>(file, 16) * std::uint64_t{kTensor};
  put(file, 24, file.size());
  if (settings + tensors > file.size() - kHeader) return;
  for (std::size_t record = kHeader + settings; record < kHeader + settings + tensors; record += kTensor) {
    const auto offset = get<std::uint64_t>(file, record + 104);
    const auto bytes = get<std::uint64_t>(file, record + 112);
    if (offset > file.size() || bytes > file.size() - offset) continue;
    put(file, record + 120, attento::checksum({file.data() + offset, bytes}));
  }
  put(file, 32, attento::checksum({file.data() + kHeader, settings + tensors}));
}

// Read all of what was accepted.
void use(const attento::ModelFile& model) {
  const auto read = [](const auto* values, std::int64_t count) {
    if (values != nullptr) attento::checksum(std::as_bytes(std::span(values, static_cast<std::size_t>(count))));
  };
  try {
    model.whole("d", 0, 1000);
    read(model.floats("x", {2, 3}, false), 6);
    read(model.doubles("y", {3}), 3);
    model.bytes("z");
    const attento::Matrix matrix = model.matrix("m", attento::Number::int8, 33, 5);
    read(matrix.panels, matrix.bytes());
    read(matrix.scales, matrix.padded_outputs());
    read(matrix.sums, matrix.padded_outputs());
    read(matrix.bias, matrix.padded_outputs());
  } catch (const attento::FileError&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::byte* begin = reinterpret_cast<const std::byte*>(data);
  Bytes file(begin, begin + size);
  sign(file);
  const int memory = ::memfd_create("model", MFD_CLOEXEC);
  if (memory < 0 || ::write(memory, file.data(), file.size()) != static_cast<ssize_t>(file.size())) std::abort();
  try {
    use(attento::ModelFile("/proc/self/fd/" + std::to_string(memory)));
  } catch (const attento::FileError&) {
  }
  ::close(memory);
  return 0;
}

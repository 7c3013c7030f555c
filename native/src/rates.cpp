#include "rates.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

#include "buffer.h"

namespace attento {
namespace {

constexpr int kRounds = 25;

// The least time of some rounds, in seconds: what disturbed the others was not the processor.
template <typename Work>
double least_time(Work work) {
  double least = 1e30;
  for (int round = 0; round < kRounds; ++round) {
    const auto started = std::chrono::steady_clock::now();
    work();
    least = std::min(least, std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count());
  }
  return least;
}

}  // namespace

double read_rate(std::int64_t bytes) {
  const std::int64_t words = std::max<std::int64_t>(bytes / 64, 1) * 8;
  Buffer buffer;
  std::memset(buffer.need(words * 8), 1, words * 8);
  const auto* data = reinterpret_cast<const std::uint64_t*>(buffer.data());
  volatile std::uint64_t kept = 0;
  const double seconds = least_time([&] {
    std::uint64_t sums[8] = {};
    for (std::int64_t i = 0; i < words; i += 8) {
      for (int lane = 0; lane < 8; ++lane) sums[lane] += data[i + lane];
    }
    kept = kept + sums[0] + sums[1] + sums[2] + sums[3] + sums[4] + sums[5] + sums[6] + sums[7];
  });
  return static_cast<double>(words * 8) / seconds;
}

double product_rate(const Kernels& kernels, Number number) {
  constexpr int rows = 48, inputs = 256, outputs = 64, repeats = 20;
  Buffer panels, values, scales, x, out;
  Matrix matrix{.number = number, .outputs = outputs, .inputs = inputs};
  std::memset(panels.need(matrix.bytes()), 0, matrix.bytes());
  matrix.panels = panels.data();
  std::vector<float> ones(outputs, 1.0F);
  std::vector<std::int32_t> sums(outputs, 0);
  matrix.scales = ones.data();
  matrix.sums = sums.data();
  std::fill_n(x.floats(rows * inputs), rows * inputs, 1.0F);
  const std::int64_t stride = row_bytes(number, inputs);
  Rows prepared{.values = values.need(stride * rows), .scales = scales.floats(rows), .stride = stride, .count = rows};
  kernels.prepare(number, x.held(), inputs, inputs, prepared);
  float* made = out.floats(rows * outputs);
  const double seconds = least_time([&] {
    for (int i = 0; i < repeats; ++i) kernels.product(matrix, prepared, {}, made, outputs);
  });
  return static_cast<double>(rows) * inputs * outputs * repeats / seconds;
}

}  // namespace attento

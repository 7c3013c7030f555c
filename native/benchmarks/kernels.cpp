// How fast the kernels are, beside what the processor can do: GMAC/s and GB/s for the shapes of a base model (width
// 512, feed-forward 2048, vocabulary 8000), each the best of several runs. Arguments: the names of sets, or none for
// all.
#include "../src/kernels/kernels.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

using namespace attento;

namespace {

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Seconds of one call: the best of runs of some milliseconds each.
template <class Call>
double best_seconds(Call call) {
  double begin = seconds_now();
  call();
  const int calls = std::max(1, static_cast<int>(0.004 / std::max(seconds_now() - begin, 1e-7)));
  double best = 1e9;
  for (int run = 0; run < 12; ++run) {
    begin = seconds_now();
    for (int i = 0; i < calls; ++i) call();
    best = std::min(best, (seconds_now() - begin) / calls);
  }
  return best;
}

class Room {
 public:
  explicit Room(std::int64_t size) : bytes_(static_cast<std::size_t>(size) + 64, std::byte{1}) {}
  std::byte* data() { return bytes_.data() + (64 - reinterpret_cast<std::uintptr_t>(bytes_.data()) % 64) % 64; }

 private:
  std::vector<std::byte> bytes_;
};

#if defined(__x86_64__)
#define ATTENTO_STEP(word, r, sum) word " %%" r "15, %%" r "15, %%" r sum "\n"
#define ATTENTO_SIX(word, r, a, b, c, d, e, f) \
  ATTENTO_STEP(word, r, a)                     \
  ATTENTO_STEP(word, r, b)                     \
  ATTENTO_STEP(word, r, c) ATTENTO_STEP(word, r, d) ATTENTO_STEP(word, r, e) ATTENTO_STEP(word, r, f)
#define ATTENTO_RUN(word, r)                                                                                       \
  asm volatile("vxorps %%xmm15, %%xmm15, %%xmm15\n1:\n" ATTENTO_SIX(word, r, "0", "1", "2", "3", "4", "5")         \
                   ATTENTO_SIX(word, r, "6", "7", "8", "9", "10", "11") "dec %0\njnz 1b\n"                         \
               : "+r"(left)                                                                                        \
               :                                                                                                   \
               : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", \
                 "xmm15", "cc")

enum class Multiplier { floats, bf16, integers };

// Multiplications a second (in 10^9) of one instruction and nothing else, on twelve independent sums.
double peak(Multiplier multiplier) {
  const long steps = 20000;
  const double seconds = best_seconds([&] {
    long left = steps;
    if (multiplier == Multiplier::floats) ATTENTO_RUN("vfmadd231ps", "ymm");
    if (multiplier == Multiplier::bf16) ATTENTO_RUN("vdpbf16ps", "zmm");
    if (multiplier == Multiplier::integers) ATTENTO_RUN("vpdpbusd", "zmm");
  });
  const double products = multiplier == Multiplier::floats ? 8 : multiplier == Multiplier::bf16 ? 32 : 64;
  return 1e-9 * products * 12 * steps / seconds;
}
#endif

// Bytes a second (in 10^9) that one thread reads from `size` bytes.
double reading(std::int64_t size) {
  Room room(size);
  const double seconds = best_seconds([&] {
    const std::byte* place = room.data();
    const std::byte* end = place + size;
#if defined(__x86_64__)
    asm volatile(
        "1:\nvmovaps (%0), %%ymm0\nvmovaps 32(%0), %%ymm1\nvmovaps 64(%0), %%ymm2\nvmovaps 96(%0), %%ymm3\n"
        "add $128, %0\ncmp %1, %0\njb 1b\nvzeroupper\n"
        : "+r"(place)
        : "r"(end)
        : "xmm0", "xmm1", "xmm2", "xmm3", "cc", "memory");
#else
    std::uint64_t sums[8] = {};
    for (; place < end; place += sizeof sums) {
      std::uint64_t numbers[8];
      std::memcpy(numbers, place, sizeof numbers);
      for (int lane = 0; lane < 8; ++lane) sums[lane] ^= numbers[lane];
    }
    asm volatile("" : : "r"(sums) : "memory");
#endif
  });
  return static_cast<double>(size) / seconds * 1e-9;
}

void print_peaks() {
#if defined(__x86_64__)
  std::printf("vfmadd231ps ymm %.0f GMAC/s\n", peak(Multiplier::floats));
  if (__builtin_cpu_supports("avx512vnni")) std::printf("vpdpbusd zmm    %.0f GMAC/s\n", peak(Multiplier::integers));
  if (__builtin_cpu_supports("avx512bf16")) std::printf("vdpbf16ps zmm   %.0f GMAC/s\n", peak(Multiplier::bf16));
#endif
  for (int kilobytes : {256, 1024, 4096, 262144}) {
    std::printf("reading %6d KB %.1f GB/s\n", kilobytes, reading(kilobytes * 1024LL));
  }
}

void measure_products(const Kernels& kernels, Number number, const char* format) {
  const int shapes[][2] = {{512, 512}, {512, 1536}, {512, 2048}, {2048, 512}, {512, 8000}};
  std::printf("%s %s product; one row also with weights out of 256 MB that stand in no cache\n", kernels.name, format);
  for (const auto& shape : shapes) {
    const int inputs = shape[0], outputs = shape[1];
    Matrix matrix{number, outputs, inputs, nullptr, nullptr, nullptr, nullptr};
    const int copies = static_cast<int>((256LL << 20) / matrix.bytes());
    Room panels(matrix.bytes() * copies);
    std::vector<float> scales(matrix.padded_outputs(), 1.0f);
    std::vector<std::int32_t> sums(matrix.padded_outputs(), inputs);
    matrix.panels = panels.data();
    matrix.scales = scales.data();
    matrix.sums = sums.data();
    std::printf("  K %4d N %4d", inputs, outputs);
    for (int count : {1, 4, 16, 64, 256}) {
      const std::vector<float> x(static_cast<std::size_t>(inputs) * count, 0.5f);
      std::vector<float> row_scales(count), out(static_cast<std::size_t>(outputs) * count);
      Room room(row_bytes(number, inputs) * count);
      Rows rows{room.data(), row_scales.data(), row_bytes(number, inputs), count};
      kernels.prepare(number, x.data(), inputs, inputs, rows);
      const double seconds = best_seconds([&] { kernels.product(matrix, rows, {}, out.data(), outputs); });
      std::printf("  %4d: %6.1f GMAC/s", count, 1e-9 * inputs * outputs * count / seconds);
      if (count > 1) continue;
      std::printf(" = %5.1f GB/s", 1e-9 * static_cast<double>(matrix.bytes()) / seconds);
      int copy = 0;
      Matrix far = matrix;
      const double far_seconds = best_seconds([&] {
        copy = (copy + 1) % copies;
        far.panels = panels.data() + copy * matrix.bytes();
        kernels.product(far, rows, {}, out.data(), outputs);
      });
      std::printf(", far %5.1f GB/s", 1e-9 * static_cast<double>(matrix.bytes()) / far_seconds);
    }
    std::printf("\n");
  }
}

// Eight heads of width 64, for one query of each of 64 rows, or for all queries of a sentence.
void measure_attend(const Kernels& kernels, Number number, const char* format) {
  const int width = 64, heads = 8;
  for (int length : {24, 128}) {
    for (int count : {1, 4, length}) {
      const int rows = count == length ? 4 : 64;
      const std::int64_t all = std::int64_t{rows} * heads * length * width;
      Room keys(all * 4), values(all * 4);
      std::vector<float> x(static_cast<std::size_t>(all), 0.25f);
      kernels.store(number, x.data(), static_cast<int>(all), keys.data());
      kernels.store(number, x.data(), static_cast<int>(all), values.data());
      std::vector<float> contexts(static_cast<std::size_t>(count) * width);
      std::vector<float> weights(static_cast<std::size_t>(count) * length);
      std::vector<float> asked(static_cast<std::size_t>(count) * width, 0.1f);
      const double seconds = best_seconds([&] {
        for (int i = 0; i < rows * heads; ++i) {
          const std::int64_t place = std::int64_t{i} * length * width * size_of(number);
          kernels.attend(
              {number, keys.data() + place, values.data() + place, width, width, nullptr, length, width, width},
              {asked.data(), contexts.data(), nullptr, weights.data(), width, width, 0, count, 0.125f});
        }
      });
      const double products = 2.0 * static_cast<double>(all) * count;
      std::printf("%s attend %s, length %3d, %3d queries on the same keys: %5.1f GMAC/s, %5.1f GB/s, %.3f us a head\n",
                  kernels.name, format, length, count, products / seconds * 1e-9,
                  2.0 * static_cast<double>(all) * size_of(number) / seconds * 1e-9, seconds / (rows * heads) * 1e6);
    }
  }
}

// Sixteen sentences of four hypotheses each, whose keys stand in slots beside one another.
void measure_ancestry(const Kernels& kernels, Number number, const char* format) {
  const int width = 64, heads = 8, sentences = 16, slots = 4;
  for (int length : {24, 128}) {
    const std::int64_t all = std::int64_t{sentences} * heads * length * slots * width;
    Room keys(all * 4), values(all * 4);
    std::vector<float> x(static_cast<std::size_t>(all), 0.25f), contexts(width), weights(length), asked(width, 0.1f);
    kernels.store(number, x.data(), static_cast<int>(all), keys.data());
    kernels.store(number, x.data(), static_cast<int>(all), values.data());
    std::vector<std::uint8_t> ancestry(static_cast<std::size_t>(slots * length));
    for (std::size_t i = 0; i < ancestry.size(); ++i) ancestry[i] = static_cast<std::uint8_t>(i * i % 7 % slots);
    const double seconds = best_seconds([&] {
      for (int i = 0; i < sentences * slots * heads; ++i) {
        const std::int64_t place = (std::int64_t{i / (slots * heads)} * heads + i % heads) * length * slots * width;
        kernels.attend(
            {number, keys.data() + place * size_of(number), values.data() + place * size_of(number), slots * width,
             slots * width, ancestry.data() + i / heads % slots * length, length, width, width},
            {asked.data(), contexts.data(), nullptr, weights.data(), width, width, 0, 1, 0.125f});
      }
    });
    std::printf("%s attend %s, length %3d, 4 slots: %5.1f GMAC/s, %.3f us a head\n", kernels.name, format, length,
                2e-9 * static_cast<double>(all) / seconds, seconds / (sentences * slots * heads) * 1e6);
  }
}

void measure_the_rest(const Kernels& kernels) {
  const int count = 64, width = 2048;
  const std::vector<float> x(count * width, 0.3f), gain(width, 1.0f);
  std::vector<float> out(x.size());
  Room room(row_bytes(Number::f32, width) * count);
  std::vector<float> scales(count);
  const double numbers = 1e-9 * count * width;
  auto print = [&](const char* what, double seconds) {
    std::printf("%s %-28s %.2f numbers/ns\n", kernels.name, what, numbers / seconds);
  };
  Rows rows{room.data(), scales.data(), row_bytes(Number::int8, width), count};
  print("prepare int8", best_seconds([&] { kernels.prepare(Number::int8, x.data(), width, width, rows); }));
  rows.stride = row_bytes(Number::bf16, width);
  print("prepare bf16", best_seconds([&] { kernels.prepare(Number::bf16, x.data(), width, width, rows); }));
  print("normalize (layer)", best_seconds([&] {
          kernels.normalize(x.data(), count, width, true, 1e-5f, gain.data(), gain.data(), out.data());
        }));
  const char* names[] = {"none", "relu", "gelu", "gelu_tanh", "silu", "sigmoid"};
  for (int i = 0; i < 6; ++i) {
    const double seconds =
        best_seconds([&] { kernels.gate(x.data(), count, width / 2, static_cast<Activation>(i), out.data()); });
    print((std::string("gate ") + names[i]).c_str(), seconds / 0.5);
  }
  print("sum_exp", best_seconds([&] { out[0] = kernels.sum_exp(x.data(), 8000, 5); }) * count * width / 8000.0);
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> asked(argv + 1, argv + argc);
  print_peaks();
  for (const Kernels* kernels : available_kernels()) {
    if (!asked.empty() && std::find(asked.begin(), asked.end(), kernels->name) == asked.end()) continue;
    measure_products(*kernels, Number::int8, "int8");
    measure_products(*kernels, Number::bf16, "bf16");
    measure_products(*kernels, Number::f32, "f32");
    measure_attend(*kernels, Number::bf16, "bf16");
    measure_attend(*kernels, Number::f32, "f32");
    measure_ancestry(*kernels, Number::bf16, "bf16");
    measure_ancestry(*kernels, Number::f32, "f32");
    measure_the_rest(*kernels);
  }
  return 0;
}

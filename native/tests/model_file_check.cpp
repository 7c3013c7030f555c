// Checks of the model file: a whole one is read as it was written; every damaged, cut off or hostile one is refused.
#include <sys/stat.h>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <limits>
#include <random>

#include "model_file_check.h"

using namespace attento;
using namespace attento::checks;

namespace {

void reads_what_was_written() {
  write(pack(settings(), tensors()));
  const ModelFile model(path());
  expect(model.size() == static_cast<std::int64_t>(std::filesystem::file_size(path())), "size");
  expect(model.whole("d_model", 5, 5) == 5 && model.whole("minus", -3, 0) == -3, "whole numbers");
  expect(model.real("epsilon") == 1e-6, "a real number");
  expect(model.has("table") && !model.has("tables") && model.has_matrix("a") && !model.has_matrix("table"), "has");
  expect(model.floats("table", {2, 3, 1})[5] == 6, "floats");
  expect(model.floats("tables", {2}, false) == nullptr, "floats that are not needed");
  expect(model.doubles("angles", {3})[2] == 0.25, "doubles");
  expect(model.bytes("file:empty").empty() && model.bytes("file:config.yaml").size() == 11, "bytes");
  const Matrix a = model.matrix("a", Number::int8, 33, 5);
  expect(a.outputs == 33 && a.inputs == 5 && a.number == Number::int8, "a matrix");
  expect(a.scales[63] == 0.5f && a.sums[63] == -9 && a.bias[63] == 1.5f, "what belongs to a matrix");
  expect(reinterpret_cast<std::uintptr_t>(a.panels) % 64 == 0 && a.panels[511] == std::byte{7}, "panels");
  const Matrix b = model.matrix("b", Number::bf16, 33, 5);
  expect(b.scales == nullptr && b.sums == nullptr && b.bias == nullptr && b.bytes() == 768, "a bf16 matrix");
  expect(model.matrix("c", Number::f32, 33, 5).bytes() == 1280, "a f32 matrix");
}

void asks_for_what_is_not_there() {
  write(pack(settings(), tensors()));
  const ModelFile model(path());
  throws([&] { model.real("nothing"); }, "`nothing` is missing");
  throws([&] { model.whole("d_model", 6, 9); }, "whole number from 6 to 9");
  throws([&] { model.whole("d_model", 0, 4); }, "whole number from 0 to 4");
  throws([&] { model.whole("epsilon", 0, 4); }, "whole number");
  throws([&] { model.floats("tables", {2}); }, "`tables` is missing");
  throws([&] { model.floats("table", {3, 2, 1}); }, "3 x 2 x 1 of f32, but is 2 x 3 x 1 of f32");
  throws([&] { model.floats("angles", {3}); }, "but is 3 of f64");
  throws([&] { model.doubles("table", {2, 3, 1}); }, "of f64");
  throws([&] { model.bytes("table"); }, "no text");
  throws([&] { model.matrix("a", Number::bf16, 33, 5); }, "of bf16");
  throws([&] { model.matrix("a", Number::int8, 34, 5); }, "34 x 5");
  throws([&] { model.matrix("a", Number::int8, 33, 6); }, "33 x 6");
  for (const char* lost : {"a.weight", "a.scales", "a.sums"}) {
    std::vector<Entry> fewer = tensors();
    std::erase_if(fewer, [&](const Entry& entry) { return entry.name == lost; });
    write(pack(settings(), fewer));
    const ModelFile other(path());
    throws([&] { other.matrix("a", Number::int8, 33, 5); }, "is missing");
  }
}

void refuses_every_flipped_byte_and_every_cut() {
  const Bytes whole = pack(settings(), tensors());
  // Between the tensors lies what belongs to none.
  std::vector<bool> belongs(whole.size(), false);
  const std::size_t count = tensors().size();
  std::fill(belongs.begin(), belongs.begin() + static_cast<std::ptrdiff_t>(kFirstTensor + count * kTensor), true);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t record = kFirstTensor + i * kTensor;
    const auto begin = belongs.begin() + static_cast<std::ptrdiff_t>(get<std::uint64_t>(whole, record + kOffset));
    std::fill(begin, begin + static_cast<std::ptrdiff_t>(get<std::uint64_t>(whole, record + kBytes)), true);
  }
  std::mt19937 random(3);
  for (std::size_t place = 0; place < whole.size(); ++place) {
    Bytes file = whole;
    file[place] ^= static_cast<unsigned char>(1 + random() % 255);
    expect(complaint(file).empty() != belongs[place], "a flipped byte at " + std::to_string(place));
    file.assign(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(place));
    expect(!complaint(file).empty(), "cut at " + std::to_string(place));
  }
  Bytes longer = whole;
  longer.push_back(0);
  refused(longer, "but must have");
}

// Change a field of the first tensor's record or of the header, make the checksum right, and see what is said.
template <typename Value>
void changed(std::size_t place, Value value, const std::string& because) {
  Bytes file = pack(settings(), tensors());
  put(file, place, value);
  sign_records(file);
  refused(file, because);
}

void refuses_what_is_wrong_on_purpose() {
  changed(0, 'B', "no model file");
  changed(8, std::uint32_t{2}, "newer version");
  changed(8, std::uint32_t{0xffffffff}, "newer version");
  changed(8, std::uint32_t{0}, "header");
  changed(20, std::uint32_t{1}, "header");
  for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{40}, ~std::uint64_t{0}, std::uint64_t{1} << 63}) {
    changed(24, size, "but must have");
  }
  changed(12, std::uint32_t{0xffffffff}, "records do not fit");
  changed(16, std::uint32_t{0xffffffff}, "records do not fit");
  changed(12, std::uint32_t{0}, "no name");  // what was a setting is read as a tensor
  changed(32, std::uint64_t{0}, "");         // put right by changed()

  changed(kHeader, '\0', "a setting has no name");
  changed(kHeader + 2, '\x80', "a setting has no name");
  changed(kHeader + 2, ' ', "a setting has no name");
  changed(kHeader + 39, 'x', "a setting has no name");
  for (const double value : {std::nan(""), HUGE_VAL, -HUGE_VAL}) changed(kHeader + 40, value, "is no number");

  const std::size_t record = kFirstTensor;
  changed(record, '\n', "a tensor has no name");
  changed(record + 71, 'x', "a tensor has no name");
  changed(record + kNumber, std::uint32_t{6}, "unknown kind");
  changed(record + kNumber, ~std::uint32_t{0}, "unknown kind");
  changed(record + kNumber, static_cast<std::uint32_t>(Number::i32), "is no matrix");
  changed(record + kRank, std::uint32_t{0}, "wrong rank");
  changed(record + kRank, std::uint32_t{4}, "wrong rank");
  changed(record + kRank, std::uint32_t{1}, "wrong shape");
  changed(record + kRank, std::uint32_t{3}, "wrong shape");
  for (const std::uint64_t size :
       {std::uint64_t{0}, std::uint64_t{1} << 31, std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
    changed(record + kShape, size, "wrong shape");
  }
  for (const std::uint64_t size : {std::uint64_t{65}, std::uint64_t{0x7fffffff}}) {
    changed(record + kShape, size, "wrong number of bytes");
    changed(record + kShape + 8, size, "wrong number of bytes");
  }
  for (const std::uint64_t offset : {std::uint64_t{0}, std::uint64_t{64}, std::uint64_t{1} << 40, ~std::uint64_t{63}}) {
    changed(record + kOffset, offset, "does not lie within");
  }
  const Bytes whole = pack(settings(), tensors());
  changed(record + kOffset, get<std::uint64_t>(whole, record + kOffset) + 8, "does not lie within");
  changed(record + kOffset, get<std::uint64_t>(whole, record + kOffset) + 64, "checksum of the tensor `a.weight`");
  changed(record + kBytes, ~std::uint64_t{0}, "does not lie within");
  changed(record + kBytes, std::uint64_t{0}, "wrong number of bytes");
  changed(record + kChecksum, std::uint64_t{1}, "checksum of the tensor `a.weight`");
}

void refuses_twice_and_too_much_and_no_numbers() {
  std::vector<Setting> twice = settings();
  twice.push_back(twice[0]);
  refused(pack(twice, tensors()), "setting `d_model` twice");
  std::vector<Entry> more = tensors();
  more.push_back(more[6]);
  refused(pack(settings(), more), "tensor `table` twice");
  for (const float value : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    refused(pack({}, {{"x", Number::f32, {3}, raw(std::vector<float>{1, value, 1})}}), "no number");
  }
  refused(pack({}, {{"x", Number::f64, {1}, raw(std::vector<double>{-HUGE_VAL})}}), "no number");

  // Sizes whose product is 0 in 64 bits.
  refused(pack({}, {{"x", Number::bytes, {1u << 24, 1u << 24, 1u << 16}, {}}}), "wrong number of bytes");
  refused(pack({{std::string(40, 'x'), 1}}, {}), "a setting has no name");
  refused(pack({}, {{std::string(72, 'x'), Number::bytes, {0}, {}}}), "a tensor has no name");
  expect(complaint(pack({{std::string(39, 'x'), 1}}, {{std::string(71, 'x'), Number::bytes, {0}, {}}})).empty(),
         "the longest names");

  // Many tensors that share one place: cheap to write, dear to check.
  std::vector<Entry> shared;
  for (int i = 0; i < 2000; ++i) shared.push_back({std::to_string(i), Number::bytes, {0}, {}});
  shared.push_back({"t", Number::bytes, {300000}, Bytes(300000, 1)});
  Bytes file = pack({}, shared);
  const std::size_t last = kHeader + 2000 * kTensor;
  for (std::size_t record = kHeader; record < last; record += kTensor) {
    std::copy_n(file.begin() + static_cast<std::ptrdiff_t>(last + kNumber), kTensor - kNumber,
                file.begin() + static_cast<std::ptrdiff_t>(record + kNumber));
  }
  sign_records(file);
  refused(file, "larger than the file");
}

void refuses_what_is_no_file() {
  const auto opening = [](const std::string& place) { return [=] { const ModelFile model(place); }; };
  throws(opening("/no/such/folder/model.attento"), "cannot be opened");
  throws(opening(std::filesystem::temp_directory_path().string()), "is no file");
  refused({}, "too short");
  std::filesystem::remove(path());
  if (::mkfifo(path().c_str(), 0600) == 0) throws(opening(path()), "is no file");
  std::filesystem::remove(path());
}

// Use whatever a file gives out: sanitizers see what lies outside.
void use(const ModelFile& model) {
  const std::vector<std::function<void()>> uses{
      [&] { model.whole("d_model", 0, 1 << 20); },
      [&] { model.real("epsilon"); },
      [&] {
        expect(std::isfinite(model.floats("table", {2, 3, 1})[5]), "finite");
      },
      [&] { expect(std::isfinite(model.doubles("angles", {3})[2]), "finite"); },
      [&] { checksum(model.bytes("file:config.yaml")); },
      [&] {
        const Matrix a = model.matrix("a", Number::int8, 33, 5);
        checksum({a.panels, static_cast<std::size_t>(a.bytes())});
        expect(std::isfinite(a.scales[63] + static_cast<float>(a.sums[63])), "finite");
      }};
  for (const auto& each : uses) {
    try {
      each();
    } catch (const FileError&) {
    }
  }
}

void survives_whatever_comes(int trials) {
  const Bytes whole = pack(settings(), tensors());
  const std::size_t records = kFirstTensor + tensors().size() * kTensor;
  const std::vector<std::uint64_t> absurd{0,
                                          1,
                                          63,
                                          64,
                                          0x7fffffff,
                                          0x80000000,
                                          0xffffffff,
                                          ~std::uint64_t{0},
                                          std::uint64_t{1} << 63,
                                          (std::uint64_t{1} << 63) - 1,
                                          whole.size()};
  std::mt19937 random(17);
  int accepted = 0;
  for (int trial = 0; trial < trials; ++trial) {
    Bytes file = whole;
    for (unsigned i = 0; i <= random() % 4; ++i) {
      const std::size_t place = random() % (random() % 2 == 0 ? records : file.size());
      switch (random() % 3) {
        case 0:
          file[place] ^= static_cast<unsigned char>(1u << random() % 8);
          break;
        case 1:
          file[place] = static_cast<unsigned char>(random());
          break;
        default:
          put(file, std::min(place / 8 * 8, file.size() - 8), absurd[random() % absurd.size()]);
      }
    }
    if (random() % 8 == 0) file.resize(random() % (file.size() + 200));
    // Mostly with a right size and checksum: only so what comes behind them is reached.
    if (random() % 8 != 0 && file.size() >= kHeader) {
      put(file, 24, std::uint64_t{file.size()});
      sign_records(file);
    }
    write(file);
    try {
      const ModelFile model(path());
      ++accepted;
      use(model);
    } catch (const FileError&) {
    }
  }
  expect(accepted > trials / 100 && accepted < trials / 2,
         "some are accepted, most are not: " + std::to_string(accepted));
}

void checksums() {
  std::mt19937 random(23);
  for (std::size_t size = 0; size < 300; ++size) {
    Bytes data(size + 3);
    for (unsigned char& each : data) each = static_cast<unsigned char>(random());
    // At any address.
    const std::byte* begin = reinterpret_cast<const std::byte*>(data.data()) + size % 4;
    const std::size_t count = data.size() - size % 4;
    expect(checksum({begin, count}) == plain_checksum(data.data() + size % 4, count),
           "checksum of " + std::to_string(count));
  }
  expect(checksum({}) == 0, "checksum of nothing");
}

}  // namespace

int main() {
  checksums();
  reads_what_was_written();
  asks_for_what_is_not_there();
  refuses_every_flipped_byte_and_every_cut();
  refuses_what_is_wrong_on_purpose();
  refuses_twice_and_too_much_and_no_numbers();
  refuses_what_is_no_file();
  survives_whatever_comes(20000);
  std::filesystem::remove(path());
  if (failures == 0) std::printf("model file: all checks hold\n");
  return failures == 0 ? 0 : 1;
}

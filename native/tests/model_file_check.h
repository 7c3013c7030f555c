// What the checks of the model file share: a whole file made byte by byte, and what is said of a damaged one.
#pragma once

#include <unistd.h>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "../src/model_file.h"

namespace attento::checks {

using Bytes = std::vector<unsigned char>;

inline constexpr std::size_t kHeader = 40;
inline constexpr std::size_t kSetting = 48;
inline constexpr std::size_t kTensor = 128;
// Where the fields of a tensor's record stand.
inline constexpr std::size_t kNumber = 72, kRank = 76, kShape = 80, kOffset = 104, kBytes = 112, kChecksum = 120;

inline int failures = 0;

inline void expect(bool holds, const std::string& what) {
  if (holds) return;
  std::printf("FAILED: %s\n", what.c_str());
  ++failures;
}

// The checksum as the format's description puts it.
inline std::uint64_t plain_checksum(const unsigned char* data, std::size_t size) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i * 8 < size; ++i) {
    std::uint64_t word = 0;
    for (std::size_t byte = 0; byte < 8 && i * 8 + byte < size; ++byte) {
      word |= std::uint64_t{data[i * 8 + byte]} << (8 * byte);
    }
    sum += word * (2 * i + 1);
  }
  return sum;
}

template <typename Value>
void put(Bytes& file, std::size_t place, Value value) {
  std::memcpy(file.data() + place, &value, sizeof(value));
}

template <typename Value>
Value get(const Bytes& file, std::size_t place) {
  Value value;
  std::memcpy(&value, file.data() + place, sizeof(value));
  return value;
}

struct Setting {
  std::string name;
  double value;
};

struct Entry {
  std::string name;
  Number number;
  std::vector<std::uint64_t> shape;
  Bytes data;
};

template <typename Value>
Bytes raw(const std::vector<Value>& values) {
  Bytes data(values.size() * sizeof(Value));
  if (!data.empty()) std::memcpy(data.data(), values.data(), data.size());
  return data;
}

// Make checksums right again after something was changed: what follows is on purpose.
inline void sign_records(Bytes& file) {
  const std::uint64_t size =
      get<std::uint32_t>(file, 12) * std::uint64_t{kSetting} + get<std::uint32_t>(file, 16) * std::uint64_t{kTensor};
  if (size + kHeader <= file.size()) put(file, 32, plain_checksum(file.data() + kHeader, size));
}

inline Bytes pack(const std::vector<Setting>& settings, const std::vector<Entry>& tensors) {
  const std::size_t records = kHeader + settings.size() * kSetting;
  Bytes file(records + tensors.size() * kTensor);
  std::memcpy(file.data(), "ATTENTO\n", 8);
  put(file, 8, std::uint32_t{1});
  put(file, 12, static_cast<std::uint32_t>(settings.size()));
  put(file, 16, static_cast<std::uint32_t>(tensors.size()));
  for (std::size_t i = 0; i < settings.size(); ++i) {
    std::memcpy(&file[kHeader + i * kSetting], settings[i].name.data(), settings[i].name.size());
    put(file, kHeader + i * kSetting + 40, settings[i].value);
  }
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const Entry& entry = tensors[i];
    const std::size_t record = records + i * kTensor;
    file.resize((file.size() + 63) / 64 * 64);
    std::memcpy(&file[record], entry.name.data(), entry.name.size());
    put(file, record + kNumber, static_cast<std::uint32_t>(entry.number));
    put(file, record + kRank, static_cast<std::uint32_t>(entry.shape.size()));
    for (std::size_t axis = 0; axis < entry.shape.size(); ++axis)
      put(file, record + kShape + axis * 8, entry.shape[axis]);
    put(file, record + kOffset, std::uint64_t{file.size()});
    put(file, record + kBytes, std::uint64_t{entry.data.size()});
    put(file, record + kChecksum, plain_checksum(entry.data.data(), entry.data.size()));
    file.insert(file.end(), entry.data.begin(), entry.data.end());
  }
  put(file, 24, std::uint64_t{file.size()});
  sign_records(file);
  return file;
}

// A matrix of 33 outputs and 5 inputs in each kind of numbers, and one tensor of every other kind.
std::vector<Setting> settings() { return {{"d_model", 5}, {"epsilon", 1e-6}, {"minus", -3}}; }

inline std::vector<Entry> tensors() {
  return {{"a.weight", Number::int8, {33, 5}, Bytes(64 * 8, 7)},
          {"a.scales", Number::f32, {64}, raw(std::vector<float>(64, 0.5f))},
          {"a.sums", Number::i32, {64}, raw(std::vector<std::int32_t>(64, -9))},
          {"a.bias", Number::f32, {64}, raw(std::vector<float>(64, 1.5f))},
          {"b.weight", Number::bf16, {33, 5}, Bytes(64 * 6 * 2, 1)},
          {"c.weight", Number::f32, {33, 5}, raw(std::vector<float>(64 * 5, 2.5f))},
          {"table", Number::f32, {2, 3, 1}, raw(std::vector<float>{1, 2, 3, 4, 5, 6})},
          {"angles", Number::f64, {3}, raw(std::vector<double>{1, 0.5, 0.25})},
          {"file:empty", Number::bytes, {0}, {}},
          {"file:config.yaml",
           Number::bytes,
           {11},
           raw(std::vector<char>{'a', ':', ' ', '1', '2', '3', '4', '5', '6', '7', '\n'})}};
}

inline const std::size_t kFirstTensor = kHeader + settings().size() * kSetting;

inline std::string path() {
  static const std::string place =
      (std::filesystem::temp_directory_path() / ("model_file_check." + std::to_string(::getpid()))).string();
  return place;
}

inline void write(const Bytes& file) {
  // A new file: some file systems write to the disk at once what is cut off and written again.
  std::filesystem::remove(path());
  std::ofstream out(path(), std::ios::binary | std::ios::trunc);
  out.write(reinterpret_cast<const char*>(file.data()), static_cast<std::streamsize>(file.size()));
}

// The complaint about a file; empty where it is accepted.
inline std::string complaint(const Bytes& file) {
  write(file);
  try {
    const ModelFile model(path());
  } catch (const FileError& error) {
    return error.what();
  }
  return "";
}

inline void refused(const Bytes& file, const std::string& because) {
  const std::string found = complaint(file);
  expect(found.find(because) != std::string::npos, "refused because \"" + because + "\", but: " + found);
}

template <typename Action>
void throws(Action action, const std::string& because) {
  std::string found = "nothing";
  try {
    action();
  } catch (const FileError& error) {
    found = error.what();
  }
  expect(found.find(because) != std::string::npos, "throws \"" + because + "\", but: " + found);
}

}  // namespace attento::checks

// The model file: mapped into memory, checked, and handed out by name. Knows no model.
//
// Little-endian. All records have a fixed size, so that nothing has to be parsed:
//
//   header   "ATTENTO\n", u32 version = 1, u32 number of settings, u32 number of tensors, u32 zero,
//            u64 bytes of the whole file, u64 checksum of all records behind the header                 40 bytes
//   setting  char name[40] filled with zeros, f64 value                                                48 bytes
//   tensor   char name[72] filled with zeros, u32 number, u32 rank, u64 shape[3], u64 offset, u64 bytes,
//            u64 checksum                                                                              128 bytes
//   data     each tensor at its offset, a multiple of 64
//
// A checksum is the sum over little-endian u64 words w_i (the last filled with zeros) of w_i * (2 i + 1), modulo 2^64:
// it finds what went wrong by accident. What was made wrong on purpose is found because every offset, size, shape and
// setting is checked before it is used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "matrix.h"

namespace attento {

// What is wrong with a file, in words for a user.
struct FileError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Tensor {
  Number number = Number::f32;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> data;
};

// A file of weights, read-only and mapped: processes that map the same file share its memory.
class ModelFile {
 public:
  // Map a file and check all of it. Throws FileError.
  explicit ModelFile(const std::string& path);
  ~ModelFile();
  ModelFile(const ModelFile&) = delete;
  ModelFile& operator=(const ModelFile&) = delete;

  bool has(const std::string& name) const;

  // A setting that must be there, a whole number within the limits. Throws FileError.
  std::int64_t whole(const std::string& name, std::int64_t least, std::int64_t most) const;

  // A setting that must be there and a finite number. Throws FileError.
  double real(const std::string& name) const;

  // A tensor of 32-bit floats of just this shape, or nullptr where there is none and none is needed. Throws FileError.
  const float* floats(const std::string& name, std::vector<std::int64_t> shape, bool needed = true) const;
  const double* doubles(const std::string& name, std::vector<std::int64_t> shape) const;

  // A matrix: NAME.weight (its shape: outputs, inputs; its data: the panels), NAME.scales, NAME.sums, NAME.bias.
  // Throws FileError.
  Matrix matrix(const std::string& name, Number number, int outputs, int inputs) const;
  bool has_matrix(const std::string& name) const { return has(name + ".weight"); }

  // The bytes of a text or of a file that was put inside. Throws FileError.
  std::span<const std::byte> bytes(const std::string& name) const;

  std::int64_t size() const { return size_; }

  // Say what makes the file one that cannot be used. Throws FileError.
  [[noreturn]] void damaged(const std::string& what) const;

 private:
  void map();
  void unmap();
  void check();
  void read_setting(const std::byte* place);
  std::uint64_t read_tensor(const std::byte* place, std::uint64_t start);
  const Tensor& tensor(const std::string& name) const;
  const std::byte* values(const std::string& name, Number number, const std::vector<std::int64_t>& shape) const;
  [[noreturn]] void fail(const std::string& what) const;

  std::string path_;
  const std::byte* data_ = nullptr;
  std::int64_t size_ = 0;
  std::map<std::string, double> settings_;
  std::map<std::string, Tensor> tensors_;
};

// The checksum of the format.
std::uint64_t checksum(std::span<const std::byte> data);

}  // namespace attento

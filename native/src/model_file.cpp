#include "model_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>
#include <string_view>
#include <system_error>
#include <utility>

namespace attento {

static_assert(std::endian::native == std::endian::little, "the file's numbers are used as they lie there");

namespace {

constexpr std::string_view kMagic = "ATTENTO\n";
constexpr std::uint32_t kVersion = 1;
constexpr std::uint64_t kAlignment = 64;
constexpr std::size_t kMaxRank = 3;
constexpr std::string_view kMatrixEnding = ".weight";

struct Header {
  char magic[8];
  std::uint32_t version, settings, tensors, zero;
  std::uint64_t bytes, checksum;
};

struct SettingRecord {
  char name[40];
  double value;
};

struct TensorRecord {
  char name[72];
  std::uint32_t number, rank;
  std::uint64_t shape[kMaxRank];
  std::uint64_t offset, bytes, checksum;
};

static_assert(sizeof(Header) == 40 && sizeof(SettingRecord) == 48 && sizeof(TensorRecord) == 128);

template <typename Record>
Record load(const std::byte* place) {
  Record record;
  std::memcpy(&record, place, sizeof(record));
  return record;
}

// The name in a field that is filled with zeros; empty where it is none.
template <std::size_t Size>
std::string name_in(const char (&field)[Size]) {
  const char* end = std::find(field, field + Size, '\0');
  const bool printable = std::all_of(field, end, [](char each) { return each > ' ' && each <= '~'; });
  const bool filled = std::all_of(end, field + Size, [](char each) { return each == '\0'; });
  return printable && filled && end != field + Size ? std::string(field, end) : std::string();
}

std::string text(const std::vector<std::int64_t>& shape) {
  std::string result;
  for (const std::int64_t size : shape) {
    if (!result.empty()) result += " x ";
    result += std::to_string(size);
  }
  return result;
}

const char* name_of(Number number) {
  constexpr std::array<const char*, 6> names{"f32", "int8", "bf16", "i32", "f64", "bytes"};
  return names[static_cast<std::size_t>(number)];
}

bool can_be_panels(Number number) { return number == Number::f32 || number == Number::int8 || number == Number::bf16; }

// A number is none, or infinite, where all bits of its exponent are set.
template <typename Bits>
bool none_set(std::span<const std::byte> data, Bits exponent) {
  std::size_t bad = 0;
  for (std::size_t place = 0; place < data.size(); place += sizeof(Bits)) {
    bad += (load<Bits>(data.data() + place) & exponent) == exponent;
  }
  return bad == 0;
}

// Of 16-bit floats nothing is said: what they spoil, the search finds.
bool all_finite(const Tensor& tensor) {
  if (tensor.number == Number::f32) return none_set(tensor.data, std::uint32_t{0x7f800000});
  if (tensor.number == Number::f64) return none_set(tensor.data, std::uint64_t{0x7ff0000000000000});
  return true;
}

// The bytes that a tensor of this shape must have; -1 where its numbers alone are more than `most`.
std::int64_t bytes_of(const Tensor& tensor, bool panels, std::int64_t most) {
  std::int64_t count = 1;
  for (const std::int64_t size : tensor.shape) {
    if (size > 0 && count > most / size) return -1;
    count *= size;
  }
  if (!panels) return count * size_of(tensor.number);
  // No overflow: what is mapped is smaller than 2^48 bytes, and panels have at most 128 for each of a matrix's numbers.
  Matrix matrix;
  matrix.number = tensor.number;
  matrix.outputs = static_cast<int>(tensor.shape[0]);
  matrix.inputs = static_cast<int>(tensor.shape[1]);
  return matrix.bytes();
}

}  // namespace

std::uint64_t checksum(std::span<const std::byte> data) {
  // Lanes that do not wait for each other: one multiplication a cycle.
  constexpr std::size_t kLanes = 8;
  constexpr std::size_t kWord = sizeof(std::uint64_t);
  std::array<std::uint64_t, kLanes> sums{};
  const std::size_t words = data.size() / kWord;
  const std::byte* place = data.data();
  std::size_t i = 0;
  for (; i + kLanes <= words; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      sums[lane] += load<std::uint64_t>(place + (i + lane) * kWord) * (2 * (i + lane) + 1);
    }
  }
  for (; i < words; ++i) sums[0] += load<std::uint64_t>(place + i * kWord) * (2 * i + 1);
  if (const std::size_t rest = data.size() % kWord; rest > 0) {
    std::uint64_t last = 0;
    std::memcpy(&last, place + words * kWord, rest);
    sums[0] += last * (2 * words + 1);
  }
  std::uint64_t sum = 0;
  for (const std::uint64_t each : sums) sum += each;
  return sum;
}

ModelFile::ModelFile(const std::string& path) : path_(path) {
  map();
  // A constructor that throws has no destructor run.
  try {
    check();
  } catch (...) {
    unmap();
    throw;
  }
}

ModelFile::~ModelFile() { unmap(); }

void ModelFile::map() {
  // Not blocking: a pipe of this name must not keep us waiting.
  const int file = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) fail("cannot be opened: " + std::generic_category().message(errno));
  struct stat status {};
  const bool known = ::fstat(file, &status) == 0 && S_ISREG(status.st_mode);
  if (!known || status.st_size < static_cast<off_t>(sizeof(Header))) {
    ::close(file);
    damaged(known ? "is no model file: it is too short" : "is no file");
  }
  // A file that becomes shorter while it is mapped ends the process when its missing part is read: models are replaced
  // by renaming a new file over the old one, which leaves the mapped one as it was.
  void* const memory = ::mmap(nullptr, static_cast<std::size_t>(status.st_size), PROT_READ, MAP_SHARED, file, 0);
  const int error = errno;
  ::close(file);
  if (memory == MAP_FAILED) fail("cannot be mapped: " + std::generic_category().message(error));
  data_ = static_cast<const std::byte*>(memory);
  size_ = static_cast<std::int64_t>(status.st_size);
}

void ModelFile::unmap() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), static_cast<std::size_t>(size_));
}

void ModelFile::check() {
  const auto header = load<Header>(data_);
  if (std::string_view(header.magic, sizeof(header.magic)) != kMagic) damaged("is no model file");
  if (header.version > kVersion) {
    fail("was made by a newer version: it is of format " + std::to_string(header.version) + ", but only " +
         std::to_string(kVersion) + " can be read; update attento-native, or export the run with your version");
  }
  if (header.version == 0 || header.zero != 0) damaged("its header is wrong");
  if (header.bytes != static_cast<std::uint64_t>(size_)) {
    damaged("has " + std::to_string(size_) + " bytes, but must have " + std::to_string(header.bytes) +
            ": it is cut off or damaged");
  }
  // Two numbers of 32 bits: no overflow.
  const std::uint64_t settings = std::uint64_t{header.settings} * sizeof(SettingRecord);
  const std::uint64_t tensors = std::uint64_t{header.tensors} * sizeof(TensorRecord);
  if (settings + tensors > static_cast<std::uint64_t>(size_) - sizeof(Header))
    damaged("its records do not fit into it");
  const std::byte* records = data_ + sizeof(Header);
  if (checksum({records, settings + tensors}) != header.checksum) damaged("the checksum of its records is wrong");
  for (std::uint64_t i = 0; i < header.settings; ++i) read_setting(records + i * sizeof(SettingRecord));
  std::uint64_t bytes = 0;
  for (std::uint64_t i = 0; i < header.tensors; ++i) {
    bytes += read_tensor(records + settings + i * sizeof(TensorRecord), sizeof(Header) + settings + tensors);
    // Otherwise many tensors could share their data, and checking it would take for ever.
    if (bytes > static_cast<std::uint64_t>(size_)) damaged("its tensors are larger than the file");
  }
}

void ModelFile::read_setting(const std::byte* place) {
  const auto record = load<SettingRecord>(place);
  const std::string name = name_in(record.name);
  if (name.empty()) damaged("a setting has no name");
  if (!std::isfinite(record.value)) damaged("the setting `" + name + "` is no number");
  if (!settings_.emplace(name, record.value).second) damaged("has the setting `" + name + "` twice");
}

// Returns the bytes of its data. `start`: where data may begin.
std::uint64_t ModelFile::read_tensor(const std::byte* place, std::uint64_t start) {
  const auto record = load<TensorRecord>(place);
  const std::string name = name_in(record.name);
  if (name.empty()) damaged("a tensor has no name");
  const std::string which = "the tensor `" + name + "`";
  if (record.number > static_cast<std::uint32_t>(Number::bytes)) damaged(which + " has numbers of an unknown kind");
  if (record.rank < 1 || record.rank > kMaxRank) damaged(which + " has a wrong rank");
  Tensor tensor;
  tensor.number = static_cast<Number>(record.number);
  for (std::uint32_t axis = 0; axis < kMaxRank; ++axis) {
    const bool used = axis < record.rank;
    const std::uint64_t least = used && tensor.number != Number::bytes ? 1 : 0;
    const std::uint64_t most = used ? std::numeric_limits<std::int32_t>::max() : 0;
    if (record.shape[axis] < least || record.shape[axis] > most) damaged(which + " has a wrong shape");
    if (used) tensor.shape.push_back(static_cast<std::int64_t>(record.shape[axis]));
  }
  const auto size = static_cast<std::uint64_t>(size_);
  if (record.offset % kAlignment != 0 || record.offset < start || record.offset > size ||
      record.bytes > size - record.offset) {
    damaged(which + " does not lie within the file");
  }
  const bool panels = name.ends_with(kMatrixEnding);
  if (panels && (record.rank != 2 || !can_be_panels(tensor.number))) damaged(which + " is no matrix");
  const std::int64_t bytes = bytes_of(tensor, panels, size_);
  if (bytes < 0 || static_cast<std::uint64_t>(bytes) != record.bytes) damaged(which + " has a wrong number of bytes");
  tensor.data = {data_ + record.offset, static_cast<std::size_t>(record.bytes)};
  if (!tensors_.emplace(name, tensor).second) damaged("has " + which + " twice");
  if (checksum(tensor.data) != record.checksum) damaged("the checksum of " + which + " is wrong");
  if (!all_finite(tensor)) damaged(which + " holds what is no number");
  return record.bytes;
}

bool ModelFile::has(const std::string& name) const { return tensors_.contains(name); }

std::int64_t ModelFile::whole(const std::string& name, std::int64_t least, std::int64_t most) const {
  const double value = real(name);
  if (value != std::floor(value) || value < static_cast<double>(least) || value > static_cast<double>(most)) {
    damaged("the setting `" + name + "` must be a whole number from " + std::to_string(least) + " to " +
            std::to_string(most) + ", but is " + std::to_string(value));
  }
  return static_cast<std::int64_t>(value);
}

double ModelFile::real(const std::string& name) const {
  const auto found = settings_.find(name);
  if (found == settings_.end()) damaged("the setting `" + name + "` is missing");
  return found->second;
}

const Tensor& ModelFile::tensor(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) damaged("the tensor `" + name + "` is missing");
  return found->second;
}

const std::byte* ModelFile::values(const std::string& name, Number number,
                                   const std::vector<std::int64_t>& shape) const {
  const Tensor& found = tensor(name);
  if (found.number != number || found.shape != shape) {
    damaged("the tensor `" + name + "` must be " + text(shape) + " of " + name_of(number) + ", but is " +
            text(found.shape) + " of " + name_of(found.number));
  }
  return found.data.data();
}

const float* ModelFile::floats(const std::string& name, std::vector<std::int64_t> shape, bool needed) const {
  if (!needed && !has(name)) return nullptr;
  return reinterpret_cast<const float*>(values(name, Number::f32, shape));
}

const double* ModelFile::doubles(const std::string& name, std::vector<std::int64_t> shape) const {
  return reinterpret_cast<const double*>(values(name, Number::f64, shape));
}

Matrix ModelFile::matrix(const std::string& name, Number number, int outputs, int inputs) const {
  Matrix matrix;
  matrix.number = number;
  matrix.outputs = outputs;
  matrix.inputs = inputs;
  matrix.panels = values(name + std::string(kMatrixEnding), number, {outputs, inputs});
  const std::vector<std::int64_t> padded{matrix.padded_outputs()};
  if (number == Number::int8) {
    matrix.scales = floats(name + ".scales", padded);
    matrix.sums = reinterpret_cast<const std::int32_t*>(values(name + ".sums", Number::i32, padded));
  }
  matrix.bias = floats(name + ".bias", padded, false);
  return matrix;
}

std::span<const std::byte> ModelFile::bytes(const std::string& name) const {
  const Tensor& found = tensor(name);
  if (found.number != Number::bytes || found.shape.size() != 1) damaged("the tensor `" + name + "` is no text");
  return found.data;
}

void ModelFile::fail(const std::string& what) const { throw FileError(path_ + ": " + what); }

void ModelFile::damaged(const std::string& what) const {
  fail(what + "; export it again with `attento export RUN --format native`");
}

}  // namespace attento

// Room for numbers that only grows: what it held is lost when it does, unless it is kept by hand.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>
#include <utility>

#include "matrix.h"

namespace attento {

class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Buffer() { std::free(data_); }

  // Room for so many bytes, 64-byte aligned. Throws std::bad_alloc and keeps what there was.
  std::byte* need(std::int64_t bytes) {
    if (bytes > size_) {
      // A loop that reads a whole register behind the last number must not leave the room.
      const std::int64_t wanted = round_up(bytes, 64) + 64;
      void* data = std::aligned_alloc(64, static_cast<std::size_t>(wanted));
      if (data == nullptr) throw std::bad_alloc();
      std::free(data_);
      data_ = static_cast<std::byte*>(data);
      size_ = bytes;
    }
    return data_;
  }

  float* floats(std::int64_t count) { return reinterpret_cast<float*>(need(count * 4)); }
  std::byte* data() const { return data_; }
  float* held() const { return reinterpret_cast<float*>(data_); }
  std::int64_t size() const { return size_; }

  void swap(Buffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
  }

 private:
  std::byte* data_ = nullptr;
  std::int64_t size_ = 0;
};

}  // namespace attento

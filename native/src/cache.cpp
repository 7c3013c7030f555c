#include "cache.h"

#include <algorithm>
#include <cstring>

namespace attento {
namespace {

// Of longer texts the processor itself foresees the rest.
constexpr int kForeseen = 64;

void ask(const std::byte* data, std::int64_t bytes) {
  for (std::int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(data + i, 0, 2);
}

}  // namespace

void KeyValues::reset(Number number, int layers, int groups, int key_width, int value_width, int slots, int capacity) {
  number_ = number;
  layers_ = layers;
  groups_ = groups;
  key_width_ = key_width;
  value_width_ = value_width;
  slots_ = slots;
  capacity_ = capacity;
  const std::int64_t places = static_cast<std::int64_t>(layers) * groups * capacity * slots * size_of(number);
  keys_.need(places * key_width);
  values_.need(places * value_width);
}

void KeyValues::grow(int capacity) {
  if (capacity <= capacity_) return;
  KeyValues longer;
  longer.reset(number_, layers_, groups_, key_width_, value_width_, slots_, std::max(capacity, 2 * capacity_));
  const std::int64_t kept = static_cast<std::int64_t>(capacity_) * slots_ * size_of(number_);
  for (int layer = 0; layer < layers_; ++layer) {
    for (int group = 0; group < groups_; ++group) {
      std::memcpy(longer.key(layer, group, 0, 0), key(layer, group, 0, 0), kept * key_width_);
      std::memcpy(longer.value(layer, group, 0, 0), value(layer, group, 0, 0), kept * value_width_);
    }
  }
  *this = std::move(longer);
}

Attended KeyValues::attended(int layer, int group, const std::uint8_t* slots, int length) const {
  return {.number = number_,
          .keys = key(layer, group, 0, 0),
          .values = value(layer, group, 0, 0),
          .key_step = static_cast<std::int64_t>(slots_) * key_width_,
          .value_step = static_cast<std::int64_t>(slots_) * value_width_,
          .slots = slots,
          .length = length,
          .key_width = key_width_,
          .value_width = value_width_};
}

void KeyValues::prefetch(int layer, int group, int length) const {
  const std::int64_t numbers = static_cast<std::int64_t>(std::min(length, kForeseen)) * slots_ * size_of(number_);
  ask(key(layer, group, 0, 0), numbers * key_width_);
  ask(value(layer, group, 0, 0), numbers * value_width_);
}

void Ancestry::reset(int slots, int shared) {
  width_ = slots;
  length_ = shared;
  if (width_ == 1) return;
  capacity_ = std::max(capacity_, shared + 64);
  rows_.assign(static_cast<std::size_t>(width_) * capacity_, 0);
  before_.resize(rows_.size());
}

void Ancestry::extend(const std::vector<int>& parents, int place) {
  if (width_ == 1 || place < length_) return;
  if (place >= capacity_) {
    const int longer = 2 * capacity_;
    std::vector<std::uint8_t> wider(static_cast<std::size_t>(width_) * longer), other(wider.size());
    for (int row = 0; row < width_; ++row) {
      std::copy_n(rows_.begin() + static_cast<std::ptrdiff_t>(row) * capacity_, capacity_,
                  wider.begin() + static_cast<std::ptrdiff_t>(row) * longer);
    }
    rows_ = std::move(wider);
    before_ = std::move(other);
    capacity_ = longer;
  }
  rows_.swap(before_);
  for (std::size_t i = 0; i < parents.size(); ++i) {
    std::uint8_t* row = rows_.data() + i * capacity_;
    std::memcpy(row, before_.data() + static_cast<std::size_t>(parents[i]) * capacity_, place);
    row[place] = static_cast<std::uint8_t>(i);
  }
  length_ = place + 1;
}

}  // namespace attento

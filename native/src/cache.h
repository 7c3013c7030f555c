// The keys and values that a sentence has seen, of all layers, and which of them each hypothesis came by.
#pragma once

#include <cstdint>
#include <vector>

#include "buffer.h"
#include "kernels/kernels.h"

namespace attento {

// Keys and values of every layer and group of heads, [layer][group][place][slot][width]: a group's stand in one stretch.
class KeyValues {
 public:
  // Forget everything; room for `capacity` places of `slots` hypotheses. Throws std::bad_alloc.
  void reset(Number number, int layers, int groups, int key_width, int value_width, int slots, int capacity);

  // Room for so many places at least; what is kept stays. Throws std::bad_alloc.
  void grow(int capacity);

  int capacity() const { return capacity_; }
  int slots() const { return slots_; }

  std::byte* key(int layer, int group, int place, int slot) const {
    return keys_.data() + at(layer, group, place, slot) * key_width_ * size_of(number_);
  }
  std::byte* value(int layer, int group, int place, int slot) const {
    return values_.data() + at(layer, group, place, slot) * value_width_ * size_of(number_);
  }

  // The first `length` places; `slots` says whose keys a hypothesis sees at each (nullptr: slot 0).
  Attended attended(int layer, int group, const std::uint8_t* slots, int length) const;

  // Ask for the first `length` places of a group, to have them in the second cache when their turn comes.
  void prefetch(int layer, int group, int length) const;

 private:
  std::int64_t at(int layer, int group, int place, int slot) const {
    return ((static_cast<std::int64_t>(layer) * groups_ + group) * capacity_ + place) * slots_ + slot;
  }

  Number number_ = Number::f32;
  int layers_ = 0, groups_ = 0, key_width_ = 0, value_width_ = 0, slots_ = 0, capacity_ = 0;
  Buffer keys_, values_;
};

// For each live hypothesis, in which slot the keys of each place stand. A hypothesis writes its own into the slot of its
// number; those it inherits stay where its ancestors wrote them, so that no key is ever copied (beam search with a cache
// otherwise copies all of it at every step).
class Ancestry {
 public:
  // `shared` places at the beginning, a source's, are everybody's.
  void reset(int slots, int shared);

  // Hypothesis i goes on from parents[i]; all are about to write the keys of `place`. To say so again changes nothing.
  // Throws std::bad_alloc, and then nothing has changed.
  void extend(const std::vector<int>& parents, int place);

  // The slots of a hypothesis, by place; nullptr where there is no more than one slot.
  const std::uint8_t* slots(int hypothesis) const {
    return width_ == 1 ? nullptr : rows_.data() + static_cast<std::int64_t>(hypothesis) * capacity_;
  }

 private:
  int width_ = 1, capacity_ = 0, length_ = 0;
  std::vector<std::uint8_t> rows_, before_;
};

}  // namespace attento

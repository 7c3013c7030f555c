// Where tokens stand, as a model is told: vectors added to theirs, angles that turn queries and keys, biases of scores.
//
// Tables that grow with the longest text so far; `reach` makes them long enough, and nothing else allocates.
#pragma once

#include <vector>

#include "model.h"

namespace attento {

class Places {
 public:
  explicit Places(const Model& model) : model_(model) {}

  // Make room for texts of so many tokens, source and target of a decoder-only model counted together.
  void reach(int length);

  // Add the vector of a place to a token's; nothing where positions are not added.
  void add_source(int place, float* hidden) const { add(model_.source_positions, place, hidden); }
  void add_target(int place, float* hidden) const { add(model_.target_positions, place, hidden); }

  // Turn the features of some heads, one behind the other, to their place (Su et al. 2021, eq. 34).
  void turn(int place, int heads, float* features) const;

  // What is added to the scores of one head's query at a place, for the key at 0, 1, ...; nullptr for nothing. The row
  // of the next head stands `bias_stride` on, that of the next place one number before.
  const float* source_bias(int head, int place) const { return bias(source_bias_, head, place); }
  const float* target_bias(int head, int place) const { return bias(target_bias_, head, place); }
  std::int64_t bias_stride() const { return 2 * length_ - 1; }

 private:
  void add(const float* learned, int place, float* hidden) const;
  const float* bias(const std::vector<float>& table, int head, int place) const {
    return table.empty() ? nullptr : table.data() + head * bias_stride() + length_ - 1 - place;
  }
  void make_tables();
  void make_waves();
  void make_angles();
  void make_biases(const float* relations, bool both_ways, std::vector<float>& table) const;

  const Model& model_;
  std::int64_t length_ = 0;
  std::vector<float> waves_;             // [length, d_model]
  std::vector<float> cosines_, sines_;   // [length, d_key / 2]
  std::vector<float> source_bias_, target_bias_;  // [heads, 2 length - 1]: by distance, from length - 1 down to 1 - length
};

}  // namespace attento

#include "places.h"

#include <algorithm>
#include <cmath>

namespace attento {
namespace {

// The bucket of a distance (Raffel et al. 2020, section 2.1, and the released code).
int bucket_of(std::int64_t distance, int buckets, int max_distance, bool both_ways) {
  int first = 0;
  if (both_ways) {
    buckets /= 2;
    if (distance < 0) first = buckets;
    distance = std::abs(distance);
  } else {
    distance = std::max<std::int64_t>(distance, 0);
  }
  const int exact = buckets / 2;
  if (distance < exact) return first + static_cast<int>(distance);
  const double ratio = std::log(static_cast<double>(distance) / exact) / std::log(static_cast<double>(max_distance) / exact);
  return first + std::min(exact + static_cast<int>(ratio * (buckets - exact)), buckets - 1);
}

}  // namespace

void Places::reach(int length) {
  if (length <= length_) return;
  length_ = std::max<std::int64_t>(length, 2 * length_);
  try {
    make_tables();
  } catch (...) {
    length_ = 0;  // what was made may end too early
    throw;
  }
}

void Places::make_tables() {
  const Settings& s = model_.settings;
  if (s.positions == Positions::sinusoidal) make_waves();
  if (s.positions == Positions::rotary) make_angles();
  if (s.positions == Positions::relative || s.positions == Positions::alibi) {
    if (s.reads_source()) make_biases(model_.source_relations, true, source_bias_);
    make_biases(model_.target_relations, !s.reads_source() && s.source_sees_all, target_bias_);
  }
}

void Places::make_waves() {
  const Settings& s = model_.settings;
  const int width = s.d_model, half = (width + 1) / 2;
  waves_.resize(length_ * width);
  for (int pair = 0; pair < half; ++pair) {
    const double frequency = std::exp(-std::log(10000.0) * (2 * pair) / width);
    for (std::int64_t place = 0; place < length_; ++place) {
      float* row = waves_.data() + place * width;
      const double angle = static_cast<double>(place) * frequency;
      const int sine = s.halves ? pair : 2 * pair, cosine = s.halves ? half + pair : 2 * pair + 1;
      row[sine] = static_cast<float>(std::sin(angle));
      if (cosine < width) row[cosine] = static_cast<float>(std::cos(angle));
    }
  }
}

void Places::make_angles() {
  const int pairs = model_.settings.d_key / 2;
  cosines_.resize(length_ * pairs);
  sines_.resize(length_ * pairs);
  for (std::int64_t place = 0; place < length_; ++place) {
    for (int pair = 0; pair < pairs; ++pair) {
      const double angle = static_cast<double>(place) * model_.rotary_angles[pair];
      cosines_[place * pairs + pair] = static_cast<float>(std::cos(angle));
      sines_[place * pairs + pair] = static_cast<float>(std::sin(angle));
    }
  }
}

void Places::make_biases(const float* relations, bool both_ways, std::vector<float>& table) const {
  const Settings& s = model_.settings;
  table.resize(s.num_heads * bias_stride());
  for (std::int64_t column = 0; column < bias_stride(); ++column) {
    const std::int64_t distance = length_ - 1 - column;
    const int bucket =
        relations == nullptr ? 0 : bucket_of(distance, s.relative_buckets, s.relative_max_distance, both_ways);
    for (int head = 0; head < s.num_heads; ++head) {
      table[head * bias_stride() + column] =
          relations == nullptr ? -model_.alibi_slopes[head] * static_cast<float>(std::abs(distance))
                               : relations[bucket * s.num_heads + head];
    }
  }
}

void Places::add(const float* learned, int place, float* hidden) const {
  const int width = model_.settings.d_model;
  if (learned == nullptr && waves_.empty()) return;
  const float* row = (learned == nullptr ? waves_.data() : learned) + static_cast<std::int64_t>(place) * width;
  for (int i = 0; i < width; ++i) hidden[i] += row[i];
}

void Places::turn(int place, int heads, float* features) const {
  if (cosines_.empty()) return;
  const int width = model_.settings.d_key, pairs = width / 2;
  const bool halves = model_.settings.halves;
  const float* cosines = cosines_.data() + static_cast<std::int64_t>(place) * pairs;
  const float* sines = sines_.data() + static_cast<std::int64_t>(place) * pairs;
  for (int head = 0; head < heads; ++head, features += width) {
    for (int pair = 0; pair < pairs; ++pair) {
      float& first = features[halves ? pair : 2 * pair];
      float& second = features[halves ? pairs + pair : 2 * pair + 1];
      const float turned = first * cosines[pair] - second * sines[pair];
      second = first * sines[pair] + second * cosines[pair];
      first = turned;
    }
  }
}

}  // namespace attento

// What the checks of the search share: made models, and a slow search that sorts whole vocabularies.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "../src/search.h"

namespace attento::checks {

inline constexpr int kBos = 2;
inline constexpr int kEos = 3;
inline constexpr float kNone = -std::numeric_limits<float>::infinity();

using Pieces = std::vector<std::int32_t>;
// The logits of the token after some pieces.
using Model = std::function<std::vector<float>(const Pieces&)>;

inline int failures = 0;

inline void expect(bool holds, const std::string& what) {
  if (holds) return;
  std::printf("FAILED: %s\n", what.c_str());
  ++failures;
}

template <typename Error, typename Action>
void expect_error(Action action, const std::string& what) {
  try {
    action();
  } catch (const Error&) {
    return;
  }
  expect(false, what);
}

inline void plain_raise(const float* x, int count, float* greatest) {
  for (int i = 0; i < count; ++i) greatest[i] = std::max(greatest[i], x[i]);
}

inline float plain_sum_exp(const float* x, int count, float shift) {
  float sum = 0;
  for (int i = 0; i < count; ++i) sum += std::exp(x[i] - shift);
  return sum;
}

inline Kernels plain_kernels() {
  Kernels kernels{};
  kernels.name = "plain";
  kernels.sum_exp = plain_sum_exp;
  kernels.raise = plain_raise;
  return kernels;
}

// What to look for, and how many steps it took.
struct Task {
  SearchSettings settings;
  int cap = 5;
  Pieces prefix;
  std::vector<double> uniform;
};

inline std::vector<Hypothesis> run(const Task& task, const Model& model, int* steps = nullptr) {
  const Kernels kernels = plain_kernels();
  Search search(task.settings, task.cap, task.prefix, task.uniform, kBos, kEos);
  std::vector<Pieces> live(search.live());
  for (int i = 0; i < search.live(); ++i) expect(search.token(i) == kBos && search.parent(i) == 0, "starts from bos");
  int count = 0;
  for (; search.live() > 0; ++count) {
    std::vector<float> logits;
    std::size_t stride = 0;
    for (const Pieces& pieces : live) {
      std::vector<float> row = model(pieces);
      stride = row.size() + 5;
      logits.insert(logits.end(), row.begin(), row.end());
      logits.resize(logits.size() + 5, 1e30f);  // what lies between rows is not looked at
    }
    search.advance(kernels, logits.data(), static_cast<std::int64_t>(stride), static_cast<int>(stride) - 5);
    std::vector<Pieces> next;
    for (int i = 0; i < search.live(); ++i) {
      next.push_back(live[search.parent(i)]);
      next.back().push_back(search.token(i));
    }
    live = next;
  }
  if (steps != nullptr) *steps = count;
  return search.result();
}

inline std::vector<float> log_softmax(std::vector<float> x) {
  const float greatest = *std::max_element(x.begin(), x.end());
  const float log_sum = std::log(plain_sum_exp(x.data(), static_cast<int>(x.size()), greatest));
  for (float& each : x) each = each - greatest - log_sum;
  return x;
}

inline bool repeats(Pieces pieces, std::int32_t next, int n) {
  pieces.push_back(next);
  const int last = static_cast<int>(pieces.size()) - n;
  for (int start = 0; start < last; ++start) {
    if (std::equal(pieces.begin() + start, pieces.begin() + start + n, pieces.begin() + last)) return true;
  }
  return false;
}

// The model's log-probabilities with minus infinity at all that may not follow, one rule after the other.
inline std::vector<float> allowed(const Task& task, const Model& model, const Pieces& pieces) {
  const std::vector<float> own = log_softmax(model(pieces));
  std::vector<float> log_probs = own;
  const int length = static_cast<int>(pieces.size());
  for (int token = 0; token < static_cast<int>(own.size()); ++token) {
    bool forbidden;
    if (length == task.cap) {
      forbidden = token != kEos;
    } else if (length < static_cast<int>(task.prefix.size())) {
      forbidden = token != task.prefix[length];
    } else if (token == kEos) {
      forbidden = length < task.settings.min_length;
    } else {
      const int n = task.settings.no_repeat_ngram;
      forbidden = n > 0 && repeats(pieces, token, n);
    }
    if (forbidden) log_probs[token] = kNone;
  }
  if (*std::max_element(log_probs.begin(), log_probs.end()) == kNone) log_probs[kEos] = own[kEos];
  return log_probs;
}

double penalty(double length, double alpha) { return std::pow((5 + length) / 6, alpha); }

struct Slow {
  Pieces pieces;
  float log_probability;
  float of_token;  // the last token's own
};

// Beam search without stopping early: every step sorts all continuations there are.
inline std::vector<Hypothesis> slow_search(const Task& task, const Model& model) {
  std::vector<Slow> live{{{}, 0.0f, 0.0f}};
  std::vector<Hypothesis> finished;
  for (int length = 0; !live.empty(); ++length) {
    std::vector<Slow> all;
    for (const Slow& parent : live) {
      const std::vector<float> log_probs = allowed(task, model, parent.pieces);
      std::vector<Slow> own;
      for (int token = 0; token < static_cast<int>(log_probs.size()); ++token) {
        if (log_probs[token] == kNone) continue;
        own.push_back({parent.pieces, parent.log_probability + log_probs[token], log_probs[token]});
        own.back().pieces.push_back(token);
      }
      std::stable_sort(own.begin(), own.end(), [](const Slow& a, const Slow& b) { return a.of_token > b.of_token; });
      all.insert(all.end(), own.begin(), own.end());
    }
    std::stable_sort(all.begin(), all.end(),
                     [](const Slow& a, const Slow& b) { return a.log_probability > b.log_probability; });
    all.resize(std::min<std::size_t>(all.size(), task.settings.beam_size));
    live.clear();
    for (Slow& each : all) {
      if (each.pieces.back() != kEos) {
        live.push_back(each);
        continue;
      }
      each.pieces.pop_back();
      const float score = each.log_probability / static_cast<float>(penalty(length + 1, task.settings.length_penalty));
      finished.push_back({each.pieces, each.log_probability, score, length < task.cap});
    }
  }
  std::stable_sort(finished.begin(), finished.end(),
                   [](const Hypothesis& a, const Hypothesis& b) { return a.score > b.score; });
  finished.resize(std::min<std::size_t>(finished.size(), task.settings.n_best));
  return finished;
}

inline bool same(const std::vector<Hypothesis>& one, const std::vector<Hypothesis>& other, float tolerance = 0) {
  if (one.size() != other.size()) return false;
  for (std::size_t i = 0; i < one.size(); ++i) {
    if (one[i].ids != other[i].ids || one[i].finished != other[i].finished) return false;
    if (one[i].log_probability != other[i].log_probability) return false;
    if (!(std::abs(one[i].score - other[i].score) <= tolerance)) return false;
  }
  return true;
}

// Logits that depend on all pieces before; few different values, so that there are ties, and some tokens forbidden.
inline Model random_model(unsigned seed, int vocabulary, int values) {
  return [=](const Pieces& pieces) {
    unsigned state = seed;
    for (const std::int32_t piece : pieces) state = state * 31 + static_cast<unsigned>(piece) + 7;
    std::mt19937 random(state);
    std::vector<float> logits(vocabulary);
    for (float& each : logits) {
      each = values > 0 ? static_cast<float>(random() % values) * 0.7f : static_cast<float>(random()) * 1e-9f;
      if (random() % 7 == 0) each = kNone;
    }
    logits[kEos] = static_cast<float>(random() % 3);
    return logits;
  };
}

}  // namespace attento::checks

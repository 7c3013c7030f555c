#include "search.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <stdexcept>
#include <utility>

namespace attento {

namespace {

constexpr std::int32_t kAny = -1;
constexpr float kForbidden = -std::numeric_limits<float>::infinity();

[[noreturn]] void no_numbers() { throw std::domain_error("the model's scores are not numbers"); }

}  // namespace

Search::Search(const SearchSettings& settings, int cap, std::vector<std::int32_t> prefix, std::vector<double> uniform,
               int bos, int eos)
    : settings_(settings),
      cap_(cap),
      prefix_(std::move(prefix)),
      uniform_(std::move(uniform)),
      eos_(eos),
      one_path_each_(settings.sampling.on || settings.beam_size == 1),
      penalty_at_cap_(static_cast<float>(penalty(cap + 1.0))) {
  if (cap < 0 || prefix_.size() > static_cast<std::size_t>(cap)) {
    throw std::invalid_argument("the prefix is longer than an output may be");
  }
  for (const std::int32_t piece : prefix_) {
    if (piece < 0 || piece == eos) throw std::invalid_argument("the prefix holds what is no piece");
  }
  if (settings.beam_size < 1 || settings.n_best < 1) throw std::invalid_argument("a search needs a hypothesis or more");
  const int rows = settings.sampling.on ? settings.n_best : 1;
  if (settings.sampling.on && uniform_.size() != static_cast<std::size_t>(rows) * (static_cast<std::size_t>(cap) + 1)) {
    throw std::invalid_argument("sampling needs a uniform number for each piece and eos");
  }
  for (int row = 0; row < rows; ++row) live_.push_back({-1, row, 0.0f});
  tokens_.assign(rows, bos);
  parents_.assign(rows, 0);
}

void Search::advance(const Kernels& kernels, float* logits, std::int64_t stride, int vocabulary) {
  const std::int32_t only = only_choice();
  if (eos_ < 0 || std::max(eos_, only) >= vocabulary) throw std::invalid_argument("a token is not in the vocabulary");
  candidates_.clear();
  for (int parent = 0; parent < live(); ++parent) {
    const Scores scores = normalize(kernels, logits + parent * stride, vocabulary);
    if (only == kAny) {
      choose(parent, scores);
    } else {
      // A piece of the prefix that the model rules out leaves nothing but eos.
      const std::int32_t token = scores.logits[only] == kForbidden ? eos_ : only;
      add_candidate(parent, token, scores.log_probability(token));
    }
  }
  if (!one_path_each_) keep_best_candidates();
  for (const Candidate& candidate : candidates_) {
    if (candidate.token == eos_) finish(candidate);
  }
  if (candidates_.empty() && finished_.empty()) no_numbers();
  extend();
}

std::vector<Hypothesis> Search::result() const {
  std::vector<Finished> best = finished_;
  if (settings_.sampling.on) {
    std::sort(best.begin(), best.end(), [](const Finished& one, const Finished& other) {
      return one.score != other.score ? one.score > other.score : one.draw < other.draw;
    });
  }
  std::vector<Hypothesis> hypotheses;
  for (const Finished& each : best) {
    Hypothesis& hypothesis = hypotheses.emplace_back();
    spell(each.last, each.length, hypothesis.ids);
    hypothesis.log_probability = each.log_probability;
    hypothesis.score = static_cast<float>(each.score);
    hypothesis.finished = each.length < cap_;
  }
  return hypotheses;
}

// The length penalty of Wu et al. 2016, eq. 14, over pieces and eos.
double Search::penalty(double length) const { return std::pow((5 + length) / 6, settings_.length_penalty); }

// The one token that may follow at this step, the same for all that are live; or kAny.
std::int32_t Search::only_choice() const {
  if (length_ == cap_) return eos_;
  return static_cast<std::size_t>(length_) < prefix_.size() ? prefix_[length_] : kAny;
}

Search::Scores Search::normalize(const Kernels& kernels, float* logits, int vocabulary) {
  std::fill(maxima_.begin(), maxima_.end(), kForbidden);
  int start = 0;
  for (; start + kGroups <= vocabulary; start += kGroups) kernels.raise(logits + start, kGroups, maxima_.data());
  kernels.raise(logits + start, vocabulary - start, maxima_.data());
  const float greatest = *std::max_element(maxima_.begin(), maxima_.end());
  if (!std::isfinite(greatest)) no_numbers();
  const float log_sum = std::log(kernels.sum_exp(logits, vocabulary, greatest));
  // One that is no number is no maximum, but it spoils the sum.
  if (!std::isfinite(log_sum)) no_numbers();
  return {logits, greatest, log_sum, vocabulary};
}

void Search::forbid(Scores scores, std::int32_t token) {
  scores.logits[token] = kForbidden;
  const int group = token % kGroups;
  maxima_[group] = kForbidden;
  for (int i = group; i < scores.vocabulary; i += kGroups) maxima_[group] = std::max(maxima_[group], scores.logits[i]);
}

// Add what may follow a live hypothesis: its most probable tokens, or the one that is drawn.
void Search::choose(int parent, Scores scores) {
  const Live& hypothesis = live_[parent];
  const float of_eos = scores.log_probability(eos_);
  if (length_ < settings_.min_length) forbid(scores, eos_);
  forbid_repeats(hypothesis, scores);
  if (settings_.sampling.on) {
    const std::size_t row = static_cast<std::size_t>(hypothesis.draw) * (static_cast<std::size_t>(cap_) + 1);
    draw(scores, uniform_[row + length_]);
  } else {
    find_best(scores, settings_.beam_size);
  }
  // Where nothing may follow, not even eos, the hypothesis ends all the same.
  if (choices_.empty()) add_candidate(parent, eos_, of_eos);
  for (const Choice& choice : choices_) add_candidate(parent, choice.token, scores.log_probability(choice.token));
}

// Forbid what would end a sequence of `no_repeat_ngram` pieces that the hypothesis has already.
void Search::forbid_repeats(const Live& hypothesis, Scores scores) {
  const int n = settings_.no_repeat_ngram;
  if (n < 1 || length_ < n) return;
  spell(hypothesis.last, length_, spelled_);
  const auto begin = spelled_.begin();
  for (int start = 0; start + n <= length_; ++start) {
    if (std::equal(spelled_.end() - (n - 1), spelled_.end(), begin + start)) forbid(scores, begin[start + n - 1]);
  }
}

bool Search::better(const Choice& one, const Choice& other) {
  return one.value != other.value ? one.value > other.value : one.token < other.token;
}

// Leave in choices_ the most probable tokens that are allowed, best first, of equals the lowest id first.
void Search::find_best(Scores scores, int count) {
  choices_.clear();
  float threshold = kForbidden;
  if (count <= kGroups) {
    // So many groups have a token as probable as this one: nothing below can be among the best.
    best_maxima_.resize(count);
    std::partial_sort_copy(maxima_.begin(), maxima_.end(), best_maxima_.begin(), best_maxima_.end(), std::greater<>());
    threshold = scores.of(best_maxima_.back());
  }
  for (int group = 0; group < kGroups; ++group) {
    if (scores.of(maxima_[group]) < threshold) continue;
    for (int token = group; token < scores.vocabulary; token += kGroups) {
      const float value = scores.log_probability(token);
      if (value >= threshold && value > kForbidden) choices_.push_back({value, token});
    }
  }
  const std::size_t kept = std::min(choices_.size(), static_cast<std::size_t>(count));
  std::partial_sort(choices_.begin(), choices_.begin() + kept, choices_.end(), better);
  choices_.resize(kept);
}

// Leave in choices_ the token under which the number falls when the probabilities are laid end to end; nothing where
// all tokens are forbidden.
void Search::draw(Scores scores, double uniform) {
  weigh(scores);
  cut_tail();
  choices_.clear();
  double total = 0;
  for (const double weight : weights_) total += weight;
  if (!(total > 0)) return;
  // Rounding must not carry the number past the last token that can be drawn.
  const double point = std::min(uniform * total, std::nextafter(total, 0.0));
  double passed = 0;
  for (int token = 0; token < scores.vocabulary; ++token) {
    passed += weights_[token];
    if (passed > point && weights_[token] > 0) {
      choices_.push_back({weights_[token], token});
      return;
    }
  }
}

// Leave in weights_ what the probabilities at this temperature are proportional to, the greatest 1; all zero where all
// tokens are forbidden.
void Search::weigh(Scores scores) {
  weights_.assign(scores.vocabulary, 0.0);
  float greatest = kForbidden;
  for (int token = 0; token < scores.vocabulary; ++token) greatest = std::max(greatest, scores.log_probability(token));
  if (greatest == kForbidden) return;
  for (int token = 0; token < scores.vocabulary; ++token) {
    const double below = static_cast<double>(scores.log_probability(token)) - static_cast<double>(greatest);
    weights_[token] = std::exp(below / settings_.sampling.temperature);
  }
}

// Zero the weights of all but the top_k greatest (Fan et al. 2018, section 3.3), then of these all but the nucleus
// (Holtzman et al. 2020, section 3.1, eq. 2). Of equals the lowest ids stay.
void Search::cut_tail() {
  const int top_k = settings_.sampling.top_k;
  const double top_p = settings_.sampling.top_p;
  if (top_k == 0 && top_p >= 1) return;
  choices_.clear();
  for (std::size_t token = 0; token < weights_.size(); ++token) {
    if (weights_[token] > 0) choices_.push_back({weights_[token], static_cast<std::int32_t>(token)});
  }
  if (top_k > 0 && choices_.size() > static_cast<std::size_t>(top_k)) {
    std::nth_element(choices_.begin(), choices_.begin() + top_k, choices_.end(), better);
    choices_.resize(top_k);
  }
  double whole = 0;
  for (const Choice& choice : choices_) whole += choice.value;
  std::fill(weights_.begin(), weights_.end(), 0.0);
  // A heap, because the nucleus is mostly a small part of all.
  const auto worse = [](const Choice& one, const Choice& other) { return better(other, one); };
  std::make_heap(choices_.begin(), choices_.end(), worse);
  double passed = 0;
  while (!choices_.empty()) {
    const Choice best = choices_.front();
    const double share = best.value / whole;
    passed += share;
    if (top_p < 1 && passed - share >= top_p) return;
    weights_[best.token] = best.value;
    std::pop_heap(choices_.begin(), choices_.end(), worse);
    choices_.pop_back();
  }
}

void Search::add_candidate(int parent, std::int32_t token, float log_probability) {
  const float total = live_[parent].log_probability + log_probability;
  if (total > kForbidden) {
    candidates_.push_back({total, token, parent, static_cast<int>(candidates_.size())});
  } else if (one_path_each_) {
    no_numbers();
  }
}

// Of equals the one from the better hypothesis goes first, then the one that is the more probable after it, then the
// one of lower id: in this order they were added.
void Search::keep_best_candidates() {
  const std::size_t kept = std::min(candidates_.size(), static_cast<std::size_t>(settings_.beam_size));
  std::partial_sort(candidates_.begin(), candidates_.begin() + kept, candidates_.end(),
                    [](const Candidate& one, const Candidate& other) {
                      if (one.log_probability != other.log_probability) {
                        return one.log_probability > other.log_probability;
                      }
                      return one.order < other.order;
                    });
  candidates_.resize(kept);
}

void Search::finish(const Candidate& candidate) {
  const Live& hypothesis = live_[candidate.parent];
  Finished found{hypothesis.last, length_, hypothesis.draw, candidate.log_probability, 0.0};
  if (one_path_each_) {
    found.score = found.log_probability / penalty(length_ + 1.0);
    finished_.push_back(found);
    return;
  }
  found.score = found.log_probability / static_cast<float>(penalty(length_ + 1.0));
  // Of equals the one that was found earlier stays before.
  const auto place =
      std::find_if(finished_.begin(), finished_.end(), [&](const Finished& each) { return found.score > each.score; });
  finished_.insert(place, found);
  if (finished_.size() > static_cast<std::size_t>(settings_.n_best)) finished_.pop_back();
}

// Whether a descendant of what is live can enter the n_best: log-probabilities only fall, and the penalty is greatest
// at the cap.
bool Search::worth_going_on() const {
  if (one_path_each_ || finished_.size() < static_cast<std::size_t>(settings_.n_best)) return true;
  const auto best = std::find_if(candidates_.begin(), candidates_.end(),
                                 [this](const Candidate& candidate) { return candidate.token != eos_; });
  return best != candidates_.end() && best->log_probability / penalty_at_cap_ > finished_.back().score;
}

void Search::extend() {
  next_.clear();
  tokens_.clear();
  parents_.clear();
  if (worth_going_on()) {
    for (const Candidate& candidate : candidates_) {
      if (candidate.token == eos_) continue;
      const Live& parent = live_[candidate.parent];
      pieces_.push_back({candidate.token, parent.last});
      next_.push_back({static_cast<int>(pieces_.size()) - 1, parent.draw, candidate.log_probability});
      tokens_.push_back(candidate.token);
      parents_.push_back(candidate.parent);
    }
  }
  live_.swap(next_);
  ++length_;
}

void Search::spell(int last, int length, std::vector<std::int32_t>& pieces) const {
  pieces.resize(length);
  for (; length > 0; last = pieces_[last].before) pieces[--length] = pieces_[last].token;
}

}  // namespace attento
